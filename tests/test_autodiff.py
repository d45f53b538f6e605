"""What a derivative is asked of, and what is refused: by name, with the repair."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.errors import GradientError, OptionError


def forgetful(x: Any) -> None:
    x * x


RETURNED: dict[str, tuple[Callable[..., Any], str]] = {
    "nothing": (forgetful, r"the gradient of forgetful at test_autodiff.py:\d+: it returned None.*`return`"),
    "a float": (lambda x: float(x) * 2, r"plain float: .*as a graph: float\(\)"),
    "an item": (lambda x: x.item() + 1, r"plain float"),
    "the math module": (lambda x: math.exp(x), r"plain float"),
    "an array": (lambda x: x.numpy() * 2, r"plain (float64|ndarray)"),
    "a list": (lambda x: [x, x], r"a list of 2: a gradient is that of one tensor"),
    "a dict": (lambda x: {"loss": x}, r"a dict of 1"),
}
WAYS: dict[str, Callable[[Callable[..., Any]], Any]] = {
    "grad": lambda f: cr.grad(f)(1.0),
    "jacobian": lambda f: cr.jacobian(f)(1.0),
    "hessian": lambda f: cr.hessian(f)(1.0),
    "vjp": lambda f: cr.vjp(f, 1.0),
    "jvp": lambda f: cr.jvp(f, [1.0], [1.0]),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", RETURNED)
def test_what_is_no_tensor_is_refused(case: str, way: str) -> None:
    f, said = RETURNED[case]
    with pytest.raises(GradientError, match=said):
        WAYS[way](f)


def test_a_tuple_is_for_vjp_and_jvp_only() -> None:
    def both(x: Any) -> Any:
        return x, 2 * x

    assert cr.vjp(both, 1.0)[1](1.0, 1.0)[0].item() == 3.0
    assert [y.item() for y in cr.jvp(both, [1.0], [1.0])[1]] == [1.0, 2.0]
    with pytest.raises(GradientError, match=r"the gradient of both .*a tuple of 2.*see vjp"):
        cr.grad(both)(1.0)


def test_a_tensor_that_does_not_depend_on_the_argument_has_the_gradient_zero() -> None:
    w = cr.Parameter(np.array(3.0), "w")
    assert cr.grad(lambda x: w * w)(1.0).item() == 0.0
    assert cr.grad(lambda x: cr.as_tensor(2.0))(1.0).item() == 0.0


def test_positions_count_from_0() -> None:
    with pytest.raises(OptionError, match="wrt=1: there is 1 argument, and positions count from 0"):
        cr.grad(lambda x: x * x, wrt=1)(1.0)
    with pytest.raises(OptionError, match="wrt=2: there are 2 arguments, and positions count from 0"):
        cr.grad(lambda x, y: x * y, wrt=2)(1.0, 2.0)


def test_a_module_is_named_by_its_class() -> None:
    class Double(nn.Module):
        def forward(self, x: Any) -> Any:
            return float(x) * 2

    with pytest.raises(GradientError, match="the gradient of Double"):
        cr.grad(Double())(1.0)
