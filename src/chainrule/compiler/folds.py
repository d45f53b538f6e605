"""Vectors folded together: their lanes become fewer, or those of several become the lanes of one."""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.compiler.results import Results
from chainrule.compiler.scalars import FLAGS, emit, type_of
from chainrule.compiler.text import Value
from chainrule.dtypes import DType

__all__ = ["Folds", "alternate"]


class Folds(Results):
    """Values, with partial results that are combined."""

    def _combine(self, kind: str, a: Value, b: Value, dtype: DType) -> Value:
        if kind == "sum":
            if dtype.kind == "f":
                return self.text.let(f"fadd {FLAGS} {type_of(dtype, self.width)} {a}, {b}")
            return self._add(a, b, dtype)
        return emit(self.text, "maximum", [a, b], [dtype, dtype], dtype, self.width)

    def _lanes_folded(self, kind: str, totals: list[Value], dtype: DType, lanes: int) -> Value:
        """The reduction of every vector of `totals`, one a lane: vectors are combined in pairs, lane by lane."""
        if len(totals) < lanes:
            totals = [self._folded(kind, total, dtype, lanes, len(totals)) for total in totals]
            lanes = len(totals)
        size = 1
        while size < lanes:
            totals = [
                self._pair(kind, a, b, dtype, lanes, size) for a, b in zip(totals[::2], totals[1::2], strict=True)
            ]
            size *= 2
        while len(totals) > 1:
            totals = [
                self._shuffled(a, b, dtype, lanes, range(2 * lanes))
                for a, b in zip(totals[::2], totals[1::2], strict=True)
            ]
            lanes *= 2
        return totals[0]

    def _pair(self, kind: str, a: Value, b: Value, dtype: DType, lanes: int, size: int) -> Value:
        """Two vectors, in which groups of `size` lanes repeat, as one in which groups of twice the size do."""
        low = alternate(lanes, size)
        one, other = (self._shuffled(a, b, dtype, lanes, [k + by for k in low]) for by in (0, size))
        self.width = lanes
        return self._combine(kind, one, other, dtype)

    def _shuffled(self, a: Value, b: Value, dtype: DType, lanes: int, chosen: Sequence[int]) -> Value:
        t, mask = type_of(dtype, lanes), ", ".join(f"i32 {k}" for k in chosen)
        return self.text.let(f"shufflevector {t} {a}, {t} {b}, <{len(chosen)} x i32> <{mask}>")

    def _folded(self, kind: str, value: Value, dtype: DType, width: int, wanted: int) -> Value:
        """The upper half of the lanes combined with the lower half, until `wanted` lanes are left."""
        while width > wanted:
            t, width = type_of(dtype, width), width // 2
            self.width = width
            if width == 1:
                low, high = (self.text.let(f"extractelement {t} {value}, i64 {lane}") for lane in (0, 1))
            else:
                halves = range(width), range(width, 2 * width)
                low, high = (self._shuffled(value, "poison", dtype, 2 * width, lanes) for lanes in halves)
            value = self._combine(kind, low, high, dtype)
        return value


def alternate(lanes: int, size: int) -> list[int]:
    """Groups of `size` lanes, one of the first vector and one of the second by turns, of every other group."""
    return [k + second for g in range(0, lanes, 2 * size) for second in (0, lanes) for k in range(g, g + size)]
