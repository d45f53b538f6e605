"""The inner loop of a large matrix product: a tile of the result, in registers while its terms are added."""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.compiler.scalars import FLAGS, splat, type_of
from chainrule.compiler.text import Text, Value
from chainrule.dtypes import DType

__all__ = ["Micro", "write_micro"]

_UNROLLED = 2  # terms a turn of the loop: its counting then costs nothing beside the multiplications


@dataclass(frozen=True)
class Micro:
    """tile[r, c] += sum over `terms` values of k: a[r * row + k * term] * panel[k * columns + c].

    `columns` are whole vectors of `lanes`; the tile lies row by row. Meanwhile so many addresses of a list are `asked`
    for, one a turn: what lies there comes into the cache while it is computed.
    """

    dtype: DType
    rows: int
    columns: int
    lanes: int
    terms: int
    row: int
    term: int
    asked: int = 0


def write_micro(text: Text, micro: Micro, a: Value, panel: Value, tile: Value, asked: Value = "null") -> None:
    """The call; the function is written where there is none like it."""
    sizes = micro.rows, micro.columns, micro.lanes, micro.terms, micro.row, micro.term, micro.asked
    name = f"tile.{micro.dtype.name}.{'.'.join(map(str, sizes))}"
    if name not in text.functions:
        body = text.beside()
        _Body(body, micro).write()
        text.define(name, "ptr %a, ptr %panel, ptr %tile, ptr %asked", body)
    text.do(f"call void @{name}(ptr {a}, ptr {panel}, ptr {tile}, ptr {asked})")


class _Body:
    def __init__(self, text: Text, micro: Micro):
        self.text, self.micro = text, micro
        self.one, self.many = type_of(micro.dtype), type_of(micro.dtype, micro.lanes)

    def write(self) -> None:
        micro = self.micro
        at = [micro.lanes * i for i in range(micro.rows * micro.columns // micro.lanes)]
        totals = [self._load(self.many, "%tile", "0", offset) for offset in at]

        def turn(k: Value, totals: list[Value]) -> list[Value]:
            for i in range(_UNROLLED):
                totals = self._term(k, i, totals)
            return totals

        def asking(k: Value, totals: list[Value]) -> list[Value]:
            self._ask(k)
            return turn(k, totals)

        whole = micro.terms // _UNROLLED * _UNROLLED
        asked = min(micro.asked * _UNROLLED, whole)
        for start, stop, body in ((0, asked, asking), (asked, whole, turn)):
            if start < stop:
                totals = self.text.loop(start, stop, _UNROLLED, [(self.many, total) for total in totals], body)
        for i in range(whole, micro.terms):
            totals = self._term("0", i, totals)
        for total, offset in zip(totals, at, strict=True):
            place = self._place("%tile", "0", offset)
            self.text.do(f"store {self.many} {total}, ptr {place}, align {micro.dtype.itemsize}")

    def _ask(self, k: Value) -> None:
        """For the next address of the list: into the cache beyond the first, which is full of the panel."""
        place = self.text.let(f"udiv i64 {k}, {_UNROLLED}")
        address = self.text.let(f"load ptr, ptr {self.text.let(f'getelementptr ptr, ptr %asked, i64 {place}')}")
        self.text.declared.add("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        self.text.do(f"call void @llvm.prefetch.p0(ptr {address}, i32 0, i32 1, i32 1)")

    def _term(self, k: Value, beyond: int, totals: list[Value]) -> list[Value]:
        """`totals` and the products of the term k + beyond."""
        text, micro = self.text, self.micro
        first, here = (k if k == "0" else text.let(f"mul nuw nsw i64 {k}, {by}") for by in (micro.columns, micro.term))
        at = range(0, micro.columns, micro.lanes)
        right = [self._load(self.many, "%panel", first, beyond * micro.columns + c) for c in at]
        found: list[Value] = []
        for r in range(micro.rows):
            one = self._load(self.one, "%a", here, r * micro.row + beyond * micro.term)
            left = splat(text, one, micro.dtype, micro.lanes)
            for i, b in enumerate(right):
                product = text.let(f"fmul {FLAGS} {self.many} {left}, {b}")
                found.append(text.let(f"fadd {FLAGS} {self.many} {totals[r * len(right) + i]}, {product}"))
        return found

    def _load(self, kind: str, array: Value, index: Value, beyond: int) -> Value:
        return self.text.let(f"load {kind}, ptr {self._place(array, index, beyond)}, align {self.micro.dtype.itemsize}")

    def _place(self, array: Value, index: Value, beyond: int) -> Value:
        """The address of element index + beyond."""
        if index != "0":
            array = self.text.let(f"getelementptr {self.one}, ptr {array}, i64 {index}")
        return self.text.let(f"getelementptr {self.one}, ptr {array}, i64 {beyond}")
