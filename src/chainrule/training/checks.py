"""What is asked of data and options before a run changes anything."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import losses
from chainrule.data.checks import check_data
from chainrule.dtypes import is_whole
from chainrule.errors import DataError, OptionError, ShapeError, explain
from chainrule.history import TrainingState
from chainrule.nn import output_range
from chainrule.optim import Optimizer
from chainrule.random import seeded
from chainrule.sampling import Sampler, given_indices
from chainrule.tensor import Tensor
from chainrule.training.record import Rows
from chainrule.training.stopping import EarlyStopping
from chainrule.training.trace import name_of

__all__ = [
    "UnreachableTargetWarning",
    "check_options",
    "check_parts",
    "check_targets",
    "checked_rows",
    "checked_sets",
    "chosen_rows",
    "plan_steps",
    "warn_unreachable",
]

Array = NDArray[Any]
RANGED = (losses.squared, losses.absolute, losses.huber, losses.hinge)  # y is compared with t itself


class UnreachableTargetWarning(UserWarning):
    """The last layer cannot give what the targets ask for (a ReLU against -1)."""


def check_parts(called: str, model: Any, loss: Any, optimizer: Any) -> None:
    """Refuse a model or a loss that cannot be called, and parts in another order."""
    order = f"The order is {called}(model, loss, optimizer, x, t)."
    if isinstance(loss, Optimizer) and callable(optimizer) and not isinstance(optimizer, type):
        got = f"loss={loss!r}, optimizer={name_of(optimizer)}"
        raise OptionError(explain(called, got, "loss and optimizer have changed places", order))
    for name, part in (("model", model), ("loss", loss)):
        if isinstance(part, type):
            repair = f"Make one: {part.__name__}(...). {order}"
            raise OptionError(explain(called, f"{name}={part.__name__}", f"this is a class, and no {name} yet", repair))
        if not callable(part):
            result = isinstance(part, Tensor | np.ndarray | float) and name == "loss"
            repair = f"Give the function itself, as losses.squared, not what it returned. {order}" if result else order
            shown = f"a tensor {part.shape}" if isinstance(part, Tensor) else repr(part)
            raise OptionError(explain(called, f"{name}={shown}", f"the {name} is not callable", repair))


def check_options(
    called: str, *, callbacks: Any = (), metrics: Any = None, record_on: Any = None, clip: Any = None,
    early_stopping: Any = None, resume: Any = None,
) -> None:  # fmt: skip
    """Refuse options of another kind than they are to be."""
    functions = [callbacks] if callable(callbacks) else callbacks
    several = isinstance(functions, list | tuple) and all(map(callable, functions))
    named = metrics is None or (isinstance(metrics, Mapping) and all(map(callable, metrics.values())))
    for name, value, good, rule in (
        ("callbacks", callbacks, several, "it is a function of a Progress, or a list of them"),
        ("metrics", metrics, named, "it is a dict of functions: {'accuracy': lambda y, t: ...}"),
        ("record_on", record_on, record_on is None or isinstance(record_on, Mapping), "it is a dict of rows by name"),
        ("clip", clip, clip is None or callable(clip), "it is a function of gradients, as optim.ClipByGlobalNorm(1.0)"),
        ("early_stopping", early_stopping, isinstance(early_stopping, EarlyStopping | None), "it is an EarlyStopping"),
        ("resume", resume, isinstance(resume, TrainingState | None), "it is a run's history, or its state"),
    ):
        if not good:
            shown = name_of(value) if callable(value) else repr(value)
            raise OptionError(explain(called, f"{name}={shown}", rule))


def arrays_of(called: str, value: Any, name: str) -> tuple[Array, ...]:
    """One array, or a tuple of several for models with several inputs, as arrays; a memory map is not copied."""
    given = value if isinstance(value, tuple) else (value,)
    if not given:
        raise DataError(explain(called, f"{name} is an empty tuple", "there is nothing to train on"))
    for part in given:
        if isinstance(part, np.ma.MaskedArray) and np.ma.is_masked(part):
            repair = "Leave those rows out, or fill them: x.filled(0.0)."
            raise DataError(explain(called, f"{name} is a masked array", "masked elements have no value", repair))
    return tuple(map(np.asarray, given))


def checked_rows(called: str, name: str, x: Any, t: Any, sample_weight: Any = None, *, shown: str = "x") -> Rows:
    """Data that can be trained on, or its error, which calls x as it is `shown`."""
    xs, ts = arrays_of(called, x, shown), arrays_of(called, t, "t")
    for i, part in enumerate(xs):
        check_data(part, ts[0], name=shown if len(xs) == 1 else f"{shown}[{i}]")
    for i, part in enumerate(ts[1:], 1):
        check_data(xs[0], part, name=f"t[{i}]")
    return Rows(name, xs, ts, None if sample_weight is None else _weights(called, sample_weight, len(ts[0])))


def _weights(called: str, value: Any, rows: int) -> Array:
    """Weights scaled to the mean 1."""
    weights = np.asarray(value, np.float64)
    called = f"{called}(sample_weight=...)"
    if weights.shape != (rows,):
        raise ShapeError(explain(called, f"it is {weights.shape}", f"there is one weight a row: ({rows},)"))
    bad = np.flatnonzero(~np.isfinite(weights) | (weights < 0))
    if len(bad):
        raise DataError(explain(called, f"row {bad[0]} has {weights[bad[0]]}", "weights are finite and not negative"))
    if not weights.any():
        raise DataError(explain(called, "all weights are 0", "some row has to count"))
    return weights / weights.mean()


def checked_sets(called: str, train: Rows, validation: Any, record_on: Mapping[str, Any] | None) -> list[Rows]:
    """Every set whose loss is recorded: "train" (all rows, unless named otherwise), "validation", the user's."""
    found = {"train": train}
    if validation is not None:
        if not isinstance(validation, tuple) or len(validation) != 2:
            got = type(validation).__name__
            raise OptionError(explain(f"{called}(validation=...)", got, "it is a tuple (x, t)"))
        found["validation"] = checked_rows(called, "validation", *validation, shown="validation x")
    for name, rows in (record_on or {}).items():
        if name == "validation" and validation is not None:
            raise OptionError(explain(f"{called}(record_on=...)", "'validation'", "this name is taken by validation="))
        option = f"{called}(record_on={{{name!r}: ...}})"
        if isinstance(rows, tuple):
            if len(rows) != 2:
                raise OptionError(explain(option, f"a tuple of {len(rows)}", "it is rows, or (x, t)"))
            found[name] = checked_rows(called, name, *rows, shown=f"record_on[{name!r}] x")
        else:
            found[name] = Rows(name, train.x, train.t, train.weights, chosen_rows(option, rows, len(train)))
    return list(found.values())


