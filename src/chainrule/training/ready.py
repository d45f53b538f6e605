"""What a call of `fit` needs before its first step: the step, its runner, the evaluator; made, or kept from before."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from chainrule.compile import FallbackWarning
from chainrule.errors import CompileError, MissingExtraError
from chainrule.evaluate import Program
from chainrule.sampling import Sampler
from chainrule.training.fingerprint import fingerprint
from chainrule.training.kept import Kept, keep, take
from chainrule.training.record import Evaluator, Rows
from chainrule.training.reference import ReferenceRunner
from chainrule.training.step import Array, Engine, LoopRunner, Runner, looping
from chainrule.training.trace import Traced

__all__ = ["Ready", "Task", "made_ready"]


class Task(NamedTuple):
    """What is to be trained.

    Attributes:
        called: "fit" or "fit_data".
        trace: makes the step anew.
        moved: the rows that are moved, if those are.
    """

    called: str
    model: Any
    loss: Any
    optimizer: Any
    clip: Any
    trace: Callable[[], Traced]
    train: Rows
    moved: Array | None
    sampler: Sampler
    start: int
    stop: int

    @property
    def data(self) -> list[Array]:
        """The arrays of which a step reads rows."""
        weights = [self.train.weights] if self.train.weights is not None else []
        return [*(self.train.x if self.moved is None else ()), *self.train.t, *weights]


@dataclass
class Ready:
    """A task with all that its run needs.

    Attributes:
        looping: the runner, if it is one that makes a chunk in one go.
        shapes: of the model's output for every recorded set, None if it has several.
        kept: where to put it when the run is over; None: nowhere.
    """

    traced: Traced
    runner: Runner
    looping: LoopRunner | None
    evaluator: Evaluator
    shapes: Sequence[tuple[int, ...] | None]
    kept: Kept | None

    def keep(self) -> None:
        """The run is over: leave what was made to the next one."""
        self.runner.end()
        if self.kept is not None:
            keep(self.evaluator.model, self.kept)


def made_ready(
    task: Task, sets: Sequence[Rows], every: int, metrics: Mapping[str, Any], engine: Engine, verify: bool,
    fallback: bool,
) -> Ready:  # fmt: skip
    """The step and its runner, kept from an earlier call where all is equal that decides them.

    Args:
        sets: the rows whose losses are recorded, before every `every`-th step (0: never).
        verify: the step is to be traced anew, at the line of this call.
        fallback: where it cannot be compiled, warn and take the reference engine.

    Raises CompileError, and MissingExtraError without llvmlite, unless there is a `fallback`.
    """
    sampler = task.sampler
    parts = task.model, task.loss, task.optimizer, task.clip
    form: Any = engine, task.called, sampler.batch_size, sampler.kind, every > 0, bool(metrics)
    forms = _form(task.train), *[rows is task.train or _form(rows) for rows in sets]
    found = None if verify else fingerprint(parts, (form, *forms))
    kept = take(task.model, found) if found is not None else None
    traced = task.trace() if kept is None else kept.traced.begun(task.moved)
    leaves, sizes = list(traced.parameters.values()), kept.sizes if kept is not None else {}
    evaluator = Evaluator(task.model, task.loss, leaves, metrics, sizes=sizes)
    if kept is None:
        evaluator.learn(task.train, traced)
    shapes = kept.shapes if kept is not None else [evaluator.output_shape(rows) for rows in sets]
    try:
        runner = kept.runner if kept is not None else engine(traced.step)
        runner.begin(task.data, sampler.seed)
        made = looping(runner)
        if made is not None:
            _prepare(made, task, traced, evaluator, sets, every, fallback)
    except (CompileError, MissingExtraError) as error:
        if not fallback:
            raise
        warnings.warn(f"{error} The whole run is on the reference engine.", FallbackWarning, stacklevel=4)
        runner, made, found = ReferenceRunner(traced.step), None, None
        runner.begin(task.data, sampler.seed)
        evaluator.program = Program
    if kept is None and found is not None:
        kept = Kept(found, traced, evaluator.sizes, shapes, runner)
    return Ready(traced, runner, made, evaluator, shapes, kept)


def _prepare(
    made: LoopRunner, task: Task, traced: Traced, evaluator: Evaluator, sets: Sequence[Rows], every: int, fallback: bool
) -> None:
    """Give a runner its records; where there is a fallback, compile it now."""
    evaluator.program = _either(made.program) if fallback else made.program
    if every:
        found = evaluator.graph(sets, task.moved, made.recorder)
        made.recorder, made.recorded = found if found is not None else (None, ())
    if fallback:
        made.first_chunk(traced.arrays, task.sampler.kind != "all", every, seconds=1.0)


def _either(program: Callable[..., Any]) -> Callable[..., Any]:
    """`program`, or the reference for a graph that it refuses."""

    def made(inputs: Any, outputs: Any) -> Any:
        try:
            return program(inputs, outputs)
        except CompileError as error:
            warnings.warn(f"{error} It runs on the reference engine.", FallbackWarning, stacklevel=2)
            return Program(inputs, outputs)

    return made


def _form(rows: Rows) -> Hashable:
    """What of a set decides the graph of its loss, and how it is read."""
    arrays = [(array.shape, array.dtype, array.flags.c_contiguous) for array in (*rows.x, *rows.t)]
    chosen: Any = rows.chosen
    part = (chosen.start, chosen.stop, chosen.step) if isinstance(chosen, slice) else chosen is not None and len(chosen)
    return len(rows.x), *arrays, rows.weights is None, part
