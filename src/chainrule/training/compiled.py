"""The compiled engine: a chunk of steps is one call of machine code."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from chainrule.compiler.carried import Loop
from chainrule.compiler.compilation import Compiled, Part, require
from chainrule.compiler.hoisting import hoisted
from chainrule.compiler.kernels import Rows
from chainrule.compiler.runtime import CompiledLoop, CompiledProgram
from chainrule.finite import is_finite
from chainrule.graph import Node, walk
from chainrule.tensor import Input, Tensor
from chainrule.training.step import Array, Arrays, Ran, Recorder, Step

__all__ = ["CompiledRunner"]

FLOPS = 1e9  # a second: few enough that the first chunk of a run surely takes no longer than it may
LEAST = 50.0  # operations that a step costs besides
MEASURED = 1e-3  # seconds that steps take together, at least, for their pace to be known
ASKED = 2**16  # elements: of more, held by a model that is not trained, nobody asks whether they are finite
_NONE = np.empty(0, np.int64)  # the numbers of steps, where nobody asks


class CompiledRunner:
    """Runs a step; see `LoopRunner`.

    Arrays that lie in memory as the machine code reads them (contiguous, of the leaf's dtype) are read where they are,
    by row number; of others the rows of a chunk are gathered first.

    Attributes:
        compiled: what ran last.
        row_bytes: what a row of a step takes in a chunk: its number, and what is gathered.
    """

    program = CompiledProgram

    def __init__(self, step: Step):
        require()
        self.recorder: Recorder | None = None
        self.recorded: Sequence[Array] = ()
        self.compiled: Compiled | None = None
        self.row_bytes = 8
        found, outputs = hoisted(step.inputs, step.outputs)
        self._before = CompiledProgram([], [*found]) if found else None
        self._hoisted = [*found.values()]  # leaves for what it computes
        self._step = step = step.computing(outputs) if found else step  # type: ignore[arg-type]
        self._loops: dict[bool, CompiledLoop] = {}  # without and with records
        self._record: CompiledProgram | None = None  # of a run whose loop has none
        self._held = _held(step, self._hoisted)
        self._held_finite = False  # whether they hold finite numbers only in this run
        self._counts = False  # whether a step asks for its number; known once there is a loop
        self._pace: dict[int, float] = {}  # seconds a step took, by how often a record was taken (0: never)
        self._drawn = True
        self._after: list[Array] = []  # where carried values go that cannot be written over the old ones
        self._data: Sequence[Array] = ()
        self._all: Sequence[Array] = ()  # the data as the machine code reads them, once a step has read all of them
        self._ready: list[bool] = []  # which data are read where they lie; known once a run began
        self._seed = np.zeros((), np.int64)

    def begin(self, data: Sequence[Array], seed: int) -> None:
        """A run begins, over the rows of `data`."""
        held = [leaf.value for leaf in self._held if leaf.value is not None]
        few = sum([math.prod(x.shape) for x in (*self._held, *self._hoisted)]) <= ASKED
        finite = few and all(map(is_finite, (*held, *self._computed())))
        if finite is not self._held_finite:
            self._held_finite, self._loops = finite, {}
        self._data, self._seed = data, np.array(seed, np.int64)
        if not self._ready:
            self._ready = [_ready(array, leaf) for array, leaf in zip(data, self._step.rows, strict=True)]
            gathered = [array for array, ready in zip(data, self._ready, strict=True) if not ready]
            self.row_bytes = 8 + sum(array.nbytes // max(1, len(array)) for array in gathered)

    def end(self) -> None:
        """The run is over: let go of its data, and of large memory."""
        self._data, self._all, self._after, self.recorded, self._record = (), (), [], (), None
        for loop in self._loops.values():
            loop.trim()

    def first_chunk(self, arrays: Arrays, drawn: bool, every: int, seconds: float) -> tuple[int, bool]:
        """How many steps take no longer than `seconds`, and whether that was measured."""
        loop = self._loop(arrays, drawn, every > 0)
        if every in self._pace:
            return max(1, int(seconds / self._pace[every])), True
        step, *record = loop.code.flops
        return max(1, int(seconds * FLOPS / (step + LEAST + sum(record) / max(1, every)))), False

    def run(self, arrays: Arrays, indices: NDArray[np.int64] | None, first: int, count: int) -> Ran:
        """Make `count` steps from number `first` on."""
        began = time.perf_counter()
        ran = self._run(arrays, indices, first, count, 1, None, False)
        self._clock(0, count, time.perf_counter() - began)
        return ran

    def run_recorded(
        self, arrays: Arrays, indices: NDArray[np.int64] | None, first: int, every: int, periods: int, final: bool
    ) -> Ran:
        """Make `periods` times a record and `every` steps; then a `final` record."""
        began = time.perf_counter()
        ran = self._run(arrays, indices, first, every, periods, self.recorder, final)
        self._clock(every, every * periods, time.perf_counter() - began)
        return ran

    def _clock(self, every: int, count: int, seconds: float) -> None:
        """Remember the pace of many steps made in one go: of the last run with records, and of that without."""
        if seconds > MEASURED:
            others = {k: pace for k, pace in self._pace.items() if not (k and every)}
            self._pace = others | {every: seconds / count}

    def record(self, arrays: Arrays) -> Array:
        """The losses of `recorder`'s sets, as they are: by the loop without a step, where there is one with records."""
        recorder = self.recorder
        assert recorder is not None
        if True not in self._loops:
            if self._record is None:
                self._record = CompiledProgram([*recorder.leaves, *recorder.inputs], recorder.losses)
            return np.array(self._record(*arrays.whole[: len(recorder.leaves)], *self.recorded))
        rows = np.zeros((0, self._step.rows[0].shape[0]), np.int64) if self._drawn else None
        taken = self._run(arrays, rows, 0, 0, 0, recorder, True).final
        assert taken is not None
        return taken

    def _run(
        self, arrays: Arrays, indices: NDArray[np.int64] | None, first: int, steps: int, periods: int,
        recorder: Recorder | None, final: bool,
    ) -> Ran:  # fmt: skip
        n, count, drawn = len(arrays.whole), steps * periods, indices is not None
        loop, after = self._loop(arrays, drawn, recorder is not None), self._after
        total, moved = np.zeros(()), np.zeros((), np.int64)
        numbers = np.arange(first, first + count) if self._counts else _NONE
        inputs = [*arrays.whole, *arrays.moving, *self._rows(indices), numbers, self._seed, *self._computed()]
        outputs = [*after[:n], total, *([moved] if self._step.moved is not None else [])]
        if indices is not None:
            inputs.append(np.ascontiguousarray(indices))
        outputs += [] if drawn else after[n:]
        records = last = None
        if recorder is None:
            loop.run(inputs, outputs, steps, periods)
        else:
            taken = np.empty((len(recorder.losses), periods + final))
            record = [*arrays.whole[: len(recorder.leaves)], *self.recorded], taken
            loop.run(inputs, outputs, steps, periods + final, record, 0 if final else steps)
            records, last = taken[:, :periods], taken[:, -1] if final else None
        return Ran(float(total) / max(1, count), int(moved), records, last)

    def _computed(self) -> Sequence[Array]:
        """What no step changes: from the values that are held now, since a callback may assign others."""
        return self._before() if self._before is not None else ()

    def _rows(self, indices: NDArray[np.int64] | None) -> Sequence[Array]:
        """The data as the machine code reads them."""
        if indices is None:
            self._all = self._all or [_native(a, leaf) for a, leaf in zip(self._data, self._step.rows, strict=True)]
            return self._all
        return [
            array if ready else _native(array[indices], leaf)
            for array, ready, leaf in zip(self._data, self._ready, self._step.rows, strict=True)
        ]

    def _loop(self, arrays: Arrays, drawn: bool, recorded: bool) -> CompiledLoop:
        if recorded not in self._loops:
            self._loops[recorded] = self._compiled(arrays, drawn, self.recorder if recorded else None)
        if not self._after:
            apart = arrays.whole if drawn else [*arrays.whole, *arrays.moving]
            self._after = [np.empty(array.shape, array.dtype) for array in apart]
        self.compiled, self._drawn = self._loops[recorded].code, drawn
        return self._loops[recorded]

    def _compiled(self, arrays: Arrays, drawn: bool, recorder: Recorder | None) -> CompiledLoop:
        step = self._step
        batch = step.rows[0].shape[0]
        numbers = Input((batch,), np.int64, name="rows")
        direct = [not drawn or ready for ready in self._ready]
        read: dict[Node, tuple[Node, Node]] = {}
        moving, rows, used = [], [], set(walk(step.outputs))
        self._counts = step.step in used
        for carry, array in zip(step.moving, arrays.moving, strict=True):
            moving.append(_whole(carry.before, array, numbers, read) if drawn else carry.before)
        for leaf, array, there in zip(step.rows, self._data, direct, strict=True):
            rows.append(_whole(leaf, array, numbers, read) if drawn and there and leaf in used else leaf)
        whole = [carry.before for carry in step.whole]
        inputs = [*whole, *moving, *rows, step.step, step.seed, *self._hoisted, *([numbers] if drawn else [])]
        after = [carry.after for carry in step.moving]
        outputs = [
            *(carry.after for carry in step.whole),
            step.loss.astype(np.float64),
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
        data, computed = n + m, n + m + len(rows) + 2
        finite = frozenset(range(data, data + len(rows)))  # data, which were checked
        finite |= frozenset(range(computed, computed + len(self._hoisted))) if self._held_finite else frozenset()
        summed = frozenset((n, n + 1)[: len(outputs) - n])
        loop = Loop(tuple(carried.items()), frozenset(streamed), frozenset(), summed, finite, self._held_finite)
        record = Part((*recorder.leaves, *recorder.inputs), recorder.losses) if recorder is not None else None
        made = CompiledLoop(Part(inputs, [*written, *outputs]), loop, Rows(read, written), record)
        if self._hoisted:  # is computed for it, and lies in arrays of its own
            own = sum(math.prod(x.shape) * x.dtype.itemsize for x in self._hoisted)
            made.code = replace(made.code, own=made.code.own + own)
        return made


def _held(step: Step, others: Sequence[Node]) -> list[Node]:
    """The leaves, but for `others`, that hold their own values: what a model computes with and does not train."""
    given = {id(x) for x in (*step.inputs, *others)}
    return [x for x in walk(step.outputs) if x.is_leaf and id(x) not in given]


def _native(array: Array, leaf: Tensor) -> Array:
    """The same values as machine code reads them."""
    return np.ascontiguousarray(array, leaf.dtype)


def _ready(array: Array, leaf: Tensor) -> bool:
    return array.dtype == leaf.dtype and array.flags.c_contiguous


def _whole(leaf: Tensor, array: Array, numbers: Tensor, read: dict[Node, tuple[Node, Node]]) -> Tensor:
    """A leaf for all of `array`, of which `leaf` is the rows `numbers`."""
    whole = Input(array.shape, leaf.dtype, name=leaf.name)
    read[leaf] = whole, numbers
    return whole
