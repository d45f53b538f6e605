"""A kernel in tiles: panels of the second operand are packed, and tiles of the result are finished while in the cache.

For every panel of columns, for a block of rows, for a block of terms of the sum: the panel is copied to where its rows
lie one after another, then for a few rows at a time a tile is computed from it. With the last terms what the kernel
makes of the sum (a bias, an activation, an update) is computed from the tile and written. The panel, and the sums of a
block, lie on the stack.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from chainrule.compiler.axes import strips
from chainrule.compiler.kernels import Buffer, Kernel, Write
from chainrule.compiler.loops import Loops
from chainrule.compiler.meeting import Share
from chainrule.compiler.microkernel import Micro, write_micro
from chainrule.compiler.padding import VECTOR_BYTES
from chainrule.compiler.repeats import write_call
from chainrule.compiler.scalars import type_of
from chainrule.compiler.text import Text, Value
from chainrule.compiler.tiles import operands, product, read_from_afar, row_length, rows_at_once, terms_at_once
from chainrule.compiler.values import Strip
from chainrule.formula import Var, affine, read

__all__ = ["write_tiled"]

_LINE = 64  # bytes of a cache line


def write_tiled(text: Text, kernel: Kernel, pointers: Mapping[Buffer, Value], share: Share | None) -> None:
    """The code of a kernel in tiles, or of a piece of its columns, as a call of a function of its own."""

    def write(body: Text, kernel: Kernel, pointers: dict[Buffer, Value], share: Share | None) -> None:
        _Tiled(body, kernel, pointers).write(share)

    write_call(text, kernel, pointers, share, write)


class _Tiled(Loops):
    def __init__(self, text: Text, kernel: Kernel, pointers: dict[Buffer, Value]):
        super().__init__(text, kernel, pointers)
        assert kernel.tiles is not None
        self.tiles = tiles = kernel.tiles
        self.total = product(kernel)
        self.a, self.b = operands(self.total, tiles.row)
        self.dtype = self.total.dtype
        (self.inner,) = self.total.data[1]
        self.rows, self.columns = tiles.shape
        self.terms = terms_at_once(self.inner.size)
        size = tiles.row.size
        self.whole = size // self.rows * self.rows  # in tiles of all their rows
        self.block = rows_at_once(size, self.rows, self.terms, self.inner.size)
        self.panel = self._room(self.terms * self.columns)
        kept = self.rows if self.terms == self.inner.size else self.block + size - self.whole
        self.sums = self._room(kept * self.columns)

    def _room(self, elements: int) -> Value:
        return self.text.room(f"[{elements * self.dtype.itemsize} x i8], align {VECTOR_BYTES}")

    def _length(self, width: int) -> int:
        """What a row of a panel of so many columns takes."""
        return row_length(width, self.columns, self.dtype)

    def write(self, share: Share | None) -> None:
        """All of it, or a piece of the columns."""
        self._hoist_all({self.tiles.row, self.tiles.column})
        self._panels(share, self._panel)

    def _panels(self, share: Share | None, body: Callable[[Value, int], None]) -> None:
        """body(first column, columns) for every panel."""
        size, text = self.tiles.column.size, self.text
        whole = size // self.columns * self.columns

        def panels(start: Value, stop: Value) -> None:
            text.each(start, stop, self.columns, lambda j: body(j, self.columns))

        def rest() -> None:
            body(str(whole), size - whole)

        if share is None:
            if whole:
                panels("0", str(whole))
            if whole < size:
                rest()
            return
        stop = share.stop(text, whole)
        text.when(text.let(f"icmp slt i64 {share.start}, {stop}"), lambda: panels(share.start, stop))
        if whole < size:
            text.when(share.last, rest)

    def _panel(self, j: Value, width: int) -> None:
        """The result in `width` columns from `j` on."""
        before = (self.inner.size - 1) // self.terms * self.terms

        def rows(start: Value) -> None:
            if before:
                self._zero(self.sums, (self.block + self.tiles.row.size - self.whole) * self._length(width))
                self.text.each(
                    0, before, self.terms, lambda first: self._block(start, j, width, first, self.terms, False)
                )
            self._block(start, j, width, str(before), self.inner.size - before, True)

        self.text.each(0, self.whole, self.block, rows)

    def _block(self, start: Value, j: Value, width: int, first: Value, terms: int, last: bool) -> None:
        """The tiles of a block of rows from `start` on, with `terms` of the sum from `first` on."""
        self._pack(j, width, first, terms)
        text, size = self.text, self.tiles.row.size

        def tile(i: Value) -> None:
            self._tile(i, self.rows, start, j, width, first, terms, last)

        stop = str(self.whole)
        after = text.let(f"add nsw i64 {start}, {self.block}")
        ends = text.let(f"icmp sge i64 {after}, {stop}")
        text.each(start, text.let(f"select i1 {ends}, i64 {stop}, i64 {after}"), self.rows, tile)
        if self.whole < size:
            rest = size - self.whole
            text.when(ends, lambda: self._tile(stop, rest, start, j, width, first, terms, last))

    def _pack(self, j: Value, width: int, first: Value, terms: int) -> None:
        """Copies a panel; beyond the last column it is 0, up to a whole vector."""
        row, column = Var(terms), Var(width)
        source, place = self.b.data
        length = self._length(width)
        here = affine(row) * place.stride(self.inner) + affine(column) * place.stride(self.tiles.column)
        panel = Buffer("panel", terms * length, self.dtype, "arena")
        write = Write(panel, affine(row) * length + column, read(source, here, self.dtype), None)
        if length > width:
            self._zero(self.panel, terms * length)
        offset = self._sum(self._times(first, place.stride(self.inner)), str(place.offset))
        at = self._address(source, self._sum(self._times(j, place.stride(self.tiles.column)), offset))
        write_call(self.text, Kernel((row, column), (write,)), {panel: self.panel, source: at}, None)

    def _tile(
        self, i: Value, rows: int, start: Value, j: Value, width: int, first: Value, terms: int, last: bool
    ) -> None:
        """A tile of `rows` rows from `i` on: its sums, and with the `last` terms all else."""
        length = self._length(width)
        tile = self.sums
        if self.terms == self.inner.size:
            self._zero(tile, rows * length)
        else:
            offset = self._times(self.text.let(f"sub nsw i64 {i}, {start}"), length)
            tile = self.text.let(f"getelementptr inbounds {type_of(self.dtype)}, ptr {tile}, i64 {offset}")
        source, place = self.a.data
        row, term = place.stride(self.tiles.row), place.stride(self.inner)
        at = self._sum(self._sum(self._times(i, row), self._times(first, term)), str(place.offset))
        micro = Micro(self.dtype, rows, length, VECTOR_BYTES // self.dtype.itemsize, terms, row, term)
        asked, addresses = self._asked(i, rows, j, width) if last else (0, "null")
        write_micro(self.text, replace(micro, asked=asked), self._address(source, at), self.panel, tile, addresses)
        if last:
            self._finish(tile, i, rows, j, width)

    def _asked(self, i: Value, rows: int, j: Value, width: int) -> tuple[int, Value]:
        """A list of where the kernel reads at a tile, if it comes from far away, and how long it is.

        A narrower tile has one as long: the same inner loop serves both.
        """
        found = read_from_afar(self.kernel)
        lines = [(b, place, c) for b, place in found for c in range(0, self.columns, _LINE // b.dtype.itemsize)]
        if not lines:
            return 0, "null"
        addresses = self.text.room(f"[{rows * len(lines)} x ptr]")

        def turn(r: Value) -> None:
            first = self._times(r, len(lines))
            with self._scope({self.tiles.row: self._sum(i, r), self.tiles.column: j}):
                for n, (buffer, place, column) in enumerate(lines):
                    address = self._address(buffer, self._shifted(self._offset(place), min(column, width - 1)))
                    entry = self.text.let(f"getelementptr ptr, ptr {addresses}, i64 {self._shifted(first, n)}")
                    self.text.do(f"store ptr {address}, ptr {entry}")

        self.text.each(0, rows, 1, turn)
        return rows * len(lines), addresses

    def _finish(self, tile: Value, i: Value, rows: int, j: Value, width: int) -> None:
        """The kernel's writes at the places of a tile."""
        tiles, length = self.tiles, self._length(width)
        self.along = tiles.column

        def turn(r: Value) -> None:
            with self._scope({tiles.row: self._sum(i, r)}):
                row = self._context()
                for start, stop, lanes in strips(width, VECTOR_BYTES // self.dtype.itemsize):
                    for c in range(start, stop, lanes):
                        self._strip(tile, self._sum(self._times(r, length), str(c)), row, lanes, self._shifted(j, c))

        self.text.each(0, rows, 1, turn)
        self.along = None

    def _strip(self, tile: Value, offset: Value, row: int, lanes: int, column: Value) -> None:
        strip = Strip(self._context(), lanes, row, {self.tiles.column: column})
        address = self.text.let(f"getelementptr inbounds {type_of(self.dtype)}, ptr {tile}, i64 {offset}")
        self.scopes[-1][id(self.total), strip.context] = self._load(address, self.dtype, lanes)
        with self._in(strip):
            self._store_all()

    def _zero(self, address: Value, elements: int) -> None:
        self.text.clear(address, elements * self.dtype.itemsize)

    def _times(self, value: Value, factor: int) -> Value:
        if not value.startswith("%"):
            return str(int(value) * factor)
        return value if factor == 1 else self.text.let(f"mul nsw i64 {value}, {factor}")

    def _sum(self, a: Value, b: Value) -> Value:
        if not b.startswith("%"):
            return self._shifted(a, int(b))
        return self._shifted(b, int(a)) if not a.startswith("%") else self.text.let(f"add nsw i64 {a}, {b}")
