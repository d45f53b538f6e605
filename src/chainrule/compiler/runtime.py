"""Compiled functions as Python calls them: arrays in, arrays out, an arena of its own for every call."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule import aligned
from chainrule.compiler.carried import Loop
from chainrule.compiler.compilation import Compiled, Part, compiled
from chainrule.compiler.frames import Frame, Layout
from chainrule.compiler.kernels import Rows
from chainrule.compiler.recent import Recent
from chainrule.compiler.signature import signature
from chainrule.errors import OptionError, ShapeError, explain
from chainrule.graph import Node, walk

__all__ = ["CompiledLoop", "CompiledProgram"]

_LARGE = 2**20  # bytes of an arena that is made anew, rather than kept where nothing runs
_KINDS = ("input", "held", "output", "arena")  # of arrays, as a part has them
_CODE: Recent[Compiled] = Recent(256)


class CompiledProgram:
    """A graph in machine code: what `evaluate.Program` computes, faster.

    Args:
        inputs: the leaves that get an array at every call. Other leaves keep the value they hold at that call.
        outputs: the nodes to compute.

    Raises CompileError for an operation without machine code.
    """

    def __init__(self, inputs: Sequence[Node], outputs: Sequence[Node]):
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        machine = _Machine(Part(inputs, outputs))
        self.code = machine.compiled
        arena = self.code.arenas[0]
        self._layout = Layout(self.code, self.code.places[0], self.inputs, machine.held[0], self.outputs, arena)
        self._idle: list[Frame] = []  # a call takes one or makes one, so that calls at the same time share nothing

    def __call__(self, *arrays: Any) -> list[np.ndarray]:
        """The outputs for these inputs. Any number of threads may call at once."""
        try:
            frame = self._idle.pop()
        except IndexError:
            frame = Frame(self._layout)
        outputs, flags = frame.run(arrays)
        self._idle.append(frame)
        if flags:
            raise _out_of_range()
        return outputs


class CompiledLoop:
    """A step that is repeated in machine code, with records in between.

    Args:
        step: its inputs and outputs; those that `loop` carries or streams are arrays that `run` changes.
        loop: what becomes of a step's outputs in the next one.
        rows: which leaves and outputs of the step stand for rows of larger arrays.
        record: what is computed before the first step of every period; its outputs are streamed.
    """

    def __init__(self, step: Part, loop: Loop, rows: Rows | None = None, record: Part | None = None):
        self._machine = _Machine(step, loop, rows, record)
        self.code = self._machine.compiled

    def run(
        self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray], steps: int, periods: int = 1,
        record: tuple[Sequence[np.ndarray], Sequence[np.ndarray] | np.ndarray] | None = None, last: int | None = None,
    ) -> None:  # fmt: skip
        """`periods` times: a record, and `steps` steps, or `last` in the last period.

        All arrays must be contiguous and of the right dtype. One call at a time.
        """
        arrays = [(inputs, outputs), *([record] if record is not None else [])]
        self._machine.run(arrays, periods, steps, steps if last is None else last)

    def trim(self) -> None:
        """Let go of large memory that the next run makes anew."""
        self._machine.trim()


class _Machine:
    """The machine code of one or two graphs, called with arrays. Graphs of the same structure share their code."""

    def __init__(self, step: Part, loop: Loop | None = None, rows: Rows | None = None, record: Part | None = None):
        parts = [step] if record is None else [step, record]
        orders = [walk(part.outputs) for part in parts]
        keys = [
            signature(part.inputs, part.outputs, rows if part is step else None, order)
            for part, order in zip(parts, orders, strict=True)
        ]
        self.compiled = _CODE.find((*keys, loop), lambda: compiled(step, loop, rows, record))
        self.held = [[order[i] for i in held] for order, held in zip(orders, self.compiled.held, strict=True)]
        for leaf in itertools.chain(*self.held):
            if leaf.value is None:
                rule, repair = "this placeholder is given no value", "List it as an input: make it an argument."
                raise OptionError(explain("a compiled function", leaf.describe(), rule, repair))
        self._arena: tuple[np.ndarray, ...] = ()
        self._table = (ctypes.c_void_p * sum(len(places) + 1 for places in self.compiled.places))()
        self._address = ctypes.addressof(self._table)
        self._sources = _sources(self.compiled)

    def run(
        self, arrays: Sequence[tuple[Sequence[np.ndarray], Sequence[np.ndarray] | np.ndarray]], periods: int,
        steps: int, last: int,
    ) -> None:  # fmt: skip
        """Runs on (inputs, outputs) of every part."""
        if not self._arena:
            self._arena = (aligned.empty((self.compiled.arena,), np.dtype("uint8")),)
        given: list[Any] = []
        for leaves, (inputs, outputs) in zip(self.held, arrays, strict=True):
            given += [inputs, [np.ascontiguousarray(leaf.value) for leaf in leaves], outputs, self._arena]
        for entry, group, place in self._sources:
            self._table[entry] = aligned.address(given[group][place])
        if self.compiled.call(self._address, periods, steps, last):
            raise _out_of_range()

    def trim(self) -> None:
        """Let go of the arena if it is large."""
        if self.compiled.arena > _LARGE:
            self._arena = ()


def _sources(code: Compiled) -> list[tuple[int, int, int]]:
    """The entries of the table that are read, each with a group of arrays and a place in it.

    The groups are every part's inputs, held leaves and outputs, and the arena.
    """
    found, first = [], 0
    for part, (places, used) in enumerate(zip(code.places, code.used, strict=True)):
        named = [*places, ("arena", 0)]
        found += [(first + i, 4 * part + _KINDS.index(named[i][0]), named[i][1]) for i in used]
        first += len(named)
    return found


def _out_of_range() -> ShapeError:
    return ShapeError(explain("a compiled function", "an index is out of range", "nothing was read there"))
