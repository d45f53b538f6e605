"""Compiled functions as Python calls them: arrays in, arrays out, an arena of its own for every call."""

from __future__ import annotations

import ctypes
import importlib.util
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from chainrule import aligned
from chainrule.compiler import crew
from chainrule.compiler.beside import updated_beside
from chainrule.compiler.carried import Loop, carried_buffers
from chainrule.compiler.chains import shortened
from chainrule.compiler.costs import Report, costs, own_bytes
from chainrule.compiler.culprit import culprit
from chainrule.compiler.frames import Frame, Layout
from chainrule.compiler.idle import idle_apart
from chainrule.compiler.kernels import Rows, Schedule, without_nodes
from chainrule.compiler.memory import after_readers, freeing_early
from chainrule.compiler.merge import merged
from chainrule.compiler.program import ENTRY, assemble
from chainrule.compiler.pseudocode import printed
from chainrule.compiler.recent import Recent
from chainrule.compiler.regroup import regrouped
from chainrule.compiler.schedule import schedule
from chainrule.compiler.signature import signature
from chainrule.compiler.simplify import without_repeats
from chainrule.compiler.tiles import in_tiles
from chainrule.errors import CompileError, MissingExtraError, OptionError, ShapeError, explain
from chainrule.graph import Node, walk

__all__ = ["Compiled", "CompiledLoop", "CompiledProgram", "Part", "require"]


@dataclass(frozen=True)
class Part:
    """A graph to be compiled: its leaves that get an array, and what is computed."""

    inputs: Sequence[Node]
    outputs: Sequence[Node]


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
        """Let go of the arrays that were given, and of large memory that the next run makes anew."""
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
        self.compiled = _CODE.find((*keys, loop), lambda: _compile(step, loop, rows, record))
        self.held = [[order[i] for i in held] for order, held in zip(orders, self.compiled.held, strict=True)]
        for leaf in itertools.chain(*self.held):
            if leaf.value is None:
                rule, repair = "this placeholder is given no value", "List it as an input: make it an argument."
                raise OptionError(explain("a compiled function", leaf.describe(), rule, repair))
        self._arena: np.ndarray | None = None
        self._table = _Table(self.compiled)

    def run(
        self, arrays: Sequence[tuple[Sequence[np.ndarray], Sequence[np.ndarray] | np.ndarray]], periods: int,
        steps: int, last: int,
    ) -> None:  # fmt: skip
        """Runs on (inputs, outputs) of every part."""
        code, flat = self.compiled, list[Any]()
        if self._arena is None:
            self._arena = aligned.empty((code.arena,), np.dtype("uint8"))
        for places, leaves, (inputs, outputs) in zip(code.places, self.held, arrays, strict=True):
            held = [np.ascontiguousarray(leaf.value) for leaf in leaves]
            given = {"input": inputs, "held": held, "output": outputs}
            flat += [given[kind][place] for kind, place in places]
            flat.append(self._arena)
        self._table.fill(flat)
        if code.call(self._table.address, periods, steps, last):
            raise _out_of_range()

    def trim(self) -> None:
        """Let go of what was given, and of the arena if it is large."""
        self._table.clear()
        if self.compiled.arena > _LARGE:
            self._arena = None


_LARGE = 2**20  # bytes of an arena that is made anew, rather than kept where nothing runs


class _Table:
    """The pointers that machine code takes. Where an array that was there before lies is not asked for again."""

    def __init__(self, code: Compiled):
        self._pointers = (ctypes.c_void_p * sum(len(places) + 1 for places in code.places))()
        self._arrays: Sequence[Any] = ()
        self.address = ctypes.addressof(self._pointers)
        self.clear()

    def fill(self, arrays: Sequence[Any]) -> None:
        """Where each of `arrays` lies, as an entry."""
        pointers, before = self._pointers, self._arrays
        self.clear()  # if this is interrupted, nothing is known
        for entry, (array, known) in enumerate(zip(arrays, before, strict=True)):
            if array is not known:
                pointers[entry] = aligned.address(array)
        self._arrays = arrays  # alive, so that another in the place of one is another object

    def clear(self) -> None:
        """Let go of all arrays."""
        self._arrays = [None] * len(self._pointers)


def _out_of_range() -> ShapeError:
    return ShapeError(explain("a compiled function", "an index is out of range", "nothing was read there"))


