"""Which kernels run in tiles: those with a matrix product that is not very small.

Of several products of a kernel each gets a kernel of its own. How one is cut depends on its sizes and on the registers,
not on the number of threads, and every sum is added in the order of its terms.
"""

from __future__ import annotations

from dataclasses import replace

from chainrule.compiler.axes import vector_axis
from chainrule.compiler.kernels import Buffer, Kernel, Schedule, Tiles, Write, targets
from chainrule.compiler.padding import VECTOR_BYTES
from chainrule.compiler.rewriting import Rewriting
from chainrule.dtypes import DType
from chainrule.formula import Affine, Expr, Var, affine, read

__all__ = ["in_tiles", "operands", "pays", "product", "read_from_afar", "row_length", "rows_at_once", "terms_at_once"]

# Multiplications from which tiles pay, measured with both sides of one product in turns; below, loops are as fast.
LEAST = 2**20
LEAST_SIDE = 32  # a few rows by a matrix stream the matrix: the loops do that at the speed of memory
# Rows of a tile, and vectors of its columns, by the bytes of all registers: the tile, a row of the panel and an element
# of the first operand stay there.
_SHAPES = {2048: (8, 3), 512: (6, 1), 256: (2, 1)}
_FEW = 12  # panels: those of two vectors then fall to threads more evenly, if they leave no rest
_ROWS_AT_ONCE = 256  # whose sums are kept while some of their terms are missing
_MOST_APART = 128  # terms of the first operand that may lie apart: each takes a line of the cache
_NEAR = 2**22  # bytes that may still be in the cache from a step before
_CROWDED = 2**11  # bytes: what lies a multiple of it apart has few places in the cache
_TERMS = 512  # of a panel: it stays in the cache next to the core, and so do some rows of the first operand


def pays(m: int, n: int, k: int, dtype: DType) -> bool:
    """Whether an (m, k) by (k, n) product is computed in tiles."""
    return dtype.kind == "f" and dtype.itemsize > 2 and m * n * k >= LEAST and min(m, n, k) >= LEAST_SIDE


