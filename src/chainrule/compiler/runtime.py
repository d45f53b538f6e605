"""Compiled functions as Python calls them: arrays in, arrays out, an arena of its own for every call."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.compiler import blas
from chainrule.compiler.merge import merged
from chainrule.compiler.program import ENTRY, Loop, assemble
from chainrule.compiler.schedule import Product, Rows, Schedule, schedule
from chainrule.compiler.signature import signature
from chainrule.errors import ChainruleError, OptionError, ShapeError, explain
from chainrule.graph import Node, walk

__all__ = ["CompileError", "CompiledLoop", "CompiledProgram", "Part"]


class CompileError(ChainruleError, NotImplementedError):
    """A graph that cannot be compiled; names the node."""


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
        self.code = _Machine(Part(inputs, outputs))

    def __call__(self, *arrays: Any) -> list[np.ndarray]:
        """The outputs for these inputs."""
        outputs = [np.empty(y.shape, y.dtype) for y in self.outputs]
        self.code.run([([_fit(array, x) for array, x in zip(arrays, self.inputs, strict=True)], outputs)])
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
        self.code = _Machine(step, loop, rows, record)

    def run(
        self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray], steps: int, periods: int = 1,
        record: tuple[Sequence[np.ndarray], Sequence[np.ndarray] | np.ndarray] | None = None,
    ) -> None:  # fmt: skip
        """`periods` times: a record, and `steps` steps. All arrays must be contiguous and of the right dtype."""
        arrays = [(inputs, outputs), *([record] if record is not None else [])]
        self.code.run(arrays, periods, steps)


class _Machine:
    """The machine code of one or two graphs, called with arrays. Graphs of the same structure share their code."""

    def __init__(self, step: Part, loop: Loop | None = None, rows: Rows | None = None, record: Part | None = None):
        parts = [step] if record is None else [step, record]
        keys = signature(step.inputs, step.outputs, rows), *(signature(p.inputs, p.outputs) for p in parts[1:])
        self.compiled = _CODE.get((keys, loop)) or _compile(step, loop, rows, record)
        _CODE[keys, loop] = self.compiled
        orders = [walk(part.outputs) for part in parts]
        self.held = [[order[i] for i in held] for order, held in zip(orders, self.compiled.held, strict=True)]

    def run(
        self, arrays: Sequence[tuple[Sequence[np.ndarray], Sequence[np.ndarray]]], periods: int = 1, steps: int = 1
    ) -> None:
        """Runs on (inputs, outputs) of every part."""
        table: list[int] = []
        alive: list[Any] = []
        code = self.compiled
        for places, leaves, size, (inputs, outputs) in zip(code.places, self.held, code.arenas, arrays, strict=True):
            held = [np.ascontiguousarray(leaf.value) for leaf in leaves]
            arena = np.empty(size + 64, np.uint8)
            alive += [held, arena]
            given = {"input": inputs, "held": held, "output": outputs}
            table += [given[kind][place].ctypes.data for kind, place in places]
            table.append(-(-arena.ctypes.data // 64) * 64)
        pointers = (ctypes.c_void_p * len(table))(*table)
        with blas.one_thread() if code.calls_blas else nullcontext():
            flags = code.call(ctypes.addressof(pointers), periods, steps)
        if flags:
            raise ShapeError(explain("a compiled function", "an index is out of range", "nothing was read there"))


@dataclass(frozen=True, eq=False)
class _Compiled:
    """Machine code, and what goes where in its table.

    Attributes:
        places: for each part its table entries: the kind of array, and which of them.
        held: for each part the places of its held leaves in the walk over its outputs.
        arenas: for each part the bytes of its arena.
    """

    code: Any
    schedules: Sequence[Schedule]
    places: Sequence[Sequence[tuple[str, int]]]
    held: Sequence[Sequence[int]]
    arenas: Sequence[int]
    calls_blas: bool

    @property
    def call(self) -> Any:
        """(table, periods, steps) -> flags."""
        return self.code.call


_CODE: dict[Any, _Compiled] = {}  # by everything that decides the code, so that an entry cannot go stale


def _compile(step: Part, loop: Loop | None, rows: Rows | None, record: Part | None) -> _Compiled:
    parts = [step] if record is None else [step, record]
    found = [schedule(part.inputs, part.outputs, rows if part is step else None) for part in parts]
    for part in found:
        part.kernels = merged(part.kernels)
    try:
        ir, arenas = assemble(found[0], loop, *found[1:])
    except NotImplementedError as error:
        outputs = ", ".join(y.describe() for y in step.outputs)
        raise CompileError(explain("compile", outputs, str(error))) from None
    places = [[(b.kind, b.place) for b in part.buffers if b.kind != "arena"] for part in found]
    numbers = [{node: i for i, node in enumerate(walk(part.outputs))} for part in parts]
    held = [[number[node] for node in part.held] for number, part in zip(numbers, found, strict=True)]
    routines = {blas.name(k.target.dtype) for part in found for k in part.kernels if isinstance(k, Product)}
    symbols = {routine: blas.address(routine) for routine in routines}
    return _Compiled(_llvm().compiled(ir, ENTRY, symbols), found, places, held, arenas, bool(symbols))


def _fit(array: Any, x: Node) -> np.ndarray:
    """`array` as the machine code takes it: contiguous, of the input's dtype and shape."""
    found = np.ascontiguousarray(array, dtype=x.dtype).reshape(np.shape(array))
    if found.shape != x.shape:
        raise OptionError(explain("a compiled function", f"{x.describe()} is given {found.shape}", "the shapes differ"))
    return found


def _llvm() -> Any:
    import chainrule.compiler.llvm as from_llvm

    return from_llvm
