"""The compiled engine: a chunk of steps is one call of machine code."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from chainrule.compiler.program import Loop
from chainrule.compiler.runtime import Compiled, CompiledLoop, Part, require
from chainrule.compiler.schedule import Rows
from chainrule.graph import Node
from chainrule.tensor import Input, Tensor
from chainrule.training.step import Array, Arrays, Ran, Recorder, Step

__all__ = ["CompiledRunner"]


class CompiledRunner:
    """Runs a step over the rows of `data`; see `Runner`.

    Arrays that lie in memory as the machine code reads them (contiguous, of the leaf's dtype) are read where they are,
    by row number; of others the rows of a chunk are gathered first.
    """

    def __init__(self, step: Step, data: Sequence[Array], seed: int):
        self._step, self._data, self._seed = step, data, np.array(seed, np.int64)
        require()
        self.compiled: Compiled | None = None  # what ran last
        self._loops: dict[tuple[bool, bool], tuple[CompiledLoop, list[bool]]] = {}

    def run(self, arrays: Arrays, indices: NDArray[np.int64] | None, first: int, count: int) -> Ran:
        """Make `count` steps from number `first` on."""
        return self._run(arrays, indices, first, count, 1, None)

    def run_recorded(
        self,
        arrays: Arrays,
        indices: NDArray[np.int64] | None,
        first: int,
        every: int,
        periods: int,
        recorder: Recorder,
    ) -> Ran:
        """Make `periods` times a record and `every` steps."""
        return self._run(arrays, indices, first, every, periods, recorder)

    def _run(
        self, arrays: Arrays, indices: NDArray[np.int64] | None, first: int, every: int, periods: int,
        recorder: Recorder | None,
    ) -> Ran:  # fmt: skip
        drawn, count = indices is not None, every * periods
        loop, direct = self._loop(arrays, drawn, recorder)
        whole = [np.array(array) for array in arrays.whole]
        rows = [
            array if there else np.ascontiguousarray(array if indices is None else array[indices], leaf.dtype)
            for array, there, leaf in zip(self._data, direct, self._step.rows, strict=True)
        ]
        losses, moved = np.empty(count, self._step.loss.dtype), np.zeros(count, np.int64)
        inputs = [*whole, *arrays.moving, *rows, np.arange(first, first + count), self._seed]
        outputs = [*map(np.empty_like, whole), losses]
        if indices is not None:
            inputs.append(np.ascontiguousarray(indices))
        if self._step.moved is not None:
            outputs.append(moved)
        if not drawn:
            outputs += map(np.empty_like, arrays.moving)
        records = None
        if recorder is not None:
            records = np.empty((len(recorder.losses), periods))
            loop.run(inputs, outputs, every, periods, ([*whole[: len(recorder.leaves)], *recorder.arrays], records))
        else:
            loop.run(inputs, outputs, every, periods)
        arrays.whole = whole
        return Ran(losses.astype(np.float64, copy=False), int(moved.sum()), None if records is None else records.T)

    def _loop(self, arrays: Arrays, drawn: bool, recorder: Recorder | None) -> tuple[CompiledLoop, list[bool]]:
        key = drawn, recorder is not None
        if key not in self._loops:
            self._loops[key] = self._compiled(arrays, drawn, recorder)
        self.compiled = self._loops[key][0].code
        return self._loops[key]

    def _compiled(self, arrays: Arrays, drawn: bool, recorder: Recorder | None) -> tuple[CompiledLoop, list[bool]]:
        step = self._step
        batch = step.rows[0].shape[0]
        numbers = Input((batch,), np.int64, name="rows")
        direct = [not drawn or _ready(array, leaf) for array, leaf in zip(self._data, step.rows, strict=True)]
        read: dict[Node, tuple[Node, Node]] = {}
        moving, rows = [], []
        for carry, array in zip(step.moving, arrays.moving, strict=True):
            moving.append(_whole(carry.before, array, numbers, read) if drawn else carry.before)
        for leaf, array, there in zip(step.rows, self._data, direct, strict=True):
            rows.append(_whole(leaf, array, numbers, read) if drawn and there else leaf)
        whole = [carry.before for carry in step.whole]
        inputs = [*whole, *moving, *rows, step.step, step.seed, *([numbers] if drawn else [])]
        after = [carry.after for carry in step.moving]
        outputs = [
            *(carry.after for carry in step.whole),
            step.loss,
            *((step.moved,) if step.moved is not None else ()),
        ]
        n, m = len(whole), len(moving)
        streamed = {n + m + len(rows)} | ({len(inputs) - 1} if drawn else set())
        streamed |= {n + m + i for i, there in enumerate(direct) if not there}
        carried = {i: i for i in range(n)}
        if drawn:
            written: dict[Node, tuple[Node, Node]] = {
                y: (whole_leaf, numbers) for y, whole_leaf in zip(after, moving, strict=True)
            }
        else:
            written = {}
            outputs, carried = [*outputs, *after], carried | {len(outputs) + i: n + i for i in range(m)}
        loop = Loop(tuple(carried.items()), frozenset(streamed), frozenset(range(n, n + 1 + (step.moved is not None))))
        record = Part((*recorder.leaves, *recorder.inputs), recorder.losses) if recorder is not None else None
        return CompiledLoop(Part(inputs, [*written, *outputs]), loop, Rows(read, written), record), direct


def _ready(array: Array, leaf: Tensor) -> bool:
    return array.dtype == leaf.dtype and array.flags.c_contiguous


def _whole(leaf: Tensor, array: Array, numbers: Tensor, read: dict[Node, tuple[Node, Node]]) -> Tensor:
    """A leaf for all of `array`, of which `leaf` is the rows `numbers`."""
    whole = Input(array.shape, leaf.dtype, name=leaf.name)
    read[leaf] = whole, numbers
    return whole
