"""Reads that are contiguous along the rows and not along the vector axis: a square block is read and transposed."""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.compiler.axes import all_of
from chainrule.compiler.folds import alternate
from chainrule.compiler.kernels import targets
from chainrule.compiler.sums import Sums
from chainrule.compiler.text import Value
from chainrule.compiler.values import Strip
from chainrule.formula import Expr, Var

__all__ = ["Transposes"]


class Transposes(Sums):
    """Values, with blocks of rows whose reads are transposed."""

    def _transposed(self, along: Var, rows: Var) -> list[Expr]:
        """The reads that lie contiguous along `rows` and apart along `along`."""
        own = set(targets(self.kernel))

        def turned(expr: Expr) -> bool:
            place = expr.place
            direct = all(var.value is None for var, _ in place.terms)
            return direct and expr.data[0] not in own and place.stride(rows) == 1 and place.stride(along) > 2

        found = {id(e): e for write in self.kernel.writes for e in all_of(write.value) if e.op == "read" and turned(e)}
        return list(found.values())

    def _transpose(self, expr: Expr, along: Var, rows: Var, made: Sequence[Strip]) -> None:
        """The values of a read in `made`, one strip for each of as many rows as it has lanes."""
        buffer, place = expr.data
        lanes, first = len(made), made[0].bound
        vectors: list[Value] = []
        for lane in range(lanes):
            here = {along: self._shifted(first[along], lane), rows: first[rows]}
            with self._in(Strip(self._context(), 1, 0, here)):
                vectors.append(self._load(self._address(buffer, self._offset(place)), expr.dtype, lanes))
        size = 1
        while size < lanes:
            for k in (k for k in range(lanes) if not k & size):
                a, b = vectors[k], vectors[k + size]
                low = alternate(lanes, size)
                vectors[k] = self._shuffled(a, b, expr.dtype, lanes, low)
                vectors[k + size] = self._shuffled(a, b, expr.dtype, lanes, [i + size for i in low])
            size *= 2
        for strip, vector in zip(made, vectors, strict=True):
            self.scopes[-1][id(expr), strip.context] = vector
