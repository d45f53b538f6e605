"""The compiled engine: a chunk of steps is one call of machine code."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from chainrule.compiler.program import Loop
from chainrule.compiler.runtime import CompiledLoop, Part
from chainrule.compiler.schedule import Rows
from chainrule.tensor import Input, Tensor
from chainrule.training.step import Array, Arrays, Ran, Recorder, Step

__all__ = ["CompiledRunner"]


class CompiledRunner:
    """Runs a step over the rows of `data`; see `Runner`.

    Arrays that lie in memory as the machine code reads them (contiguous, of the leaf's dtype) are read where they are,
    by row number; of others the rows of a chunk are gathered first.
    """

    takes_records = True

    def __init__(self, step: Step, data: Sequence[Array], seed: int, recorder: Recorder | None = None):
        self._step, self._data, self._seed = step, data, np.array(seed, np.int64)
        self._recorder = recorder
        self._programs: dict[tuple[bool, bool], tuple[CompiledLoop, list[bool]]] = {}

    def run(
        self, arrays: Arrays, indices: NDArray[np.int64] | None, first: int, count: int, periods: int | None = None
    ) -> Ran:
        """Make `count` steps from number `first` on."""
        program, direct = self._program(arrays, drawn=indices is not None, recorded=periods is not None)
        whole = [np.array(array) for array in arrays.whole]
        rows = [
            array if there else np.ascontiguousarray(array if indices is None else array[indices], leaf.dtype)
            for array, there, leaf in zip(self._data, direct, self._step.rows, strict=True)
        ]
        numbers = np.arange(first, first + count)
        losses = np.empty(count, self._step.loss.dtype)
        moved = np.zeros(count, np.int64)
        drawn = [] if indices is None else [np.ascontiguousarray(indices)]
        inputs = [*whole, *arrays.moving, *rows, numbers, self._seed, *drawn]
        counted = [moved] if self._step.moved is not None else []
        after = [np.empty_like(array) for array in ([] if drawn else arrays.moving)]
        outputs = [*map(np.empty_like, whole), losses, *counted, *after]
        if periods is None:
            records = None
            program.run(inputs, outputs, count)
        else:
            records = self._recorded(program, whole, inputs, outputs, count, periods)
        arrays.whole = whole
        return Ran(losses.astype(np.float64, copy=False), int(moved.sum()), records)

    def _recorded(
        self, program: CompiledLoop, whole: list[Array], inputs: list[Array], outputs: list[Array], count: int,
        periods: int,
    ) -> Array:  # fmt: skip
        recorder = self._recorder
        assert recorder is not None
        found = [np.empty(periods) for _ in recorder.losses]
        values = [*whole[: len(recorder.leaves)], *recorder.arrays]
        program.run(inputs, outputs, count // periods, periods, (values, found))
        return np.stack(found, axis=1)

    def _program(self, arrays: Arrays, drawn: bool, recorded: bool) -> tuple[CompiledLoop, list[bool]]:
        key = drawn, recorded
        if key not in self._programs:
            self._programs[key] = self._compiled(arrays, drawn, self._recorder if recorded else None)
        return self._programs[key]

    def _compiled(self, arrays: Arrays, drawn: bool, recorder: Recorder | None) -> tuple[CompiledLoop, list[bool]]:
        step = self._step
        batch = step.rows[0].shape[0]
        numbers = Input((batch,), np.int64, name="rows")
        direct = [not drawn or _ready(array, leaf) for array, leaf in zip(self._data, step.rows, strict=True)]
        read: dict[Tensor, tuple[Tensor, Tensor]] = {}
        moving, rows = [], []
        for carry, array in zip(step.moving, arrays.moving, strict=True):
            moving.append(_whole(carry.before, array, numbers, read) if drawn else carry.before)
        for leaf, array, there in zip(step.rows, self._data, direct, strict=True):
            rows.append(_whole(leaf, array, numbers, read) if drawn and there else leaf)
        whole = [carry.before for carry in step.whole]
        inputs = [*whole, *moving, *rows, step.step, step.seed, *([numbers] if drawn else [])]
        after = [carry.after for carry in step.moving]
        outputs = [*(carry.after for carry in step.whole), step.loss, *((step.moved,) if step.moved is not None else ())]
        n, m = len(whole), len(moving)
        streamed = {n + m + len(rows)} | ({len(inputs) - 1} if drawn else set())
        streamed |= {n + m + i for i, there in enumerate(direct) if not there}
        carried = {i: i for i in range(n)}
        if drawn:
            written = {y: (whole_leaf, numbers) for y, whole_leaf in zip(after, moving, strict=True)}
        else:
            written = {}
            outputs, carried = [*outputs, *after], carried | {len(outputs) + i: n + i for i in range(m)}
        loop = Loop(tuple(carried.items()), frozenset(streamed), frozenset(range(n, n + 1 + (step.moved is not None))))
        record = Part((*recorder.leaves, *recorder.inputs), recorder.losses) if recorder is not None else None
        return CompiledLoop(Part(inputs, [*written, *outputs]), loop, Rows(read, written), record), direct


def _ready(array: Array, leaf: Tensor) -> bool:
    return array.dtype == leaf.dtype and array.flags.c_contiguous


def _whole(leaf: Tensor, array: Array, numbers: Tensor, read: dict[Tensor, tuple[Tensor, Tensor]]) -> Tensor:
    """A leaf for all of `array`, of which `leaf` is the rows `numbers`."""
    whole = Input(array.shape, leaf.dtype, name=leaf.name)
    read[leaf] = whole, numbers
    return whole
