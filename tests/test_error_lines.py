"""An operation that is held wrong says which, with what, and the user's own line, before anything is computed."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import DTypeError, ShapeError, TraceError

x = cr.Input((2, 3), name="x")
w = cr.Input((4, 5), name="w")
flags = cr.Input((3,), "bool", name="flags")

CASES: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "matmul": (lambda: x @ w, ShapeError, r"x is \(2, 3\), w is \(4, 5\): the inner sizes 3 and 4 differ"),
    "matmul of a number": (lambda: x @ cr.Input(name="c"), ShapeError, r"c is \(\)"),
    "add": (lambda: x + w, ShapeError, r"x is \(2, 3\), w is \(4, 5\)"),
    "where": (lambda: cr.where(x > 0, x, w), ShapeError, r"w is \(4, 5\)"),
    "sum": (lambda: x.sum(axis=2), ShapeError, r"x is \(2, 3\), axis 2: there are 2 axes. Axes go from -2 to 1"),
    "max": (lambda: cr.max(x, axis=(0, -2)), ShapeError, r"axis \(0, -2\): an axis stands there twice"),
    "mean": (lambda: cr.mean(x, axis=1.5), ShapeError, r"axis 1.5: an axis is a whole number"),  # type: ignore[arg-type]
    "argmax": (lambda: cr.argmax(x, axis=-3), ShapeError, r"axis -3"),
    "softmax": (lambda: cr.softmax(x, axis=5), ShapeError, r"axis 5"),
    "cumsum": (lambda: cr.cumsum(x, 2), ShapeError, r"axis 2"),
    "reshape": (lambda: x.reshape(4, 2), ShapeError, r"x is \(2, 3\), 6 elements: they do not fill \(4, 2\)"),
    "transpose": (lambda: x.transpose(0, 0), ShapeError, r"axes \(0, 0\): each axis must stand there once"),
    "moveaxis": (lambda: cr.moveaxis(x, 0, 2), ShapeError, r"axis 2"),
    "expand_dims": (lambda: cr.expand_dims(x, 3), ShapeError, r"axis 3"),
    "squeeze": (lambda: cr.squeeze(x, 0), ShapeError, r"axis 0: its size is not 1"),
    "broadcast_to": (lambda: cr.broadcast_to(x, (2, 4)), ShapeError, r"it does not broadcast to \(2, 4\)"),
    "concatenate": (lambda: cr.concatenate([x, w]), ShapeError, r"sizes differ outside axis 0"),
    "stack": (lambda: cr.stack([x, w]), ShapeError, r"the shapes differ"),
    "split": (lambda: cr.split(x, 2, axis=1), ShapeError, r"axis 1 has 3 elements"),
    "einsum": (lambda: cr.einsum("ij,jk", x, w), ShapeError, r"label 'j' stands for 3 and for 4"),
    "index": (lambda: x[:, :, 0], ShapeError, r"3 indices for 2 axes"),
    "take": (lambda: cr.take(x, [0], axis=2), ShapeError, r"axis 2"),
    "take_along_axis": (lambda: cr.take_along_axis(x, np.zeros((3, 1), int), 1), ShapeError, r"outside axis 1"),
    "scatter_add": (lambda: cr.scatter_add(x, [0, 1], w), ShapeError, r"w is \(4, 5\)"),
    "negative": (lambda: -flags, DTypeError, r"flags is of booleans"),
    "subtract": (lambda: flags - flags, DTypeError, r"two booleans"),
    "gather": (lambda: cr.gather(x, [0.5]), DTypeError, r"indices of float64: indices are integers"),
    "as_tensor": (lambda: cr.as_tensor([1j]), DTypeError, r"complex128"),
    "mixing dtypes": (lambda: cr.Input((), "int8") + 300, DTypeError, r"the number 300: it is outside int8"),
    "bool": (lambda: x[x > 0], TraceError, r"Use where"),
    "if": (lambda: bool(cr.variable([1.0, 2.0]) > 0), ShapeError, r"'greater' \(2,\).*2 elements.*ambiguous.*where"),
    "ufunc": (lambda: np.sinh(x), TraceError, r"NumPy's sinh\(x\)"),
}


@pytest.mark.parametrize("operation", CASES)
def test_the_error_names_operands_and_line(operation: str) -> None:
    call, kind, text = CASES[operation]
    with pytest.raises(kind, match=text) as caught:
        call()
    line = call.__code__.co_firstlineno
    assert re.search(rf"test_error_lines\.py:{line}\b", str(caught.value)), f"line {line} is not in: {caught.value}"


def test_the_error_is_at_the_innermost_line_of_the_user() -> None:
    def layer(h: cr.Tensor) -> cr.Tensor:
        return h @ w

    with pytest.raises(ShapeError, match=f"test_error_lines.py:{layer.__code__.co_firstlineno + 1}"):
        layer(x)


def test_nothing_is_computed_before_the_error() -> None:
    """The placeholders hold no values: shapes and dtypes alone are enough to refuse."""
    assert x.value is None
    with pytest.raises(ShapeError):
        x + w


def test_a_gradient_of_several_numbers_names_the_line_of_the_output() -> None:
    y = x * 2; line = sys._getframe().f_lineno  # noqa: E702  # fmt: skip
    with pytest.raises(cr.errors.GradientError, match=f"'multiply' \\(2, 3\\) at test_error_lines.py:{line}"):
        cr.gradient(y, [x])


@pytest.mark.parametrize("call", [lambda: cr.take([1.0, 2.0], [2]), lambda: cr.scatter_add([1.0, 2.0], [-3], 1.0)])
def test_an_index_out_of_range_is_named(call: Callable[[], Any]) -> None:
    with pytest.raises(ShapeError, match=r"at position .*: the axis has 2 elements"):
        call()
