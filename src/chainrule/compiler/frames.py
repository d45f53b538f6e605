"""What one call has to itself while it runs: the table of pointers, the arena, and places for small arrays."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.aligned import ALIGNMENT, empty
from chainrule.errors import OptionError, explain
from chainrule.graph import Node

__all__ = ["Frame", "Layout"]

_SMALL = 4096  # bytes; below, copying an array costs less than asking NumPy where it lies


@dataclass(frozen=True, eq=False)
class Layout:
    """The table of one compiled graph.

    Attributes:
        code: the machine code, whose `call` is (table, periods, steps, last) -> flags.
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


_Argument = tuple[np.ndarray | None, tuple[int, ...], int, Node]  # its own place if small, shape, entry, node


class Frame:
    """A table with its own memory: one call at a time. Small inputs are copied in, small outputs copied out."""

    __slots__ = (
        "_address", "_alive", "_call", "_held", "_inputs", "_layout", "_memory", "_outputs", "_small_outputs",
        "_table", "_values",
    )  # fmt: skip

    def __init__(self, layout: Layout):
        self._layout = layout  # keeps the code alive
        entries = len(layout.places) + 1
        self._table = (ctypes.c_void_p * entries)()
        self._address, self._call = ctypes.addressof(self._table), layout.code.call
        at = {place: i for i, place in enumerate(layout.places)}
        small = [x for x in (*layout.inputs, *layout.outputs) if _bytes(x) <= _SMALL]
        nbytes = _padded(layout.arena) + sum(_padded(_bytes(x)) for x in small)
        memory = empty((nbytes,), np.dtype("uint8"))
        self._memory = memory  # where no array is small, only an address in the table knows it
        self._table[entries - 1] = memory.ctypes.data
        start = _padded(layout.arena)
        self._inputs: list[_Argument] = []
        self._outputs: list[_Argument] = []
        for kind, nodes, found in (("input", layout.inputs, self._inputs), ("output", layout.outputs, self._outputs)):
            for k, x in enumerate(nodes):
                place: np.ndarray | None = None
                if _bytes(x) <= _SMALL:
                    place = memory[start : start + _bytes(x)].view(x.dtype).reshape(x.shape)
                    self._table[at[kind, k]] = memory.ctypes.data + start
                    start += _padded(_bytes(x))
                found.append((place, x.shape, at[kind, k], x))
        kept = [place for place, *_ in self._outputs if place is not None]
        self._small_outputs = kept if len(kept) == len(self._outputs) else None
        self._held = [(at["held", k], k, x) for k, x in enumerate(layout.held)]
        self._values: list[Any] = [None] * len(self._held)
        self._alive: list[Any] = [None] * len(self._held)

    def run(self, arrays: Sequence[Any]) -> tuple[list[np.ndarray], int]:
        """The outputs, and the flags."""
        alive = []  # arrays that only the table knows
        for (place, shape, entry, x), array in zip(self._inputs, arrays, strict=True):
            if type(array) is not np.ndarray:
                array = np.asarray(array)
            if array.shape != shape:
                got = f"{x.describe()} is given {array.shape}"
                raise OptionError(explain("a compiled function", got, "the shapes differ"))
            if place is not None:
                place[...] = array
            else:
                alive.append(self._point(entry, array, x))
        for entry, k, leaf in self._held:
            if leaf.value is not self._values[k]:
                self._values[k] = leaf.value
                self._alive[k] = self._point(entry, self._values[k], leaf)
        if self._small_outputs is not None:
            flags = self._call(self._address, 1, 1, 1)
            return [place.copy() for place in self._small_outputs], flags
        made = [np.empty(y.shape, y.dtype) if place is None else place for place, _, _, y in self._outputs]
        for (place, _, entry, y), array in zip(self._outputs, made, strict=True):
            if place is None:
                self._point(entry, array, y)
        flags = self._call(self._address, 1, 1, 1)
        pairs = zip(self._outputs, made, strict=True)
        return [array if place is None else array.copy() for (place, *_), array in pairs], flags

    def _point(self, entry: int, value: Any, x: Node) -> np.ndarray:
        """The array of `value` as the machine code reads it, put into the table."""
        array = np.require(value, x.dtype, ["C", "A"])
        self._table[entry] = array.ctypes.data
        return array


def _bytes(x: Node) -> int:
    size = x.dtype.itemsize
    for n in x.shape:
        size *= n
    return size


def _padded(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT
