"""Expressions made again with others in their places: what passes over the values of kernels have in common."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from chainrule.compiler.kernels import Kernel, Write
from chainrule.formula import Expr

__all__ = ["Rewriting"]


class Rewriting:
    """Expressions made again from their reads up. What several share stays shared; what does not change stays itself.

    A pass says in `_new` what becomes of an expression, and in `write` what becomes of more than the value of a write.

    Args:
        pairs: expressions, and what stands in their places.
    """

    def __init__(self, pairs: Iterable[tuple[Expr, Expr]] = ()):
        self._made = {id(old): new for old, new in pairs}

    def kernel(self, kernel: Kernel) -> Kernel:
        """The kernel with the new writes, and the new condition if it has one."""
        made = kernel.with_writes(self.write)
        return made if kernel.only is None else replace(made, only=self.of(kernel.only))

    def write(self, write: Write) -> Write:
        """The write of the new value."""
        return replace(write, value=self.of(write.value))

    def of(self, expr: Expr) -> Expr:
        """What stands in the place of an expression, which lives as long as this: it is known by identity."""
        if id(expr) not in self._made:
            args = tuple(map(self.of, expr.args))
            same = all(a is b for a, b in zip(args, expr.args, strict=True))
            self._made[id(expr)] = self._new(expr, expr if same else replace(expr, args=args))
        return self._made[id(expr)]

    def _new(self, expr: Expr, made: Expr) -> Expr:
        """What stands in the place of `expr`; `made` is the same on what stands in the places of its operands."""
        return made
