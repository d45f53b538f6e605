"""When values of a step are known, in cycles after the carried values that they depend on."""

from __future__ import annotations

import math
from collections.abc import Iterable

from chainrule.compiler.kernels import Buffer, Kernel
from chainrule.formula import Expr

__all__ = ["EARLY", "USUAL", "Readiness"]

EARLY = -math.inf  # of what depends on no carried value
USUAL = 4  # cycles from the operands of an operation to its result, on processors of the last ten years
_TAKES = {
    "const": 0, "read": 0, "negative": 0, "absolute": 0, "cast": 0, "position": 0, "divide": 14,
    "sqrt": 18, "power": 60, "exp": 40, "log": 40, "tanh": 50, "sigmoid": 50, "erf": 50,
}  # fmt: skip


class Readiness:
    """When each value is known, where `carried` are known at 0.

    Attributes:
        buffers: of those that the kernels seen have written.
    """

    def __init__(self, carried: Iterable[Buffer]):
        self.buffers = dict.fromkeys(carried, 0.0)
        self._exprs: dict[int, float] = {}
        self._kept: list[Expr] = []  # they are known by identity

    def see(self, kernel: Kernel) -> None:
        """A kernel runs: when its results are known."""
        for write in kernel.writes:
            before = self.buffers.get(write.target, EARLY)
            self.buffers[write.target] = max(before, self.of(write.value))

    def of(self, expr: Expr) -> float:
        """When the value of an expression is known."""
        if id(expr) not in self._exprs:
            places = [self.of(var.value) for var, _ in expr.place.terms if var.value is not None]
            at = max([*map(self.of, expr.args), *places], default=EARLY)
            if expr.op == "foretold":
                at = EARLY
            elif expr.op == "read":
                at = max(at, self.buffers.get(expr.data[0], EARLY))
            self._exprs[id(expr)] = at + self._takes(expr)
            self._kept.append(expr)
        return self._exprs[id(expr)]

    def _takes(self, expr: Expr) -> float:
        if expr.op == "reduce":
            return USUAL * math.prod(var.size for var in expr.data[1])
        return _TAKES.get(expr.op, USUAL)
