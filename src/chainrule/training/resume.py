"""A run goes on where an earlier one ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from chainrule.errors import OptionError, ShapeError, explain
from chainrule.history import TrainingState
from chainrule.training.loop import Run
from chainrule.training.step import Array, Carry

__all__ = ["resume_from"]


def resume_from(run: Run, state: TrainingState) -> None:
    """Put the optimizer's state, and the early stopping's memory, where they were.

    Raises OptionError where the run and the state do not hold the same values, ShapeError where theirs differ.
    """
    step, arrays = run.traced.step, run.traced.arrays
    own = len(run.traced.parameters)
    whole = _restored(step.whole[own:], arrays.whole[own:], state.arrays)
    moving = _restored(step.moving[1:], arrays.moving[1:], state.arrays)
    unknown = sorted(set(state.arrays) - {carry.name for carry in (*step.whole[own:], *step.moving[1:])})
    if unknown:
        got, repair = f"the state holds {', '.join(unknown)}", "Use the optimizer and the model of the first run."
        raise OptionError(explain("fit(resume=...)", got, "this run has no such state", repair))
    if run.watch is not None and state.stopping:
        run.watch.best, run.watch.step = state.stopping["best"], int(state.stopping["step"])
        run.watch.waited, run.watch.last = int(state.stopping["waited"]), int(state.stopping["last"])
        if state.best:
            run.best = (
                _restored(step.whole, arrays.whole, state.best),
                _restored(step.moving, arrays.moving, state.best),
            )
    arrays.whole[own:] = whole
    arrays.moving[1:] = moving


def _restored(carries: Sequence[Carry], now: Sequence[Array], saved: Mapping[str, Array]) -> list[Array]:
    """Copies of the saved values of `carries`, which are to be like the values they have `now`."""
    found = []
    for carry, array in zip(carries, now, strict=True):
        value = saved.get(carry.name)
        if value is None:
            repair = "Use the optimizer and the model of the first run."
            raise OptionError(explain("fit(resume=...)", f"no state {carry.name!r}", "the run needs it", repair))
        if (value.shape, value.dtype) != (array.shape, array.dtype):
            got = f"{carry.name} is {value.shape} {value.dtype}"
            raise ShapeError(explain("fit(resume=...)", got, f"it is to be {array.shape} {array.dtype}"))
        found.append(np.array(value))
    return found
