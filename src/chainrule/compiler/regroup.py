"""Sums and products in the order that costs least: the same terms and factors, rounded in another order.

A factor is only moved where no product can overflow by it, and none comes out as 0 that ordinary numbers make.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from chainrule.compiler.axes import all_of, vector_axis
from chainrule.compiler.kernels import Kernel
from chainrule.compiler.rewriting import Rewriting
from chainrule.formula import Expr

__all__ = ["is_moved", "regrouped"]

_FACTORS = 2.0**-24, 1.0  # the least and the largest that are moved, as step sizes and 1 / rows are


def regrouped(kernels: Sequence[Kernel]) -> list[Kernel]:
    """The same kernels, their values regrouped."""
    return [_Regrouping(kernel).kernel(kernel) for kernel in kernels]


class _Regrouping(Rewriting):
    """The values of one kernel. What several expressions share stays as it is, and shared."""

    def __init__(self, original: Kernel):
        super().__init__()
        self.vector = vector_axis(original)
        self.uses = Counter(id(arg) for expr in original.expressions for arg in expr.args)
        self.uses.update(id(write.value) for write in original.writes)

    def _new(self, expr: Expr, made: Expr) -> Expr:
        if expr.dtype.kind != "f" or expr.op not in ("add", "multiply"):
            return made
        for one, other in ((0, 1), (1, 0)):
            alone = self.uses[id(expr.args[one])] == 1
            a, b = made.args[one], made.args[other]
            if expr.op == "add" and b.op not in ("add", "multiply") and (products := self._products(expr.args[one])):
                return _sum([b, *map(self.of, products)])
            if alone and expr.op == "multiply" and a.op == "multiply" and is_moved(b):
                return self._scaled(a, b)
        return made

    def _products(self, expr: Expr) -> list[Expr]:
        """The terms of a written-out sum of products that is used once; none if it is anything else.

        Begun by another number, such as a bias, every one of its additions is one with a multiplication.
        """
        terms: list[Expr] = []
        while expr.op == "add" and expr.args[1].op == "multiply" and self.uses[id(expr)] == 1:
            terms.insert(0, expr.args[1])
            expr = expr.args[0]
        return [expr, *terms] if terms and expr.op == "multiply" else []

    def _scaled(self, product: Expr, factor: Expr) -> Expr:
        """factor * product, where the operand of `product` takes it that has the fewest values."""
        a, b = product.args
        fewer, more = (a, b) if self._values(a) <= self._values(b) else (b, a)
        return replace(product, args=(replace(product, args=(factor, fewer)), more))

    def _values(self, expr: Expr) -> tuple[int, bool]:
        """How many values it has, in vectors; of as many, those come first that this step did not make."""
        ours = any(e.op == "read" and e.data[0].kind == "arena" for e in all_of(expr))
        return math.prod(-(-var.size // 8) if var is self.vector else var.size for var in expr.needs), ours


def is_moved(factor: Expr) -> bool:
    """Whether it is a constant that may be multiplied earlier."""
    least, largest = _FACTORS
    return factor.op == "const" and least <= abs(factor.data) <= largest


def _sum(terms: Sequence[Expr]) -> Expr:
    total = terms[0]
    for term in terms[1:]:
        total = Expr("add", (total, term), term.dtype)
    return total
