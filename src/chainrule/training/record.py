"""The loss over whole sets of rows, in pieces of bounded memory, without touching the training."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import DTypeError, ShapeError, explain
from chainrule.evaluate import Program
from chainrule.graph import Node, dependents, tracing, walk
from chainrule.tensor import Input, Tensor, as_tensor
from chainrule.training.step import Recorder
from chainrule.training.trace import Traced, as_argument, per_row_loss, placeholders

__all__ = ["Evaluator", "Rows", "Size"]

Array = NDArray[Any]
MEMORY = 2**25  # bytes of intermediate values of one piece


@dataclass(frozen=True)
class Rows:
    """A named set of rows: whole arrays, or (with `chosen`) some rows of them."""

    name: str
    x: tuple[Array, ...]
    t: tuple[Array, ...]
    weights: Array | None = None
    chosen: NDArray[np.int64] | slice | None = None

    def __len__(self) -> int:
        if self.chosen is None:
            return len(self.t[0])
        if isinstance(self.chosen, slice):
            return len(range(*self.chosen.indices(len(self.t[0]))))
        return len(self.chosen)

    def all_of(self, arrays: Sequence[Array]) -> Sequence[Array]:
        """The rows of the set, of each array."""
        return arrays if self.chosen is None else self.piece(arrays, 0, len(self))

    def piece(self, arrays: Sequence[Array], start: int, stop: int) -> list[Array]:
        """The rows `start` to `stop` - 1 of the set, of each array."""
        where: Any = slice(start, stop)
        if isinstance(self.chosen, slice):
            run = range(*self.chosen.indices(len(self.t[0])))[start:stop]
            where = slice(run.start, run.stop, run.step) if run.step > 0 else np.array(run)
        elif self.chosen is not None:
            where = self.chosen[start:stop]
        return [array[where] for array in arrays]


@dataclass(frozen=True)
class _Evaluation:
    """The losses and, if there are metrics, the outputs of a piece; `leaves` are its rows."""

    program: Callable[..., list[Array]]
    leaves: Sequence[Tensor]


class Size(NamedTuple):
    """What is known of a model's evaluation of rows of certain shapes and dtypes.

    Attributes:
        bytes: what the values of one row take.
        output: the shape of the model's output, None if it has several; the first number is of any rows.
    """

    bytes: int
    output: tuple[int, ...] | None


@dataclass
class Evaluator:
    """Evaluates a model's loss and metrics over sets of rows, for given values of `leaves` (its parameters).

    The model is traced once for every number of rows in a piece, in evaluation mode.
    """

    model: Any
    loss: Any
    leaves: Sequence[Tensor]
    metrics: Mapping[str, Callable[[Any, Any], Any]]
    program: Callable[[Sequence[Node], Sequence[Node]], Callable[..., list[Array]]] = Program
    sizes: dict[Any, Size] = field(default_factory=dict)
    _programs: dict[Any, _Evaluation] = field(default_factory=dict)

    def evaluate(self, values: Sequence[Array], rows: Rows) -> tuple[float, dict[str, float]]:
        """The (weighted) mean loss over `rows`, and every metric's mean."""
        total, weight, sums, n = 0.0, 0.0, dict.fromkeys(self.metrics, 0.0), len(rows)
        size = self._piece_size(rows)
        for start in range(0, n, size):
            count = min(size, n - start)
            x, t = rows.piece(rows.x, start, start + count), rows.piece(rows.t, start, start + count)
            losses, y = self._run(values, x, t, count)
            w = None if rows.weights is None else rows.piece([rows.weights], start, start + count)[0]
            weight += count if w is None else float(w.sum(dtype=np.float64))
            total += _total(losses, count, w)
            for name, metric in self.metrics.items():
                measured = metric(y, as_argument([*map(as_tensor, t)]))
                sums[name] += _total(_measured(name, measured, count), count, None)
        return total / weight if weight else math.nan, {name: value / n for name, value in sums.items()}

    def learn(self, rows: Rows, traced: Traced) -> None:
        """Take from a step over such rows what would else be found by tracing the model once more."""
        step = traced.step
        leaves = [*(carry.before for carry in step.moving[:1]), *step.rows]
        self.sizes[_key(rows)] = _size([step.loss], traced.outputs, leaves, leaves[0].shape[0])

    def output_shape(self, rows: Rows) -> tuple[int, ...] | None:
        """The shape of the model's output for these rows, None if it has several; refuses what does not fit."""
        shape = self._size(rows).output
        return None if shape is None else (len(rows), *shape[1:])

    def graph(
        self, sets: Sequence[Rows], moving: Array | None = None, known: Recorder | None = None
    ) -> tuple[Recorder, Sequence[Array]] | None:
        """The mean losses over `sets` as one graph, if it is small enough to be evaluated in one go, and its arrays.

        What of them lies in `moving` is to be read where it lies: it moves. `known` is that graph, if it was made
        before for sets of the same form.
        """
        if known is None and (self.metrics or any(self._piece_size(rows) < len(rows) for rows in sets)):
            return None
        inputs: list[Tensor] = []
        arrays: list[Array] = []
        means: list[Tensor] = []
        for rows in sets:
            data = rows.all_of((*rows.x, *rows.t))
            native = [_native(array) for array in data]
            if moving is not None and rows.x[0] is moving and not np.shares_memory(native[0], moving):
                return None
            if rows.weights is not None:
                (w,) = rows.all_of([rows.weights])
                native += [np.ascontiguousarray(w, np.float64), np.array(w.sum(dtype=np.float64))]
            arrays += native
            if known is None:
                leaves, mean = self._mean(rows, data[: len(rows.x)], data[len(rows.x) :])
                inputs, means = [*inputs, *leaves], [*means, mean]
        return Recorder(self.leaves, inputs, means) if known is None else known, arrays

    def _mean(self, rows: Rows, x: Sequence[Array], t: Sequence[Array]) -> tuple[list[Tensor], Tensor]:
        """The mean loss of `rows` as a graph: its leaves, of which the last two are weights and their sum, if any."""
        leaves, losses, _ = self._trace(x, t, len(rows))
        wide = losses.astype(np.float64)
        if rows.weights is None:
            return leaves, wide.mean()
        weights, total = Input((len(rows),), np.float64, name="sample_weight"), Input((), np.float64, name="total")
        weighted = (wide * weights).sum() / total if losses.shape else wide
        return [*leaves, weights, total], weighted.mean()

    def _run(self, values: Sequence[Array], x: list[Array], t: list[Array], count: int) -> tuple[Array, Any]:
        made = self._program(x, t, count)
        native = [array.astype(leaf.dtype, copy=False) for array, leaf in zip([*x, *t], made.leaves, strict=True)]
        losses, *outputs = made.program(*values, *native)
        return losses, as_argument([as_tensor(y) for y in outputs]) if outputs else None

    def _program(self, x: Sequence[Array], t: Sequence[Array], count: int) -> _Evaluation:
        key = (count, *((array.shape[1:], array.dtype.str) for array in (*x, *t)))
        if key not in self._programs:
            leaves, losses, ys = self._trace(x, t, count)
            wanted = ys if self.metrics else ()
            self._programs[key] = _Evaluation(self.program([*self.leaves, *leaves], [losses, *wanted]), leaves)
        return self._programs[key]

    def _trace(
        self, x: Sequence[Array], t: Sequence[Array], count: int
    ) -> tuple[list[Tensor], Tensor, tuple[Any, ...]]:
        xs, ts = placeholders("x", x, count), placeholders("t", t, count)
        with tracing():
            y = self.model(*xs)
            losses = per_row_loss(self.loss, y, as_argument(ts), count)
        return [*xs, *ts], losses, y if isinstance(y, tuple) else (y,)

    def _piece_size(self, rows: Rows) -> int:
        """How many rows may be evaluated in one go: what one row's values take decides."""
        return min(max(1, MEMORY // self._size(rows).bytes), len(rows))

    def _size(self, rows: Rows) -> Size:
        key = _key(rows)
        if key not in self.sizes:
            leaves, losses, ys = self._trace(rows.x, rows.t, 1)
            self.sizes[key] = _size([losses], ys, leaves, 1)
        return self.sizes[key]


def _native(array: Array) -> Array:
    """The same values as machine code reads them: the array itself, if it can."""
    if array.flags.c_contiguous and array.dtype.isnative:
        return array
    return np.ascontiguousarray(array, array.dtype.newbyteorder("="))


def _size(losses: Sequence[Tensor], outputs: Sequence[Tensor], leaves: Sequence[Tensor], count: int) -> Size:
    """What the values that depend on `leaves`, which are `count` rows, take for one row, at least 1; and the output."""
    used = dependents(walk([*losses, *outputs]), leaves)
    nbytes = sum(node.dtype.itemsize * math.prod(node.shape) for node in used) // count
    return Size(max(1, nbytes), outputs[0].shape if len(outputs) == 1 else None)


def _measured(name: str, found: Any, count: int) -> Array:
    """What a metric gave for `count` rows, refused unless it is a value a row or a number."""
    called, rule = f"the metric {name!r}", f"a metric is one number a row, ({count},), or one number, ()"
    if found is None:
        raise DTypeError(explain(called, "it returned None", rule, "Add the `return` that is missing at its end."))
    values = np.asarray(as_tensor(found))
    if values.shape not in ((), (count,)):
        repair = "Take the mean over the other axes, for example values.mean(axis=1)."
        raise ShapeError(explain(called, f"for {count} rows it returned {values.shape}", rule, repair))
    return values


def _total(values: Array, count: int, weights: Array | None) -> float:
    """The sum over the rows; a number that stands for all of them counts for each."""
    if not values.shape:
        return float(values) * count
    return float(np.sum(values if weights is None else values * weights, dtype=np.float64))


def _key(rows: Rows) -> Any:
    return tuple([(array.shape[1:], array.dtype) for array in (*rows.x, *rows.t)])
