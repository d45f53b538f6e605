"""One step of training as a graph: the boundary between what is trained and the engine that runs it.

Everything above it (records, progress, early stopping, errors) is the same whichever engine runs. An engine is given a
`Step` once, and then chunks of steps to run; it knows nothing of models, losses and optimizers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from chainrule.graph import Node
from chainrule.tensor import Tensor

__all__ = ["Arrays", "Carry", "Engine", "LoopRunner", "Ran", "Recorder", "Runner", "Step", "looping"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Carry:
    """A value that goes from step to step: `before` is a leaf of the graph, `after` the node of its next value."""

    name: str
    before: Tensor
    after: Tensor


@dataclass(frozen=True)
class Step:
    """What one step computes. `i` stands for the step's row numbers, (batch,), or for all rows if they are not drawn.

    Attributes:
        whole: arrays carried from step to step: parameters, running statistics, optimizer state.
        moving: arrays with one entry a data row, of which a step reads the entries i and writes them back.
        rows: leaves that hold the entries i of the run's data arrays, in their order.
        step, seed: leaves that hold the number of the step (from 0) and the run's seed; int64.
        loss: the loss of the step, a number.
        moved: how many rows got a gradient that is not zero, int64; None if nothing moves.
    """

    whole: tuple[Carry, ...]
    moving: tuple[Carry, ...]
    rows: tuple[Tensor, ...]
    step: Tensor
    seed: Tensor
    loss: Tensor
    moved: Tensor | None = None

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """The graph's leaves in the order in which an engine gives them values."""
        carried = (carry.before for carry in (*self.whole, *self.moving))
        return (*carried, *self.rows, self.step, self.seed)

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """What a step computes: the carried values' next ones, the loss, and the count of moved rows if any."""
        carried = (carry.after for carry in (*self.whole, *self.moving))
        return (*carried, self.loss, *((self.moved,) if self.moved is not None else ()))

    def computing(self, outputs: Sequence[Tensor]) -> Step:
        """The same with other nodes for its `outputs`."""
        left = iter(outputs)
        whole, moving = (
            tuple(replace(carry, after=next(left)) for carry in carries) for carries in (self.whole, self.moving)
        )
        return replace(self, whole=whole, moving=moving, loss=next(left), moved=next(left, None))


@dataclass
class Arrays:
    """The values a run carries, in the order of `Step.whole` and `Step.moving`.

    The arrays in `whole` are replaced, never written to, so that a copy of the list keeps the old values (but see
    `LoopRunner`); those in `moving` are written in place.
    """

    whole: list[Array]
    moving: list[Array] = field(default_factory=list)


class Ran(NamedTuple):
    """What a chunk of steps gave besides the carried values.

    Attributes:
        loss: the mean over the steps.
        moved: how many rows moved in all.
        records: those taken in between, (sets, periods).
        final: one taken after the last step, (sets,).
    """

    loss: float
    moved: int = 0
    records: Array | None = None
    final: Array | None = None


class Recorder(NamedTuple):
    """The records as a graph: `leaves` get the first carried values (the parameters), `inputs` what is recorded."""

    leaves: Sequence[Tensor]
    inputs: Sequence[Tensor]
    losses: Sequence[Tensor]


class Runner(Protocol):
    """A step made ready to run, by one at a time."""

    def begin(self, data: Sequence[Array], seed: int) -> None:
        """A run begins, over the rows of `data`, one array for each of `Step.rows`.

        After another one, the arrays have the same shapes, dtypes and layout.
        """
        ...

    def run(self, arrays: Arrays, indices: NDArray[np.int64] | None, first: int, count: int) -> Ran:
        """Make the steps `first` to `first + count - 1`; `arrays` then hold the carried values after them.

        `indices` are the rows of each step, (count, batch), or None: all of them, in order. Interrupted by an exception
        it leaves `arrays.whole` as it was, or after a whole step.
        """
        ...

    def end(self) -> None:
        """The run is over: let go of its data, and of large memory."""
        ...


class LoopRunner(Runner, Protocol):
    """A runner that makes a chunk in one go, and writes the arrays of `whole` in place, too.

    Attributes:
        recorder: records that it can take on its way, without coming back for each; set before the first step, if at
            all, and the same in another run.
        recorded: the arrays of `recorder.inputs` in this run.
        program: evaluates other graphs, as `evaluate.Program`.
    """

    recorder: Recorder | None
    recorded: Sequence[Array]
    program: Callable[[Sequence[Node], Sequence[Node]], Callable[..., list[Array]]]

    @property
    def row_bytes(self) -> int:
        """The memory that a row of a step takes in a chunk."""
        ...

    def first_chunk(self, arrays: Arrays, drawn: bool, every: int, seconds: float) -> tuple[int, bool]:
        """How many steps take no longer than `seconds`, with a record before each `every` if it is not 0.

        And whether that was measured, by an earlier run; if not, it is less than it could be. `drawn`: whether steps
        are given row numbers.
        """
        ...

    def run_recorded(
        self, arrays: Arrays, indices: NDArray[np.int64] | None, first: int, every: int, periods: int, final: bool
    ) -> Ran:
        """As `run`, for `periods` times `every` steps, with a record before each period, and after all if `final`."""
        ...

    def record(self, arrays: Arrays) -> Array:
        """A record of the values as they are, (sets,)."""
        ...


def looping(runner: Runner) -> LoopRunner | None:
    """The runner, if it is one that makes a chunk in one go."""
    return runner if hasattr(runner, "run_recorded") else None  # type: ignore[return-value]


class Engine(Protocol):
    """Makes a step ready to run."""

    def __call__(self, step: Step) -> Runner:
        """The runner of `step`."""
        ...
