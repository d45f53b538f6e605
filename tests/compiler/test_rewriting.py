"""Expressions made again: what is shared is looked at once and stays shared, what does not change stays itself."""

from __future__ import annotations

import numpy as np

from chainrule.compiler.kernels import Buffer, Kernel, Write
from chainrule.compiler.rewriting import Rewriting
from chainrule.formula import Affine, Expr, const, read

F64 = np.dtype("float64")


def number(name: str) -> Expr:
    return read(Buffer(name, 1, F64, "input"), Affine(), F64)


class Doubled(Rewriting):
    """Twice every exponential."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Expr] = []

    def _new(self, expr: Expr, made: Expr) -> Expr:
        self.seen.append(expr)
        return made + made if expr.op == "exp" else made


def test_what_is_shared_is_made_once_and_stays_shared() -> None:
    x = number("x")
    once = np.exp(x)
    product = once * once
    doubled = Doubled()
    made = doubled.of(product + once)
    assert [expr.op for expr in doubled.seen] == ["read", "exp", "multiply", "add"]
    assert made.op == "add" and made.args[0].op == "multiply"
    assert made.args[0].args[0] is made.args[0].args[1] is made.args[1]
    assert made.args[1].op == "add" and made.args[1].args[0] is once  # nothing below it has changed
    assert doubled.of(product) is made.args[0]


def test_what_does_not_change_stays_itself() -> None:
    x, y = number("x"), number("y")
    kept, changed = np.sin(x) * 2, np.cos(y)
    rewriting = Rewriting([(y, x)])
    made = rewriting.of(kept + changed)
    assert made.args[0] is kept and rewriting.of(kept) is kept
    assert made.args[1].op == "cos" and made.args[1].args[0] is x
    assert changed.args[0] is y  # the old ones are as they were


def test_what_is_exchanged_may_stand_within_its_substitute() -> None:
    x = number("x")
    assert Rewriting([(x, -x)]).of(np.exp(x)).args[0].args[0] is x


def test_a_kernel_changes_in_all_that_it_writes() -> None:
    x, y = number("x"), number("y")
    one, other = (Write(Buffer(name, 1, F64, "output"), Affine(), np.exp(x), None) for name in "ab")
    made = Rewriting([(x, y)]).kernel(Kernel((), (one,), beside=(other,)))
    assert [write.value.args[0] for write in made.written] == [y, y]
    assert [write.target for write in made.written] == [one.target, other.target]


def test_a_chain_may_be_as_long_as_formulas_get() -> None:
    """Every operation of one takes a single frame of the thousand that Python grants."""
    x = found = number("x")
    for _ in range(600):
        found = np.exp(found)
    made = Rewriting([(x, const(1, F64))]).of(found)
    while made.op == "exp":
        (made,) = made.args
    assert made.op == "const"
