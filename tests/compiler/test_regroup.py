"""Sums and products in a better order: what is regrouped, what is not, and that the numbers stay the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler import CompiledProgram
from chainrule.compiler.merge import merged
from chainrule.compiler.pseudocode import printed
from chainrule.compiler.regroup import regrouped
from chainrule.compiler.schedule import schedule


def loops(inputs: Sequence[cr.Tensor], *outputs: cr.Tensor) -> str:
    found = schedule(inputs, outputs)
    found.kernels = regrouped(merged(found.kernels))
    return printed(found)


def test_a_bias_begins_the_sum() -> None:
    x, w, b = cr.Input((2,), name="x"), cr.Input((2, 20), name="w"), cr.Input((20,), name="b")
    assert loops([x, w, b], (x @ w + b).named("y")) == "for i < 20: y[i] = b[i] + x[0] * w[0, i] + x[1] * w[1, i]"


def test_a_sum_that_is_used_twice_stays_one() -> None:
    x, w, b = cr.Input((2,), name="x"), cr.Input((2, 20), name="w"), cr.Input((20,), name="b")
    product = x @ w
    text = loops([x, w, b], (product + b).named("y"), (product - b).named("z"))
    assert text.count("x[0] * w[0, i]") == 1
    assert "y[i] = contract + b[i]" in text


@pytest.mark.parametrize(
    "sizes, wanted", [((3, 40), "0.1 * x[i] * g[j]"), ((40, 5), "0.1 * g[j] * x[i]")], ids=["few rows", "many rows"]
)
def test_a_small_factor_goes_to_what_has_fewest_values(sizes: tuple[int, int], wanted: str) -> None:
    n, m = sizes
    p, x, g = cr.Input((n, m), name="p"), cr.Input((n,), name="x"), cr.Input((m,), name="g")
    text = loops([p, x, g], (p - 0.1 * (x[:, None] * g)).named("y"))
    assert text == f"for i < {n}, j < {m}: y[i, j] = p[i, j] - {wanted}"


def test_a_large_factor_stays_where_it_is() -> None:
    x, g = cr.Input((3,), name="x"), cr.Input((40,), name="g")
    y = (1e200 * (x[:, None] * g)).named("y")
    assert loops([x, g], y) == "for i < 3, j < 40: y[i, j] = 1e+200 * (x[i] * g[j])"
    (found,) = CompiledProgram([x, g], [y])(np.full(3, 1e200), np.full(40, 1e-200))
    assert np.isfinite(found).all()


def test_a_tiny_factor_stays_where_it_is() -> None:
    """Moved to the small operand it would make it 0."""
    x, g = cr.Input((3,), "float32"), cr.Input((40,), "float32")
    (found,) = CompiledProgram([x, g], [1e-20 * (x[:, None] * g)])(
        np.full(3, 1e-30, "float32"), np.full(40, 1e30, "float32")
    )
    np.testing.assert_allclose(found, 1e-20, rtol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0, 1e-300])
def test_nan_and_infinity_come_through(value: float) -> None:
    p, x, g, b = cr.Input((3, 20)), cr.Input((3,)), cr.Input((20,)), cr.Input((20,))
    outputs = [p - 0.1 * (x[:, None] * g), x @ p + b]
    arrays = [np.ones((3, 20)), np.array([1.0, value, 2.0]), np.linspace(-1, 1, 20), np.ones(20)]
    with np.errstate(invalid="ignore"):
        wanted = arrays[0] - 0.1 * (arrays[1][:, None] * arrays[2]), arrays[1] @ arrays[0] + arrays[3]
    for found, expected in zip(CompiledProgram([p, x, g, b], outputs)(*arrays), wanted, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-14)