def terms_at_once(terms: int) -> int:
    """How many terms of a sum are added before the next panel: blocks of about equal length."""
    blocks = -(-terms // _TERMS)
    return terms if blocks == 1 else -(-terms // (8 * blocks)) * 8


def rows_at_once(rows: int, tile: int, terms: int, all_terms: int) -> int:
    """How many of the `rows` are computed with so many `terms` before the next: all, where these are all."""
    most = rows if terms == all_terms else min(rows, _ROWS_AT_ONCE)
    return most // tile * tile


def row_length(width: int, columns: int, dtype: DType) -> int:
    """What a row of a panel takes: whole vectors, and all `columns` of a tile where that is little more.

    The same inner loop then serves both.
    """
    lanes = VECTOR_BYTES // dtype.itemsize
    return columns if 2 * width > columns else -(-width // lanes) * lanes


def _shape(columns: int, dtype: DType, registers: int) -> tuple[int, int]:
    """The rows and columns of a tile."""
    (rows, vectors), lanes = _SHAPES[registers], VECTOR_BYTES // dtype.itemsize
    even = vectors > 2 and columns < _FEW * vectors * lanes and columns % (2 * lanes) == 0
    return rows, (2 if even else vectors) * lanes


def _is_near(a: Expr, inner: Var) -> bool:
    """Whether the terms of a first operand stay in the cache as they lie; else they are copied, row by row."""
    stride = a.place.stride(inner)
    return stride == 1 or (inner.size <= _MOST_APART and stride * a.dtype.itemsize % _CROWDED != 0)


def product(kernel: Kernel) -> Expr:
    """The one sum of a kernel in tiles."""
    (total,) = (expr for expr in kernel.expressions if expr.op == "reduce")
    return total


def read_from_afar(kernel: Kernel) -> list[tuple[Buffer, Affine]]:
    """What a kernel in tiles reads at each place of the result, if it is too large for the cache."""
    assert kernel.tiles is not None
    row, column = kernel.tiles.row, kernel.tiles.column
    found = {e.data for e in kernel.expressions if e.op == "read" and e.needs == {row, column}}
    found = {(b, at) for b, at in found if b not in targets(kernel) and at.stride(column) == 1 and at.stride(row) > 0}
    large = sum(buffer.nbytes for buffer, _ in found) > _NEAR
    return sorted(found, key=lambda read: (read[0].name, read[1].offset)) if large else []


def operands(total: Expr, row: Var) -> tuple[Expr, Expr]:
    """What a product reads along the rows of the result, and what along its columns."""
    one, other = total.args[0].args
    return (one, other) if row in one.needs else (other, one)


def in_tiles(found: Schedule, registers: int) -> None:
    """Kernels with large products as kernels in tiles, with the copies and buffers that they need.

    `registers`: the bytes that they hold. They decide how much is computed at once, but not in which order it is added.
    """
    tilings = (_Tiling(kernel, found.buffers, registers) for kernel in found.kernels)
    found.kernels = [made for tiling in tilings for made in tiling.kernels()]


class _Tiling:
    """What becomes of one kernel."""

    def __init__(self, original: Kernel, buffers: list[Buffer], registers: int):
        self.original, self.buffers, self.registers = original, buffers, registers
        self.made: list[Kernel] = []

    def kernels(self) -> list[Kernel]:
        """The same work, in order."""
        if self.original.beside:  # it belongs to the loop of the sum
            return [self.original]
        large = [(total, axes) for total in self.original.expressions if (axes := self._axes(total)) is not None]
        if not large:
            return [self.original]
        last = self.original
        own = next((total for total, _ in large if self._is_plain(total)), None)
        apart = [(total, self._apart(total, *axes)) for total, axes in large if total is not own]
        if apart:
            last = Rewriting(apart).kernel(last)
        if own is not None:
            column = vector_axis(last)
            assert column is not None
            last = self._tiled(last, own, next(var for var in last.space if var is not column), column)
        return [*self.made, last]

    def _axes(self, total: Expr) -> tuple[Var, Var] | None:
        """The axes (row, column) of a large product."""
        if total.op != "reduce" or total.data[0] != "sum" or len(total.data[1]) != 1 or len(total.needs) != 2:
            return None
        (body,), (inner,) = total.args, total.data[1]
        if body.op != "multiply" or any(arg.op != "read" for arg in body.args):
            return None
        needs = [{var for var, _ in arg.place.terms} for arg in body.args]
        if any(len(both) != 2 or inner not in both for both in needs) or needs[0] == needs[1]:
            return None
        if any(var.value is not None for var in needs[0] | needs[1]):
            return None
        if any(arg.data[0] in targets(self.original) for arg in body.args):
            return None
        row, column = (next(var for var in both if var is not inner) for both in needs)
        for one, other in ((row, column), (column, row)):
            if pays(one.size, other.size, inner.size, total.dtype):
                return one, other
        return None

    def _is_plain(self, total: Expr) -> bool:
        """Whether the kernel can have this product for its own, once the other large ones are elsewhere."""
        kernel = self.original
        direct = all(var.value is None for write in kernel.writes for var, _ in write.place.terms)
        once = kernel.ordered is None and not kernel.zeroes and not any(write.adds for write in kernel.writes)
        if not (direct and once) or set(kernel.space) != total.needs:
            return False
        others = [e for e in kernel.expressions if e.op == "reduce" and e is not total]
        column = vector_axis(kernel)
        if column is None or any(self._axes(other) is None for other in others):
            return False
        (row,) = total.needs - {column}
        return pays(row.size, column.size, total.data[1][0].size, total.dtype)

    def _apart(self, total: Expr, row: Var, column: Var) -> Expr:
        """A read of the product, which a kernel of its own computes."""
        buffer = self._buffer("product", row.size * column.size, total.dtype, (row.size, column.size))
        place = affine(row) * column.size + column
        kernel = Kernel((row, column), (Write(buffer, place, total, None),))
        self.made.append(self._tiled(kernel, total, row, column))
        return read(buffer, place, total.dtype)

    def _tiled(self, kernel: Kernel, total: Expr, row: Var, column: Var) -> Kernel:
        (inner,) = total.data[1]
        rows, columns = _shape(column.size, total.dtype, self.registers)
        shape = min(rows, row.size), columns
        a, _ = operands(total, row)
        if not _is_near(a, inner):
            source = a.data[0]
            turned = self._buffer(f"{source.name}.T", row.size * inner.size, a.dtype, (row.size, inner.size))
            place = affine(row) * inner.size + inner
            self.made.append(Kernel((row, inner), (Write(turned, place, a, None),), alone=True))
            kernel = Rewriting([(a, read(turned, place, a.dtype))]).kernel(kernel)
        return replace(kernel, tiles=Tiles(row, column, shape))

    def _buffer(self, name: str, size: int, dtype: DType, shape: tuple[int, ...]) -> Buffer:
        self.buffers.append(Buffer(name, size, dtype, "arena", -1, shape))
        return self.buffers[-1]
