"""Compiled functions as Python calls them: arrays in, arrays out, an arena of its own for every call."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.compiler.program import ENTRY, Loop, assemble
from chainrule.compiler.schedule import Rows, schedule
from chainrule.errors import ChainruleError, OptionError, ShapeError, explain
from chainrule.graph import Node

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
        record: tuple[Sequence[np.ndarray], Sequence[np.ndarray]] | None = None,
    ) -> None:  # fmt: skip
        """`periods` times: a record, and `steps` steps. All arrays must be contiguous and of the right dtype."""
        arrays = [(inputs, outputs), *([record] if record is not None else [])]
        self.code.run(arrays, periods, steps)


class _Machine:
    """The machine code of one or two graphs, called with arrays."""

    def __init__(self, step: Part, loop: Loop | None = None, rows: Rows | None = None, record: Part | None = None):
        self.schedules = [schedule(step.inputs, step.outputs, rows)]
        if record is not None:
            self.schedules.append(schedule(record.inputs, record.outputs))
        try:
            ir, self.arenas = assemble(self.schedules[0], loop, *self.schedules[1:])
        except NotImplementedError as error:
            outputs = ", ".join(y.describe() for y in step.outputs)
            raise CompileError(explain("compile", outputs, str(error))) from None
        self.code = _llvm().compiled(ir, ENTRY)

    def run(
        self, arrays: Sequence[tuple[Sequence[np.ndarray], Sequence[np.ndarray]]], periods: int = 1, steps: int = 1
    ) -> None:
        table: list[int] = []
        alive: list[Any] = []
        for found, size, (inputs, outputs) in zip(self.schedules, self.arenas, arrays, strict=True):
            held = [np.ascontiguousarray(node.value) for node in found.held]
            arena = np.empty(size + 64, np.uint8)
            alive += [held, arena]
            places = {"input": inputs, "held": held, "output": outputs}
            table += [places[b.kind][b.place].ctypes.data for b in found.buffers if b.kind != "arena"]
            table.append(-(-arena.ctypes.data // 64) * 64)
        pointers = (ctypes.c_void_p * len(table))(*table)
        if self.code.call(ctypes.addressof(pointers), periods, steps):
            raise ShapeError(explain("a compiled function", "an index is out of range", "nothing was read there"))


def _fit(array: Any, x: Node) -> np.ndarray:
    """`array` as the machine code takes it: contiguous, of the input's dtype and shape."""
    found = np.ascontiguousarray(array, dtype=x.dtype).reshape(np.shape(array))
    if found.shape != x.shape:
        raise OptionError(explain("a compiled function", f"{x.describe()} is given {found.shape}", "the shapes differ"))
    return found


def _llvm() -> Any:
    import chainrule.compiler.llvm as from_llvm

    return from_llvm
