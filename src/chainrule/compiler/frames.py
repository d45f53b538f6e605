"""What one call has to itself while it runs: the table of pointers, the arena, and places for small arrays."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import OptionError, explain
from chainrule.graph import Node

__all__ = ["Frame", "Layout"]

_SMALL = 4096  # bytes; below, copying an array costs less than asking NumPy where it lies
_ALIGNMENT = 64


@dataclass(frozen=True, eq=False)
class Layout:
    """The table of one compiled graph.

    Attributes:
        code: the machine code, whose `call` is (table, periods, steps) -> flags.
        places: for every entry the kind of array, and which of them; the arena's comes last.
        inputs, held, outputs: the nodes that the arrays are of.
        arena: its bytes.
    """

    code: Any
    places: Sequence[tuple[str, int]]
    inputs: Sequence[Node]
    held: Sequence[Node]
    outputs: Sequence[Node]
    arena: int


class Frame:
    """A table with its own memory: one call at a time. Small inputs are copied in, small outputs copied out."""

    __slots__ = ("_address", "_alive", "_call", "_held", "_inputs", "_layout", "_outputs", "_table", "_values")

    def __init__(self, layout: Layout):
        self._layout = layout  # keeps the code alive
        entries = len(layout.places) + 1
        self._table = (ctypes.c_void_p * entries)()
        self._address, self._call = ctypes.addressof(self._table), layout.code.call
        at = {place: i for i, place in enumerate(layout.places)}
        small = [x for x in (*layout.inputs, *layout.outputs) if _bytes(x) <= _SMALL]
        memory = np.empty(_padded(layout.arena) + sum(_padded(_bytes(x)) for x in small) + _ALIGNMENT, np.uint8)
        start = -memory.ctypes.data % _ALIGNMENT
        self._table[entries - 1] = memory.ctypes.data + start
        start += _padded(layout.arena)
        self._inputs: list[tuple[int, np.ndarray | None, Node]] = []
        self._outputs: list[tuple[int, np.ndarray | None, Node]] = []
        for kind, nodes, found in (("input", layout.inputs, self._inputs), ("output", layout.outputs, self._outputs)):
            for k, x in enumerate(nodes):
                place: np.ndarray | None = None
                if _bytes(x) <= _SMALL:
                    place = memory[start : start + _bytes(x)].view(x.dtype).reshape(x.shape)
                    self._table[at[kind, k]] = memory.ctypes.data + start
                    start += _padded(_bytes(x))
                found.append((at[kind, k], place, x))
        self._held = [(at["held", k], k, x) for k, x in enumerate(layout.held)]
        self._values: list[Any] = [None] * len(self._held)
        self._alive: list[Any] = [None] * len(self._held)

    def run(self, arrays: Sequence[Any]) -> tuple[list[np.ndarray], int]:
        """The outputs, and the flags."""
        table, alive = self._table, []
        for (entry, place, x), given in zip(self._inputs, arrays, strict=True):
            array = given if type(given) is np.ndarray else np.asarray(given)
            if array.shape != x.shape:
                got = f"{x.describe()} is given {array.shape}"
                raise OptionError(explain("a compiled function", got, "the shapes differ"))
            if place is not None:
                place[...] = array
            else:
                whole = np.require(array, x.dtype, "CA")
                table[entry] = whole.ctypes.data
                alive.append(whole)
        for entry, k, leaf in self._held:
            value = leaf.value
            if value is not self._values[k]:
                self._values[k], self._alive[k] = value, np.require(value, leaf.dtype, "CA")
                table[entry] = self._alive[k].ctypes.data
        outputs = []
        for entry, place, y in self._outputs:
            if place is None:
                place = np.empty(y.shape, y.dtype)
                table[entry] = place.ctypes.data
            outputs.append(place)
        flags = self._call(self._address, 1, 1)
        return [out.copy() if kept is not None else out
                for out, (_, kept, _) in zip(outputs, self._outputs, strict=True)], flags  # fmt: skip


def _bytes(x: Node) -> int:
    size = x.dtype.itemsize
    for n in x.shape:
        size *= n
    return size


def _padded(nbytes: int) -> int:
    return -(-nbytes // _ALIGNMENT) * _ALIGNMENT
