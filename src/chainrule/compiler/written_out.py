"""Kernels of very few elements without their loop: each element is a number of its own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from chainrule.compiler.axes import is_scalar
from chainrule.compiler.kernels import Buffer, Kernel, Write, reads, targets
from chainrule.compiler.rewriting import Rewriting
from chainrule.formula import Affine, Expr, Var

__all__ = ["written_out"]

_MOST = 8  # elements
_Kernels = Sequence[Kernel]


def written_out(kernels: _Kernels, carried: Sequence[tuple[Buffer, Buffer]]) -> list[Kernel]:
    """Kernels whose results are read one by one, by kernels of one element, in this step or the next, as such ones.

    To take a vector apart, and to put one together, would each be an operation more to wait for.
    """
    over = dict(carried)
    scalars = [kernel for kernel in kernels if is_scalar(kernel)]
    single = {buffer for kernel in scalars for buffer, _ in reads(kernel)}

    def made(kernel: Kernel) -> Kernel:
        one_by_one = any(target in single or over.get(target) in single for target in targets(kernel))
        return _written_out(kernel) if one_by_one else kernel

    return [made(kernel) for kernel in kernels]


def _written_out(kernel: Kernel) -> Kernel:
    sizes = [var.size for var in kernel.space]
    if is_scalar(kernel) or not 0 < math.prod(sizes) <= _MOST or not _is_apart(kernel):
        return kernel
    places = [_Placed(dict(zip(kernel.space, at, strict=True))) for at in np.ndindex(*sizes)]
    return replace(kernel, space=(), writes=tuple(place.write(write) for place in places for write in kernel.writes))


def _is_apart(kernel: Kernel) -> bool:
    """Whether its elements need nothing of one another, and lie at known places."""
    own = set(targets(kernel))
    known = all(var.value is None for write in kernel.writes for var, _ in write.place.terms)
    plain = not any(expr.op in ("reduce", "position") for expr in kernel.expressions)
    whole = kernel.ordered is None and not kernel.zeroes and not kernel.alone
    return known and plain and whole and not any(buffer in own for buffer, _ in reads(kernel))


class _Placed(Rewriting):
    """Expressions at one place of the loop variables."""

    def __init__(self, place: Mapping[Var, int]):
        super().__init__()
        self.place = place

    def write(self, write: Write) -> Write:
        return replace(write, place=self._position(write.place), value=self.of(write.value))

    def _new(self, expr: Expr, made: Expr) -> Expr:
        if expr.op == "read" and expr.needs & set(self.place):
            return replace(expr, data=(expr.data[0], self._position(expr.place)))
        return made

    def _position(self, place: Affine) -> Affine:
        kept = tuple((self._var(var), factor) for var, factor in place.terms if var not in self.place)
        return Affine(kept, place.offset + sum(factor * self.place.get(var, 0) for var, factor in place.terms))

    def _var(self, var: Var) -> Var:
        value = None if var.value is None else self.of(var.value)
        return var if value is var.value else replace(var, value=value)
