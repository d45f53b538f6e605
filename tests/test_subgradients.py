"""What the documentation promises where mathematics leaves a choice, and where naive formulas overflow."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special
from scipy.special import ndtr
from tests.engines import compiled, listed

import chainrule as cr


def slopes(engine: str, f: Callable[..., Any], *values: Any, order: int = 1) -> list[np.ndarray]:
    """The gradient of the sum of f's result for every argument, taken again and again to `order`."""
    leaves = [cr.Input(np.shape(v), "float64") for v in values]
    found = listed(f(*leaves))
    for _ in range(order):
        found = cr.gradient(sum(y.sum() for y in found), leaves)
    return compiled(engine, leaves, found)(*(np.asarray(v, float) for v in values))


KINKS = {
    "relu is 0 at 0": (cr.relu, 0.0, 0.0),
    "abs is 0 at 0": (cr.abs, 0.0, 0.0),
    "leaky_relu is the slope at 0": (lambda x: cr.leaky_relu(x, 0.2), 0.0, 0.2),
    "elu is alpha at 0": (lambda x: cr.elu(x, 1.5), 0.0, 1.5),
    "clip is 1 at the lower bound": (lambda x: cr.clip(x, -1, 1), -1.0, 1.0),
    "clip is 1 at the upper bound": (lambda x: cr.clip(x, -1, 1), 1.0, 1.0),
    "clip is 0 outside": (lambda x: cr.clip(x, -1, 1), 1.5, 0.0),
    "sign is 0": (cr.sign, 0.0, 0.0),
    "floor is 0": (cr.floor, 1.0, 0.0),
    "x ** 0 is 0 at 0": (lambda x: x**0, 0.0, 0.0),
    "x ** 1 is 1 at 0": (lambda x: x**1, 0.0, 1.0),
}


@pytest.mark.parametrize("kink", KINKS)
def test_the_subgradient_at_a_kink(engine: str, kink: str) -> None:
    f, x, slope = KINKS[kink]
    assert slopes(engine, f, x)[0] == slope


@pytest.mark.parametrize("f", [cr.maximum, cr.minimum])
def test_a_tie_of_two_is_half_each(engine: str, f: Callable[..., Any]) -> None:
    for found in slopes(engine, f, [1.0, 2.0], [1.0, 2.0]):
        np.testing.assert_array_equal(found, [0.5, 0.5])


@pytest.mark.parametrize(("f", "x"), [(cr.max, [3.0, 1.0, 3.0, 3.0]), (cr.min, [0.0, 1.0, 0.0, 0.0])])
def test_ties_of_a_reduction_are_shared(engine: str, f: Callable[..., Any], x: list[float]) -> None:
    np.testing.assert_array_equal(slopes(engine, f, x)[0], [1 / 3, 0, 1 / 3, 1 / 3])


def test_the_product_with_zeros_to_second_order(engine: str) -> None:
    """d(xyz)/dx = yz, and its mixed derivatives are the third factor, whichever are 0."""
    np.testing.assert_array_equal(slopes(engine, cr.prod, [0.0, 2.0, 3.0])[0], [6, 0, 0])
    np.testing.assert_array_equal(slopes(engine, cr.prod, [0.0, 0.0, 3.0])[0], [0, 0, 0])
    np.testing.assert_array_equal(slopes(engine, cr.prod, [0.0, 0.0, 3.0], order=2)[0], [3, 3, 0])


@pytest.mark.parametrize(
    ("exponent", "wanted"),
    [(0.0, (1, 0, 0, 0)), (1.0, (0, 1, 0, 0)), (2.0, (0, 0, 2, 0)), (3.0, (0, 0, 0, 6))],
)
@pytest.mark.parametrize("as_tensor", [True, False])
def test_powers_at_0_to_third_order(engine: str, exponent: float, wanted: tuple[float, ...], as_tensor: bool) -> None:
    power = np.full((), exponent) if as_tensor else exponent
    for order, slope in enumerate(wanted):
        assert slopes(engine, lambda x: x**power, 0.0, order=order)[0] == slope


