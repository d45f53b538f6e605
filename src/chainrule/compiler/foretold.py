"""A condition that all of a step waits for, as a branch that the processor foretells.

A processor goes on past a branch that it has learned, and checks later; it waits for the operands of a `select`.
"""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.compiler.axes import is_scalar
from chainrule.compiler.kernels import Buffer, Kernel
from chainrule.compiler.readiness import EARLY, Readiness
from chainrule.compiler.rewriting import Rewriting
from chainrule.formula import Expr

__all__ = ["foretold"]

_MOST = 16  # conditions that are tried
_WRONG = 20  # cycles that a wrong guess costs


def foretold(kernels: Sequence[Kernel], carried: Sequence[tuple[Buffer, Buffer]]) -> list[Kernel]:
    """The kernels with a branch in place of one condition, 0 or 1, on which all that is `carried` depends.

    A hinge's is such: it says whether a step is made. A network's units have many, and on none of them does everything
    depend. Where results are not known much sooner by a branch, a wrong guess would only cost.
    """
    ready = Readiness(source for _, source in carried)
    bits: dict[int, Expr] = {}
    for kernel in kernels:
        ready.see(kernel)
        if is_scalar(kernel):
            bits |= {id(expr): expr for expr in kernel.expressions if _is_bit(expr) and ready.of(expr) > EARLY}
    until = _known(kernels, carried)
    for bit in list(bits.values())[:_MOST]:
        rewriting = Rewriting([(bit, Expr("foretold", bit.args, bit.dtype))])
        made = [rewriting.kernel(kernel) for kernel in kernels]
        if _known(made, carried) <= until - _WRONG:
            return made
    return list(kernels)


def _known(kernels: Sequence[Kernel], carried: Sequence[tuple[Buffer, Buffer]]) -> float:
    """When all that is carried on is known."""
    ready = Readiness(source for _, source in carried)
    for kernel in kernels:
        ready.see(kernel)
    return max(ready.buffers.get(out, EARLY) for out, _ in carried)


def _is_bit(expr: Expr) -> bool:
    """Whether it is one condition as a number, not one for each term of a sum."""
    return expr.op == "cast" and expr.dtype.kind == "f" and expr.args[0].dtype.kind == "b" and not expr.needs
