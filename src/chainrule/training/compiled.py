"""The compiled engine: a chunk of steps is one call of machine code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from chainrule.compiler.program import Loop
from chainrule.compiler.runtime import Compiled, CompiledLoop, CompiledProgram, Part, require
from chainrule.compiler.schedule import Rows
from chainrule.graph import Node, walk
from chainrule.tensor import Input, Tensor
from chainrule.training.step import Array, Arrays, Ran, Recorder, Step

__all__ = ["CompiledRunner"]

FLOPS = 1e9  # a second: few enough that the first chunk of a run surely takes no longer than it may
LEAST = 50.0  # operations that a step costs besides


class CompiledRunner:
    """Runs a step over the rows of `data`; see `LoopRunner`.

    Arrays that lie in memory as the machine code reads them (contiguous, of the leaf's dtype) are read where they are,
    by row number; of others the rows of a chunk are gathered first.
    """

    program = CompiledProgram

    def __init__(self, step: Step, data: Sequence[Array], seed: int):
        require()
        self._step, self._data, self._seed = step, data, np.array(seed, np.int64)
        self._ready = [_ready(array, leaf) for array, leaf in zip(data, step.rows, strict=True)]
        self._counts = step.step in set(walk(step.outputs))  # whether a step asks for its number
        self._made: _Made | None = None
        self.recorder: Recorder | None = None

    @property
    def compiled(self) -> Compiled | None:
        """What ran."""
        return None if self._made is None else self._made.loop.code

    @property
    def row_bytes(self) -> int:
        """What a row of a step takes in a chunk: its number, and what is gathered."""
        gathered = zip(self._data, self._ready, strict=True)
        return 8 + sum(array.nbytes // max(1, len(array)) for array, ready in gathered if not ready)

    def first_chunk(self, arrays: Arrays, drawn: bool, every: int, seconds: float) -> int:
        """How many steps surely take no longer than `seconds`."""
        step, *record = self._loop(arrays, drawn).loop.code.flops
        return max(1, int(seconds * FLOPS / (step + LEAST + sum(record) / max(1, every))))

    def run(self, arrays: Arrays, indices: NDArray[np.int64] | None, first: int, count: int) -> Ran:
        """Make `count` steps from number `first` on."""
        return self._run(arrays, indices, first, count, 0 if self.recorder is not None else 1)

    def run_recorded(
        self, arrays: Arrays, indices: NDArray[np.int64] | None, first: int, every: int, periods: int
    ) -> Ran:
        """Make `periods` times a record and `every` steps."""
        return self._run(arrays, indices, first, every, periods)

    def record(self, arrays: Arrays, drawn: bool) -> Array:
        """The losses of `recorder`'s sets, as they are."""
        records = self._run(arrays, np.empty((0, 0), np.int64) if drawn else None, 0, 0, 1).records
        assert records is not None
        return records[:, 0]

    def _run(
        self, arrays: Arrays, indices: NDArray[np.int64] | None, first: int, steps: int, periods: int
    ) -> Ran:  # fmt: skip
        made, count = self._loop(arrays, indices is not None), steps * max(1, periods)
        losses, moved = np.empty(count, self._step.loss.dtype), np.zeros(0, np.int64)
        numbers = np.arange(first, first + count if self._counts else first)
        inputs = [*arrays.whole, *arrays.moving, *self._rows(indices), numbers, self._seed]
        outputs = [*made.after[: len(arrays.whole)], losses]
        if indices is not None:
            inputs.append(np.ascontiguousarray(indices))
        if self._step.moved is not None:
            moved = np.empty(count, np.int64)
            outputs.append(moved)
        outputs += made.after[len(arrays.whole) :]
        recorder, records = self.recorder, None
        if recorder is None:
            made.loop.run(inputs, outputs, steps, periods)
        else:
            records = np.empty((len(recorder.losses), periods))
            recorded = [*arrays.whole[: len(recorder.leaves)], *recorder.arrays]
            made.loop.run(inputs, outputs, steps, periods, (recorded, records))
        return Ran(losses.astype(np.float64, copy=False), int(moved.sum()), records)

    def _rows(self, indices: NDArray[np.int64] | None) -> Sequence[Array]:
        """The data as the machine code reads them."""
        if indices is None:
            return self._all
        return [
            array if ready else np.ascontiguousarray(array[indices], leaf.dtype)
            for array, ready, leaf in zip(self._data, self._ready, self._step.rows, strict=True)
        ]

    @cached_property
    def _all(self) -> list[Array]:
        return [np.ascontiguousarray(a, leaf.dtype) for a, leaf in zip(self._data, self._step.rows, strict=True)]

    def _loop(self, arrays: Arrays, drawn: bool) -> _Made:
        if self._made is None:
            after = [*arrays.whole, *(() if drawn else arrays.moving)]
            self._made = _Made(self._compiled(arrays, drawn), [np.empty_like(array) for array in after])
        return self._made

    def _compiled(self, arrays: Arrays, drawn: bool) -> CompiledLoop:
        step, recorder = self._step, self.recorder
        batch = step.rows[0].shape[0]
        numbers = Input((batch,), np.int64, name="rows")
        direct = [not drawn or ready for ready in self._ready]
        read: dict[Node, tuple[Node, Node]] = {}
        moving, rows, used = [], [], set(walk(step.outputs))
        for carry, array in zip(step.moving, arrays.moving, strict=True):
            moving.append(_whole(carry.before, array, numbers, read) if drawn else carry.before)
        for leaf, array, there in zip(step.rows, self._data, direct, strict=True):
            rows.append(_whole(leaf, array, numbers, read) if drawn and there and leaf in used else leaf)
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
        return CompiledLoop(Part(inputs, [*written, *outputs]), loop, Rows(read, written), record)


@dataclass(frozen=True)
class _Made:
    """The machine code, and where the carried values go that cannot be written over the old ones."""

    loop: CompiledLoop
    after: Sequence[Array]


def _ready(array: Array, leaf: Tensor) -> bool:
    return array.dtype == leaf.dtype and array.flags.c_contiguous


def _whole(leaf: Tensor, array: Array, numbers: Tensor, read: dict[Node, tuple[Node, Node]]) -> Tensor:
    """A leaf for all of `array`, of which `leaf` is the rows `numbers`."""
    whole = Input(array.shape, leaf.dtype, name=leaf.name)
    read[leaf] = whole, numbers
    return whole
