"""SPEC row 20: where a value is used several times, the gradient is the sum of what the branches contribute."""

from __future__ import annotations

import time

import numpy as np
import pytest
from tests.engines import compiled

import chainrule as cr

rng = np.random.default_rng(20)


@pytest.mark.parametrize("fan_out", [2, 3, 10, 100, 1000])
def test_row_20_the_gradient_is_the_sum_of_the_branches(engine: str, fan_out: int) -> None:
    """h = tanh(x w) goes into n branches sum_k sin(c_k h): dL/dh = sum_k c_k cos(c_k h)."""
    x, w = cr.Input((4, 3), name="x"), cr.Parameter(rng.normal(size=(3, 2)), "w")
    data, factors = rng.normal(size=(4, 3)), rng.normal(size=fan_out)
    h = cr.tanh(x @ w)
    branches = [cr.sin(h * c).sum() for c in factors]
    loss = cr.sum(cr.stack(branches))
    program = compiled(engine, [x], [*cr.gradient(loss, [w, x]), *cr.tangent([loss], {w: np.ones((3, 2))})])
    for_w, for_x, along_w = program(data)

    value = np.tanh(data @ w.value)
    slope = sum(c * np.cos(c * value) for c in factors) * (1 - value**2)
    np.testing.assert_allclose(for_w, data.T @ slope, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(for_x, slope @ w.value.T, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(along_w, for_w.sum(), rtol=1e-11)

    alone = [compiled(engine, [x], cr.gradient(branch, [w, x]))(data) for branch in branches[:10]]
    if fan_out <= 10:
        np.testing.assert_allclose(for_w, sum(a[0] for a in alone), rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(for_x, sum(a[1] for a in alone), rtol=1e-12, atol=1e-13)


def diamonds(x: cr.Tensor, count: int) -> cr.Tensor:
    """y -> (y + sin y) / 2 again and again: 2^count paths from x to the end."""
    for _ in range(count):
        x = (x + cr.sin(x)) * 0.5
    return x


def test_row_20_ten_thousand_diamonds(engine: str) -> None:
    """No recursion, and time in proportion to the length."""
    x = cr.Input(name="x")
    y = diamonds(x, 10_000)
    reverse, forward = cr.gradient(y, [x])[0], cr.tangent([y], {x: 1.0})[0]
    value, slope = 0.9, 1.0
    for _ in range(10_000):
        value, slope = 0.5 * value + 0.5 * np.sin(value), slope * (0.5 + 0.5 * np.cos(value))
    found = compiled(engine, [x], [y, reverse, forward])(np.asarray(0.9))
    np.testing.assert_allclose(found, [value, slope, slope], rtol=1e-11)


def test_row_20_time_is_linear() -> None:
    def seconds(count: int) -> float:
        best = float("inf")
        for _ in range(3):
            started = time.process_time()
            x = cr.Input()
            cr.gradient(diamonds(x, count), [x])
            best = min(best, time.process_time() - started)
        return best

    assert seconds(2000) < 3 * 8 * seconds(250), "8 times as long may take 8 times the time (and a margin)"