def chosen_rows(called: str, rows: Any, count: int) -> NDArray[np.int64] | slice:
    """Rows a user names: a slice, a mask of one boolean a row, or row numbers."""
    if isinstance(rows, slice):
        if not len(range(*rows.indices(count))):
            raise DataError(explain(called, f"{rows}", f"it takes none of {count} rows"))
        return rows
    found = np.asarray(rows)
    if found.dtype == bool and found.shape != (count,):
        raise ShapeError(explain(called, f"a mask of {found.shape}", f"it has one boolean a row: ({count},)"))
    found = np.flatnonzero(found) if found.dtype == bool else found
    if found.ndim != 1 or found.dtype.kind not in "iu" or not found.size:
        rule = "it is a slice, a mask, row numbers or (x, t), of at least one row"
        raise OptionError(explain(called, f"{found.shape} {found.dtype}", rule))
    if found.min() < -count or found.max() >= count:
        raise OptionError(explain(called, f"rows {found.min()} to {found.max()}", f"there are {count} rows"))
    return np.where(found < 0, found + count, found).astype(np.int64)


def plan_steps(
    called: str, rows: int, steps: Any, epochs: Any, batch_size: Any, sampling: Any, seed: int | None,
    resume: TrainingState | None,
) -> tuple[Sampler, int, int]:  # fmt: skip
    """How rows are drawn, and the steps from which and to which: the meaning of a call's options."""
    for name, value in (("steps", steps), ("epochs", epochs), ("batch_size", batch_size)):
        if value is not None and not (is_whole(value) and value >= 1):
            raise OptionError(explain(called, f"{name}={value!r}", "it is a whole number of at least 1"))
    start = resume.step if resume is not None else 0
    if resume is not None:
        batch_size, sampling = _resumed(called, resume, rows, batch_size, sampling)
    given = None
    if sampling is not None and not isinstance(sampling, str):
        given = given_indices(sampling, rows)
        steps, batch_size = _given_steps(called, len(given) - start, steps, epochs), given.shape[1]
    if (steps is None) == (epochs is None):
        got = "neither" if steps is None else "both"
        raise OptionError(explain(called, f"{got} of steps and epochs", "it is one of them", "For example steps=1000."))
    kind = "given" if given is not None else _kind(called, sampling, epochs, batch_size)
    sampler = Sampler(kind, rows, int(batch_size or rows), resume.seed if resume is not None else seeded(seed), given)
    wanted = int(steps) if steps is not None else math.ceil(int(epochs) * rows / sampler.batch_size)
    return sampler, start, start + wanted