def test_a_power_of_0_has_no_derivative_for_its_exponent(engine: str) -> None:
    assert slopes(engine, cr.power, 0.0, 2.0)[1] == 0
    assert slopes(engine, cr.power, 0.0, 0.0)[0] == 0


def test_the_second_derivative_of_softplus_at_0(engine: str) -> None:
    assert slopes(engine, cr.softplus, 0.0, order=2)[0] == 0.25


FAR = [-1e4, -750.0, -1.0, 0.0, 1.0, 750.0, 1e4]


@pytest.mark.parametrize(
    ("f", "value", "slope"),
    [
        (cr.sigmoid, scipy.special.expit, lambda x: scipy.special.expit(x) * scipy.special.expit(-x)),
        (cr.softplus, lambda x: np.logaddexp(x, 0), scipy.special.expit),
        (cr.tanh, np.tanh, lambda x: 4 * scipy.special.expit(2 * x) * scipy.special.expit(-2 * x)),
        (cr.silu, lambda x: x * scipy.special.expit(x), None),
        (cr.gelu, lambda x: x * ndtr(x), lambda x: ndtr(x) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)),
        (cr.elu, lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))), lambda x: np.exp(np.minimum(x, 0))),
    ],
    ids=["sigmoid", "softplus", "tanh", "silu", "gelu", "elu"],
)  # fmt: skip
def test_far_from_0_nothing_overflows(engine: str, f: Callable[..., Any], value: Any, slope: Any) -> None:
    x = np.array(FAR)
    np.testing.assert_allclose(slopes(engine, f, x, order=0)[0], value(x), rtol=1e-14, atol=1e-15)
    found = slopes(engine, f, x)[0]
    assert np.isfinite(found).all()
    assert np.isfinite(slopes(engine, f, x, order=2)[0]).all()
    if slope is not None:
        np.testing.assert_allclose(found, slope(x), rtol=1e-13, atol=1e-15)


ROWS = [[1e4, -1e4, 0.0], [1e4, 1e4, 1e4], [-np.inf, 1.0, 2.0], [-np.inf, -np.inf, 0.0], [-1e4, -1e4, -np.inf]]


@pytest.mark.parametrize("row", ROWS)
def test_softmax_with_huge_and_impossible_scores(engine: str, row: list[float]) -> None:
    def cost(x: cr.Tensor) -> cr.Tensor:
        return cr.softmax(x)[2]

    y = scipy.special.softmax(row)
    np.testing.assert_allclose(slopes(engine, cr.softmax, row, order=0)[0], y, rtol=1e-14)
    np.testing.assert_allclose(slopes(engine, cost, row)[0], y[2] * ([0, 0, 1] - y), rtol=1e-14, atol=1e-16)


@pytest.mark.parametrize("row", ROWS)
def test_logsumexp_with_huge_and_impossible_scores(engine: str, row: list[float]) -> None:
    assert slopes(engine, cr.logsumexp, row, order=0)[0] == pytest.approx(scipy.special.logsumexp(row), rel=1e-14)
    np.testing.assert_allclose(slopes(engine, cr.logsumexp, row)[0], scipy.special.softmax(row), rtol=1e-14)
    found = slopes(engine, cr.log_softmax, row, order=0)[0]
    np.testing.assert_allclose(found, scipy.special.log_softmax(row), rtol=1e-14)


def test_infinite_sums_are_infinite(engine: str) -> None:
    assert slopes(engine, cr.logsumexp, [-np.inf, -np.inf], order=0)[0] == -np.inf
    assert slopes(engine, cr.logsumexp, [np.inf, 0.0], order=0)[0] == np.inf


def test_branches_that_are_not_taken_do_no_harm(engine: str) -> None:
    """elu's exponential overflows where it is not used."""
    np.testing.assert_array_equal(slopes(engine, cr.elu, [1e4])[0], [1.0])


@pytest.mark.parametrize("dtype", ["uint8", "int8", "bool"])
def test_the_smallest_of_integers_does_not_wrap_around(engine: str, dtype: str) -> None:
    x = np.array([0, 1, 100], dtype) if dtype != "int8" else np.array([-128, 1, 100], dtype)
    assert cr.min(x).numpy() == x.min()
    assert cr.argmin(x).numpy() == 0
