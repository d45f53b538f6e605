"""An element-wise operation's formula is what it says to NumPy, traced."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.formula import Affine, Expr, Operand, Var, affine, elementwise, read, reduce_over

F64 = np.dtype("float64")


def operand(name: str) -> Operand:
    return Operand((4,), F64, lambda index: read(name, index[0], F64))


def said(expr: Expr) -> str:
    """An expression in prefix form."""
    if expr.op in ("const", "read"):
        return str(expr.data if expr.op == "const" else expr.data[0])
    return f"{expr.op}({', '.join(map(said, expr.args))})"


@pytest.mark.parametrize(
    ("evaluate", "formula"),
    [
        (np.exp, "exp(a)"),
        (lambda a, b: a * b + 2, "add(multiply(a, b), 2.0)"),
        (lambda a, b: np.where(a > b, a, 0), "where(greater(a, b), a, 0.0)"),
        (lambda a: np.maximum(a, a.dtype.type(0)), "maximum(a, 0.0)"),
        (lambda a: 1 - a**3, "subtract(1.0, power(a, 3.0))"),
        (lambda a: np.clip(a, -1, 1), "minimum(maximum(a, -1.0), 1.0)"),
        (lambda a: a.astype(np.dtype("int64")), "cast(a)"),
    ],
)
def test_what_is_said_to_numpy_is_the_formula(evaluate: object, formula: str) -> None:
    count = evaluate.__code__.co_argcount if hasattr(evaluate, "__code__") else 1
    operands = [operand(name) for name in "ab"[:count]]
    assert said(elementwise(evaluate)(operands, (Affine(),))) == formula  # type: ignore[arg-type]


def test_comparisons_are_booleans_and_the_rest_keeps_its_dtype() -> None:
    a = read("a", Affine(), np.dtype("float32"))
    assert (a > 1).dtype == np.dtype("bool")
    assert (a + 1).dtype == np.exp(a).dtype == np.dtype("float32")


def test_what_numpy_cannot_say_of_one_element_is_refused() -> None:
    with pytest.raises(TypeError):
        elementwise(np.sort)([operand("a")], (Affine(),))


def test_positions_add_up() -> None:
    i, j = Var(3), Var(4)
    place = affine(i) * 4 + j + 2
    assert (place.stride(i), place.stride(j), place.offset) == (4, 1, 2)
    assert (place + affine(j) * -1).terms == ((i, 4),)


def test_short_sums_are_written_out_and_long_ones_are_not() -> None:
    x = Operand((9,), F64, lambda index: read("x", index[0], F64))
    assert said(reduce_over("sum", [3], lambda over: x[over])) == "add(add(x, x), x)"
    assert reduce_over("sum", [9], lambda over: x[over]).op == "reduce"