def _kind(called: str, sampling: str | None, epochs: int | None, batch_size: int | None) -> str:
    if sampling is None:
        return "all" if batch_size is None else "shuffle" if epochs is not None else "replacement"
    if sampling not in ("replacement", "shuffle", "all"):
        rule = "it is 'replacement', 'shuffle', 'all' or an array of row numbers"
        raise OptionError(explain(called, f"sampling={sampling!r}", rule))
    if sampling == "all" and batch_size is not None:
        raise OptionError(explain(called, f"sampling='all', batch_size={batch_size}", "all rows are one batch"))
    return sampling


def _given_steps(called: str, left: int, steps: int | None, epochs: int | None) -> int:
    if epochs is not None:
        raise OptionError(explain(called, "epochs and an array of row numbers", "the array says the steps"))
    if left < 1 or (steps is not None and steps > left):
        raise OptionError(explain(called, f"steps={steps}", f"the array of row numbers has {left} steps left"))
    return left if steps is None else steps


def _resumed(
    called: str, resume: TrainingState, rows: int, batch_size: int | None, sampling: Any
) -> tuple[int | None, Any]:
    """The batch size and sampling of the run that goes on."""
    repair = "Give the same, or start anew without resume."
    if resume.rows != rows:
        got = f"{rows} rows of data, {resume.rows} before"
        raise OptionError(explain(f"{called}(resume=...)", got, "the same data are needed", repair))
    if isinstance(sampling, str | None) and batch_size is not None and batch_size != resume.batch_size:
        got = f"batch_size={batch_size}, {resume.batch_size} before"
        raise OptionError(explain(f"{called}(resume=...)", got, "a run goes on as it began", repair))
    kind = sampling if sampling is None or isinstance(sampling, str) else "given"
    if (kind or resume.sampling) != resume.sampling or (kind is None and resume.sampling == "given"):
        got = f"sampling={kind!r}, {resume.sampling!r} before"
        raise OptionError(explain(f"{called}(resume=...)", got, "a run goes on as it began", repair))
    if resume.sampling == "all":
        return None, "all"
    return resume.batch_size, sampling if kind == "given" else resume.sampling


def check_targets(loss: Any, t: Array, shape: tuple[int, ...] | None) -> None:
    """Refuse targets that the loss (also one with options filled in by `functools.partial`) is not defined for."""
    check = getattr(_plain(loss), "check_targets", None)
    if check is not None:
        check(t, shape)


def _plain(loss: Any) -> Any:
    return loss.func if isinstance(loss, partial) else loss


def warn_unreachable(model: Any, loss: Any, t: tuple[Array, ...]) -> None:
    """Warn of targets outside the range of the model's last layer, for losses that compare the output with t."""
    plain = _plain(loss)
    if plain not in RANGED or len(t) != 1:
        return
    low, high = output_range(model)
    if low == -math.inf and high == math.inf:
        return
    least, most = float(t[0].min()), float(t[0].max())
    if least < low or most > high:
        target = least if least < low else most
        warnings.warn(
            explain(
                f"fit with the loss {plain.__name__}",
                f"a target is {target:g}",
                f"the model's last layer gives values from {low:g} to {high:g} and cannot reach it",
                "End the model with a linear layer, or use targets within its range.",
            ),
            UnreachableTargetWarning,
            stacklevel=4,
        )
