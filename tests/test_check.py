"""check_grads finds what is wrong, says where, and lets what is right pass."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import check_grads
from chainrule.check import KinkWarning
from chainrule.errors import GradientError, OptionError

rng = np.random.default_rng(0)


def test_right_derivatives_pass() -> None:
    w = cr.Parameter(rng.normal(size=(3, 2)), "w")  # float64
    v = cr.Parameter(rng.normal(size=2).astype(np.float32), "v")
    check_grads(
        lambda x, labels: (cr.log_softmax(x @ w + v)[0] * labels, cr.tanh(x)),
        rng.normal(size=(4, 3)), np.array([1, 0]), parameters=[w, v], order=2,
    )  # fmt: skip


def test_third_order() -> None:
    check_grads(lambda x: cr.exp(cr.sin(x)), [0.3, -1.0], order=3)


def test_the_first_order_of_a_large_function() -> None:
    check_grads(lambda x: 1e6 * cr.exp(x).sum(), rng.normal(size=20), order=1)


@cr.custom(derivative=lambda g, y, a, b: (g * b, g * a * np.where(np.arange(6).reshape(2, 3) == 4, 1.01, 1.0)))
def wrong_in_one_place(a: cr.Tensor, b: cr.Tensor) -> cr.Tensor:
    return a * b


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_a_wrong_rule_is_found_by_input_and_index(mode: str) -> None:
    a, b = np.full((2, 3), 2.0), np.full((2, 3), 5.0)
    with pytest.raises(GradientError) as caught:
        check_grads(lambda x, y: wrong_in_one_place(x, y).sum(), a, b, modes=[mode])
    text = str(caught.value)
    assert f"order 1, {mode} mode: input 'y', index (1, 1)" in text
    assert re.search(r"the derivative is 2\.02\d*, finite differences give (2|2\.0+|1\.9+)\d*, off by 0\.02", text)
    assert "1 of 6 elements" in text
    assert "test_check.py:" in text


def test_a_wrong_second_derivative_is_found() -> None:
    """The slope is right at the point and constant, so only its own derivative is wrong."""

    @cr.custom(derivative=lambda g, y, x: g * cr.stop_gradient(cr.cos(x)))
    def sine(x: cr.Tensor) -> cr.Tensor:
        return cr.sin(x)

    check_grads(sine, 0.7, order=1)
    with pytest.raises(GradientError, match=r"order 2, forward over forward: input 'x', index \(\)"):
        check_grads(sine, 0.7)


def test_a_parameter_is_named() -> None:
    w = cr.Parameter(np.ones((2, 3)), "weight")
    with pytest.raises(GradientError, match=r"input 'weight', index \(1, 1\)"):
        check_grads(lambda x: wrong_in_one_place(x, w), np.ones((2, 3)), parameters=[w], order=1)


def test_a_gradient_that_is_nan_is_wrong() -> None:
    with pytest.raises(GradientError, match=r"index \(1,\): the derivative is nan"):
        check_grads(lambda x: cr.where(x > 0, cr.sqrt(x), 0.0), [1.0, -2.0], order=1)


@pytest.mark.parametrize("f", [cr.relu, lambda x: cr.clip(x, 0, 1), lambda x: cr.elu(x, 2.0)])
def test_a_kink_is_a_warning(f: Callable[[Any], cr.Tensor]) -> None:
    with pytest.warns(KinkWarning, match=r"input 'x', index \(1,\): the slopes of the two sides are"):
        check_grads(lambda x: f(x), [0.5, 0.0, -0.5], order=1)


def test_float32_is_no_obstacle() -> None:
    x = rng.normal(size=3).astype(np.float32)
    check_grads(lambda x: cr.sin(x).astype("float32") * np.float32(3) * cr.random.uniform(0, 3, dtype="float32"), x)


def test_a_jump_is_a_warning() -> None:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        check_grads(lambda x: cr.relu(x), [0.5, 0.0], modes=["reverse"])
    assert [w.category for w in found] == [KinkWarning, KinkWarning]
    assert re.search(r"order 2.*index \(1,\): the value jumps from", str(found[1].message))
    assert found[1].filename == __file__


def test_a_kink_beside_the_point_is_none() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_grads(cr.relu, [1e-3, -1.5e-3, 1e-4])


def test_a_wrong_slope_at_a_kink_is_an_error() -> None:
    @cr.custom(derivative=lambda g, y, x: g * 1.5)
    def hinge(x: cr.Tensor) -> cr.Tensor:
        return cr.relu(x)

    with pytest.raises(GradientError, match=r"the derivative is 1\.5"):
        check_grads(hinge, 0.0, order=1)


def test_nothing_is_changed() -> None:
    w = cr.Parameter(np.ones(3, np.float32))
    x = np.ones(3, np.float32)
    check_grads(lambda x: (x * w).sum(), x, parameters=[w])
    np.testing.assert_array_equal(w.value, np.ones(3, np.float32))
    assert w.dtype == x.dtype == np.float32


@pytest.mark.parametrize("options", [{"order": 0}, {"modes": ()}, {"modes": ["sideways"]}])
def test_bad_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        check_grads(cr.sin, 1.0, **options)
