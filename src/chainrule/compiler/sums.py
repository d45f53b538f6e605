"""Reductions: accumulators stay in registers, and vectors run along the result or across the sum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from chainrule.compiler.axes import all_of, crossing_axis, strips, sum_axis
from chainrule.compiler.folds import Folds
from chainrule.compiler.padding import VECTOR_BYTES
from chainrule.compiler.places import INDEX
from chainrule.compiler.scalars import emit, literal, splat, type_of
from chainrule.compiler.text import Value
from chainrule.compiler.values import Strip
from chainrule.dtypes import DType
from chainrule.formula import Expr, Var

__all__ = ["ACCUMULATORS", "Sums", "most_lanes"]

ACCUMULATORS = 4  # vectors carried by one sum, to hide the latency of the addition
UNROLLED = 8  # loops of up to so many turns are written out
UNROLLED_TOTAL = 64
_CHAINS = 8  # vectors that additions go to by turns: two are begun in a cycle, and one takes four
_SHORT = 24  # expressions in the terms of a sum that carries several accumulators

_Turn: TypeAlias = Callable[[Value, list[Value]], list[Value]]  # (index, totals so far) -> totals


class Sums(Folds):
    """Values, with reductions among them."""

    unrolled = 1  # turns of the loops around that were written out

    def _reduce(self, expr: Expr) -> Value:
        kind, over = expr.data
        (body,) = expr.args
        if kind == "argmax":
            return self._argmax(over[0], body)
        first = _identity(kind, expr.dtype)
        if not all(var.size for var in over):
            return splat(self.text, first, expr.dtype, self.width)
        self._hoist_terms(body, over)
        crossing = crossing_axis(self.kernel, expr, self.along) if self.along is not None and self.width > 1 else None
        if crossing is not None:
            return self._crossing(expr, kind, [var for var in over if var is not crossing], crossing)
        vector = sum_axis(body, over) if self.width == 1 else None
        if vector is not None:
            return self._across(expr, kind, [var for var in over if var is not vector], vector)
        return self._total(expr, [Strip(self.context, self.width, self.row)])[0]

    def _total(self, expr: Expr, made: Sequence[Strip]) -> list[Value]:
        """A reduction in every strip.

        Where they are few, several totals are carried by turns: else every addition waits for the one before.
        """
        (kind, (var, *inner)), (body,), dtype = expr.data, expr.args, expr.dtype
        totals = [splat(self.text, _identity(kind, dtype), dtype, strip.width) for strip in made]
        parts, n = _by_turns(expr, made), len(made)
        if parts == 1:
            return self._accumulate(kind, dtype, (var, *inner), totals, body, made)

        def turn(i: Value, carried: list[Value]) -> list[Value]:
            found: list[Value] = []
            for part in range(parts):
                with self._scope({var: self._shifted(i, part)}):
                    found += self._accumulate(kind, dtype, inner, carried[part * n : part * n + n], body, made)
            return found

        whole = var.size // parts * parts
        carried = [(type_of(dtype, strip.width), total) for strip, total in zip(made, totals, strict=True)] * parts
        totals = self.text.loop(0, whole, parts, carried, turn)
        for i in range(whole, var.size):
            with self._scope({var: str(i)}):
                totals[:n] = self._accumulate(kind, dtype, inner, totals[:n], body, made)
        while len(totals) > n:
            half = len(totals) // 2
            pairs = zip(totals[:half], totals[half:], [*made] * (half // n), strict=True)
            totals = [self._both(kind, a, b, dtype, strip) for a, b, strip in pairs]
        return totals

    def _both(self, kind: str, a: Value, b: Value, dtype: DType, strip: Strip) -> Value:
        with self._in(strip):
            return self._combine(kind, a, b, dtype)

    def _accumulate(
        self, kind: str, dtype: DType, over: Sequence[Var], totals: list[Value], body: Expr, made: Sequence[Strip]
    ) -> list[Value]:
        """`totals`, one for each strip, combined with `body` for all values of `over`, in order."""
        if not over:
            return [self._plus(kind, total, body, dtype, strip) for total, strip in zip(totals, made, strict=True)]
        var = over[0]
        if var.size <= UNROLLED and self.unrolled * var.size <= UNROLLED_TOTAL:
            self.unrolled *= var.size
            for i in range(var.size):
                with self._scope({var: str(i)}):
                    totals = self._accumulate(kind, dtype, over[1:], totals, body, made)
            self.unrolled //= var.size
            return totals

        def turn(i: Value, carried: list[Value]) -> list[Value]:
            with self._scope({var: i}):
                return self._accumulate(kind, dtype, over[1:], carried, body, made)

        carried = [(type_of(dtype, strip.width), total) for strip, total in zip(made, totals, strict=True)]
        return self.text.loop(0, var.size, 1, carried, turn)

    def _plus(self, kind: str, total: Value, body: Expr, dtype: DType, strip: Strip) -> Value:
        with self._in(strip):
            found = self._combine(kind, total, self._value(body), dtype)
            for write in self.kernel.beside:
                self._store(write)
            if not self.active:
                return found
            t = type_of(dtype, self.width)
            return self.text.let(f"select <{self.width} x i1> {self._mask(self.width)}, {t} {found}, {t} {total}")

    def _across(self, expr: Expr, kind: str, outer: list[Var], var: Var) -> Value:
        """A reduction whose vectors run along its own variable `var`.

        The partial result of a strip is folded to the width of the next one, which goes on from there.
        """
        (body,), dtype = expr.args, expr.dtype
        around, self.along = self.along, var
        partial, lanes = _identity(kind, dtype), 1

        def turn(i: Value, carried: list[Value]) -> list[Value]:
            strip = Strip(self._context(), self.width, self.context, {var: i})  # the same in all lanes: what is here
            with self._scope({}):
                return self._accumulate(kind, dtype, outer, carried, body, [strip])

        for start, stop, width in strips(var.size, most_lanes(body, dtype)):
            folded = self._folded(kind, partial, dtype, lanes, width)
            partial = splat(self.text, partial, dtype, width) if start == 0 else folded
            self.width = lanes = width
            if stop - start <= 2 * width:
                for i in range(start, stop, width):
                    (partial,) = turn(str(i), [partial])
            else:
                (partial,) = self.text.loop(start, stop, width, [(type_of(dtype, width), partial)], turn)
        partial = self._folded(kind, partial, dtype, lanes, 1)
        self.width, self.along = 1, around
        return partial

    def _crossing(self, expr: Expr, kind: str, outer: list[Var], var: Var) -> Value:
        """A reduction in every lane of `along`, whose vectors run along its own variable `var`.

        As w[i, k] * g[k] over k, for the 8 values of i in a strip: each has a vector of partial sums, what g holds is
        read once for all of them, and at the end 8 vectors are folded together to one, a sum in each lane.
        """
        (body,), dtype, along, width = expr.args, expr.dtype, self.along, self.width
        over = expr.data[1]
        assert along is not None
        lanes = min(VECTOR_BYTES // dtype.itemsize, 1 << (var.size - 1).bit_length())
        first, shared = self.bound[along], (along, self._context())
        count = width if first.startswith("%") else min(width, along.size - int(first))  # the others lie in a gap
        rows = [Strip(self._context(), lanes, self._context(), {along: self._shifted(first, k)}) for k in range(count)]

        def turn(i: Value, carried: list[Value]) -> list[Value]:
            made = [replace(row, bound={**row.bound, var: i}) for row in rows]
            with self._scope({}):
                return self._accumulate(kind, dtype, outer, carried, body, made)

        self.along, self.still = var, shared
        for row in rows:
            with self._in(row):
                for write in self.kernel.beside:
                    self._hoist(write.value, set(over))
        none = splat(self.text, _identity(kind, dtype), dtype, lanes)
        totals = self._along_row(turn, [none] * count, dtype, var.size, lanes) + [none] * (width - count)
        self.along, self.still = along, None
        found = self._lanes_folded(kind, totals, dtype, lanes)
        self.width = width
        return found

    def _along_row(self, turn: _Turn, totals: list[Value], dtype: DType, size: int, lanes: int) -> list[Value]:
        """`turn` at every vector of an axis; at the last one only the lanes within the axis are read."""
        whole = size // lanes * lanes
        if whole // lanes <= (1 if self.kernel.beside else UNROLLED // 2):
            for i in range(0, whole, lanes):
                totals = turn(str(i), totals)
        else:
            totals = self.text.loop(0, whole, lanes, [(type_of(dtype, lanes), total) for total in totals], turn)
        if size % lanes:
            self.active = size % lanes
            totals = turn(str(whole), totals)
            self.active = 0
        return totals

    def _argmax(self, var: Var, body: Expr) -> Value:
        """The index of the first largest element; a NaN counts as the largest."""
        text, dtype, width = self.text, body.dtype, self.width
        with self._scope({var: "0"}):
            first = self._value(body)
        zero = splat(text, "0", INDEX, width)
        if var.size == 1:
            return zero

        def turn(i: Value, carried: list[Value]) -> list[Value]:
            best, at = carried
            with self._scope({var: i}):
                x = self._value(body)
            better = emit(text, "greater", [x, best], [dtype, dtype], np.dtype("bool"), width)
            if dtype.kind == "f":
                t, mask = type_of(dtype, width), type_of(np.dtype("bool"), width)
                new = text.let(f"fcmp uno {t} {x}, {x}")
                old = text.let(f"fcmp ord {t} {best}, {best}")
                better = text.let(f"or {mask} {better}, {text.let(f'and {mask} {new}, {old}')}")
            kinds = [np.dtype("bool"), dtype, dtype]
            here = splat(text, i, INDEX, width)
            return [
                emit(text, "where", [better, x, best], kinds, dtype, width),
                emit(text, "where", [better, here, at], [kinds[0], INDEX, INDEX], INDEX, width),
            ]

        carried = [(type_of(dtype, width), first), (type_of(INDEX, width), zero)]
        return text.loop(1, var.size, 1, carried, turn)[1]

    def _sum_together(self, expr: Expr, made: Sequence[Strip]) -> None:
        for strip in made:
            with self._in(strip):
                self._hoist_terms(expr.args[0], expr.data[1])
        for strip, total in zip(made, self._total(expr, made), strict=True):
            self.scopes[-1][id(expr), strip.context] = total

    def _hoist_terms(self, body: Expr, over: Sequence[Var]) -> None:
        """Computes now what the terms of a sum need that is the same in all of them."""
        for value in (body, *(write.value for write in self.kernel.beside)):
            self._hoist(value, {*over, *self._unbound()})


def most_lanes(body: Expr, dtype: DType) -> int:
    """The widest strip of a sum: several vectors, so that several accumulators are carried, if its terms are short."""
    short = sum(1 for _ in all_of(body)) <= _SHORT
    return VECTOR_BYTES // dtype.itemsize * (ACCUMULATORS if short else 1)


def _by_turns(expr: Expr, made: Sequence[Strip]) -> int:
    """How many totals of each strip a sum carries."""
    body, var = expr.args[0], expr.data[1][0]
    vectors = sum(-(-strip.width * expr.dtype.itemsize // VECTOR_BYTES) for strip in made)
    if var.size <= UNROLLED or sum(1 for _ in all_of(body)) > _SHORT:
        return 1
    parts = 1
    while parts < ACCUMULATORS and 2 * parts * vectors <= _CHAINS and var.size >= _CHAINS * parts:
        parts *= 2
    return parts


def _identity(kind: str, dtype: DType) -> Value:
    if kind == "sum":
        return literal(0, dtype)
    if dtype.kind == "f":
        return literal(-np.inf, dtype)
    return literal(0 if dtype.kind == "b" else np.iinfo(dtype).min, dtype)
