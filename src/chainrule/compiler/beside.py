"""Updates that are made in the loop of a sum over the same array, which is then read once.

Backwards, a layer that was given a single row sums over its weights (dx[i] = sum over j of g[j] w[i, j]), and replaces
them (w[i, j] - rate x[i] g[j]). Both go through all of w; together they take little longer than one of them.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace

from chainrule.compiler.axes import all_of
from chainrule.compiler.kernels import Buffer, Kernel, Used, Write
from chainrule.compiler.rewriting import Rewriting
from chainrule.formula import Affine, Expr, Var

__all__ = ["updated_beside"]

_MOST = 2**16  # elements: the rows of larger ones are shared by threads, which those of a sum are not


def updated_beside(kernels: Sequence[Kernel], carried: Sequence[tuple[Buffer, Buffer]]) -> list[Kernel]:
    """The same work, with updates of `carried` inputs made beside the last sum over the old ones."""
    over = dict(carried)
    found: list[Used] = []
    for kernel in kernels:
        used = Used(kernel, over)
        at = next((i for i in range(len(found) - 1, -1, -1) if used.follows(found[i])), None)
        together = None if at is None else _together(found[at], used)
        if at is None or together is None:
            found.append(used)
        else:
            found[at] = Used(together, over)
    return [used.kernel for used in found]


def _together(other: Used, update: Used) -> Kernel | None:
    """Both in one loop, if one is a sum over what the other replaces, and needs that alone of it."""
    kernel, late = other.kernel, update.kernel
    if not _is_update(late, update.replaced):
        return None
    if update.read & (other.written | other.replaced) or update.written & (other.read | other.written):
        return None
    sums = [e for e in kernel.expressions if e.op == "reduce"]
    old = [e for e in kernel.expressions if e.op == "read" and e.data[0] in update.replaced]
    plain = kernel.ordered is None and not kernel.zeroes and not kernel.beside
    if not (plain and len(sums) == len(old) == 1 and kernel.space and sums[0].data[0] != "argmax"):
        return None
    variables = _matched(late.writes[0].place, old[0].place, (*kernel.space, *sums[0].data[1]))
    if variables is None or not any(e is old[0] for e in all_of(sums[0])):
        return None
    renamed = _Renamed(variables, kernel)
    return replace(kernel, beside=tuple(renamed.write(write) for write in late.writes))


def _is_update(kernel: Kernel, replaced: Container[Buffer]) -> bool:
    """Whether it computes every element by itself, of what it replaces from the same element."""
    place, found = kernel.writes[0].place, kernel.expressions
    plain = kernel.ordered is None and not (kernel.zeroes or kernel.beside or any(w.adds for w in kernel.writes))
    direct = all(var.value is None for e in found for var, _ in e.place.terms) and all(e.op != "reduce" for e in found)
    there = [write.place for write in kernel.writes] + [
        e.place for e in found if e.op == "read" and e.data[0] in replaced
    ]
    small = math.prod(var.size for var in kernel.space) <= _MOST
    return plain and direct and small and all(p == place for p in there) and len(place.terms) == len(kernel.space)


def _matched(place: Affine, wanted: Affine, variables: Sequence[Var]) -> dict[Var, Var] | None:
    """The variables of `place` as those that make it `wanted`, which are all `variables`."""
    by_factor = {(factor, var.size): var for var, factor in wanted.terms}
    found = {var: by_factor.get((factor, var.size)) for var, factor in place.terms}
    complete = {*variables} == {var for var, _ in wanted.terms} == {*found.values()}
    if not complete or place.offset != wanted.offset or len(found) != len(variables):
        return None
    return {var: other for var, other in found.items() if other is not None}


class _Renamed(Rewriting):
    """Writes with other variables. What a kernel reads already is the same expression, so that it is read once."""

    def __init__(self, variables: Mapping[Var, Var], kernel: Kernel):
        super().__init__()
        self.variables = variables
        self.there = {self._key(e): e for e in kernel.expressions if e.op == "read"}

    def write(self, write: Write) -> Write:
        return replace(write, place=self._place(write.place), value=self.of(write.value))

    def _place(self, place: Affine) -> Affine:
        return Affine(tuple((self.variables.get(var, var), factor) for var, factor in place.terms), place.offset)

    def _new(self, expr: Expr, made: Expr) -> Expr:
        if expr.op == "read":
            made = replace(expr, data=(expr.data[0], self._place(expr.place)))
            return self.there.get(self._key(made), made)
        return replace(expr, data=self._place(expr.place)) if expr.op == "position" else made

    def _key(self, expr: Expr) -> tuple[Buffer, frozenset[tuple[Var, int]], int]:
        return expr.data[0], frozenset(expr.place.terms), expr.place.offset