@dataclass(frozen=True, eq=False)
class Compiled:
    """Machine code, what goes where in its table, and how it came about.

    Attributes:
        schedules: the kernels of each part.
        places: for each part its table entries: the kind of array, and which of them.
        held: for each part the places of its held leaves in the walk over its outputs.
        arenas: for each part the bytes of its arena.
        own: the bytes of the arrays that a run makes, besides.
    """

    code: Any
    schedules: Sequence[Schedule]
    places: Sequence[Sequence[tuple[str, int]]]
    held: Sequence[Sequence[int]]
    arenas: Sequence[int]
    own: int
    shared: bool
    seconds: float

    @cached_property
    def flops(self) -> tuple[int, ...]:
        """The scalar operations of each part."""
        return tuple(costs(part)[1] for part in self.schedules)

    @cached_property
    def arena(self) -> int:
        """The bytes of the arena that the parts use by turns."""
        return max(self.arenas)

    @property
    def call(self) -> Any:
        """(table, periods, steps, last) -> flags."""
        return self.code.call

    def loops(self) -> str:
        """The fused loops as pseudo-code: what is stored, what is fused; of a training loop the step, then a record."""
        return "\n\n".join(printed(part) for part in self.schedules)

    def llvm(self) -> str:
        """The LLVM IR, before LLVM's own passes."""
        found: str = self.code.ir
        return found

    def report(self) -> Report:
        """What one run costs (of a training loop: one step)."""
        many = crew.threads() if self.shared else 1
        return Report(*costs(self.schedules[0]), self.arena, self.arena + self.own, self.seconds, many)


_CODE: Recent[Compiled] = Recent(256)


def _compile(step: Part, loop: Loop | None, rows: Rows | None, record: Part | None) -> Compiled:
    llvm, began = _llvm(), time.perf_counter()
    parts = [step] if record is None else [step, record]
    try:
        found = [_scheduled(part, rows if part is step else None) for part in parts]
        for part in found:
            carried = carried_buffers(part, loop) if part is found[0] else ()
            ordered = freeing_early(after_readers(merged(part.kernels), carried), carried)
            part.kernels = updated_beside(shortened(regrouped(ordered), carried), carried)
            in_tiles(part, llvm.registers())
            if loop is not None and part is found[0]:
                part.kernels = idle_apart(part, loop)
        made = assemble(found[0], loop, *found[1:])
        symbols = crew.yielding() if made.work else {}
        code = llvm.compiled(made.ir, ENTRY, symbols, bool(made.work))
        if made.work:
            code = replace(code, call=crew.together(code.call, *[*made.work, 0][:2]))
    except Exception as error:
        raise _refused(parts, error) from error
    places = [[(b.kind, b.place) for b in part.buffers if b.kind != "arena"] for part in found]
    numbers = [{node: i for i, node in enumerate(walk(part.outputs))} for part in parts]
    held = [[number[node] for node in part.held] for number, part in zip(numbers, found, strict=True)]
    carried = carried_buffers(found[0], loop)
    own = own_bytes(found[0], (source for _, source in carried), made.in_place) + sum(map(own_bytes, found[1:]))
    for out, source in carried:
        out.name = f"{source.name}'"
    for part in found:  # what is kept keeps no graph alive, nor its arrays
        part.views, part.held, part.kernels = {}, [], [without_nodes(kernel) for kernel in part.kernels]
    seconds = time.perf_counter() - began
    return Compiled(code, found, places, held, made.arenas, own, bool(made.work), seconds)


def _scheduled(part: Part, rows: Rows | None) -> Schedule:
    rows = rows or Rows()
    same = without_repeats(part.outputs, {*part.inputs, *rows.read, *rows.written})
    written = {same[y]: place for y, place in rows.written.items()}
    return schedule(part.inputs, [same[y] for y in part.outputs], Rows(rows.read, written))


def _refused(parts: Sequence[Part], error: Exception) -> CompileError:
    """The error that names the node to blame."""
    found = next((f for part in parts if (f := culprit(part.inputs, part.outputs)) is not None), None)
    nodes = found[0].describe() if found else ", ".join(y.describe() for y in parts[0].outputs)
    why = str(found[1] if found else error) or type(error).__name__
    repair = "Use the reference engine (fallback=True, engine='reference'), or give the operation a formula (`lower`)."
    return CompileError(explain("compile", nodes, f"it has no machine code: {why}", repair))


def _llvm() -> Any:
    try:
        import chainrule.compiler.llvm as from_llvm
    except ImportError as error:
        repair = "pip install llvmlite, or use engine='reference'."
        message = explain("the compiled engine", "llvmlite is not installed", "it makes the machine code", repair)
        raise MissingExtraError(message) from error
    return from_llvm


def available() -> bool:
    """Whether llvmlite is installed."""
    return importlib.util.find_spec("llvmlite") is not None


def require() -> None:
    """Raises MissingExtraError where llvmlite is not installed."""
    _llvm()
