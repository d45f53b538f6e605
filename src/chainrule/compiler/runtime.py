"""Compiled functions as Python calls them: arrays in, arrays out, an arena of its own for every call."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.compiler.program import ENTRY, Loop, assemble
from chainrule.compiler.schedule import Rows, schedule
from chainrule.errors import ChainruleError, OptionError, ShapeError, explain
from chainrule.graph import Node

__all__ = ["CompileError", "CompiledProgram"]


class CompileError(ChainruleError, NotImplementedError):
    """A graph that cannot be compiled; names the node."""


class CompiledProgram:
    """A graph in machine code: what `evaluate.Program` computes, faster.

    Args:
        inputs: the leaves that get an array at every call. Other leaves keep the value they hold at that call.
        outputs: the nodes to compute.
        loop: how the graph is repeated as a step (then `run` is used rather than a call).
        rows: which leaves and outputs stand for rows of larger arrays.

    Raises CompileError for an operation without machine code.
    """

    def __init__(
        self, inputs: Sequence[Node], outputs: Sequence[Node], loop: Loop | None = None, rows: Rows | None = None
    ):
        from_llvm = _llvm()
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        found = schedule(inputs, outputs, rows)
        try:
            ir, self.arena_bytes = assemble(found, loop)
        except NotImplementedError as error:
            raise CompileError(explain("compile", ", ".join(y.describe() for y in outputs), str(error))) from None
        self.schedule = found
        self.code = from_llvm.compiled(ir, ENTRY)

    def __call__(self, *arrays: Any) -> list[np.ndarray]:
        """The outputs for these inputs."""
        outputs = [np.empty(y.shape, y.dtype) for y in self.outputs]
        self.run([_fit(array, x) for array, x in zip(arrays, self.inputs, strict=True)], outputs)
        return outputs

    def run(self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray], steps: int = 1) -> None:
        """Runs into `outputs`; all arrays must be contiguous and of the right dtype."""
        held = [np.ascontiguousarray(node.value) for node in self.schedule.held]
        arena = np.empty(self.arena_bytes + 64, np.uint8)
        places = {"input": inputs, "held": held, "output": outputs}
        outside = [places[b.kind][b.place].ctypes.data for b in self.schedule.buffers if b.kind != "arena"]
        start = -(-arena.ctypes.data // 64) * 64
        table = (ctypes.c_void_p * (len(outside) + 1))(*outside, start)
        if self.code.call(ctypes.addressof(table), steps):
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
