"""SPEC row 21: nodes that join several inputs give each its own gradient; what is not used gets an exact zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.engines import compiled

import chainrule as cr

rng = np.random.default_rng(21)
COUNTS = [2, 3, 10, 100]


def gradients(engine: str, f: Callable[..., cr.Tensor], arrays: list[np.ndarray]) -> list[np.ndarray]:
    """The gradient for every input, found in reverse mode; forward mode along a direction agrees."""
    leaves = [cr.Input(a.shape) for a in arrays]
    y = f(leaves)
    directions = [rng.normal(size=a.shape) for a in arrays]
    outputs = [*cr.gradient(y, leaves), *cr.tangent([y], dict(zip(leaves, directions, strict=True)))]
    *found, along = compiled(engine, leaves, outputs)(*arrays)
    np.testing.assert_allclose(along, sum((g * d).sum() for g, d in zip(found, directions, strict=True)), rtol=1e-10)
    return found


def folded(f: Callable[[Any, Any], Any]) -> Callable[[list[cr.Tensor]], cr.Tensor]:
    def all_of(xs: list[cr.Tensor]) -> cr.Tensor:
        y = xs[0]
        for x in xs[1:]:
            y = f(y, x)
        return y

    return all_of


@pytest.mark.parametrize("n", COUNTS)
def test_row_21_add(engine: str, n: int) -> None:
    arrays = [rng.normal(size=(2, 3)) for _ in range(n)]
    weights = rng.normal(size=(2, 3))
    for g in gradients(engine, lambda xs: (folded(cr.add)(xs) * weights).sum(), arrays):
        np.testing.assert_array_equal(g, weights)


@pytest.mark.parametrize("n", COUNTS)
def test_row_21_multiply(engine: str, n: int) -> None:
    arrays = [rng.uniform(0.8, 1.2, 3) for _ in range(n)]
    found = gradients(engine, lambda xs: folded(cr.multiply)(xs).sum(), arrays)
    for g, a in zip(found, arrays, strict=True):
        np.testing.assert_allclose(g, np.prod(arrays, axis=0) / a, rtol=1e-12)


@pytest.mark.parametrize("n", COUNTS)
def test_row_21_concatenate(engine: str, n: int) -> None:
    arrays = [rng.normal(size=(2, 1 + i % 3)) for i in range(n)]
    weights = rng.normal(size=(2, sum(a.shape[1] for a in arrays)))
    found = gradients(engine, lambda xs: (cr.concatenate(xs, axis=1) * weights).sum(), arrays)
    np.testing.assert_array_equal(np.concatenate(found, axis=1), weights)


@pytest.mark.parametrize("n", COUNTS)
def test_row_21_maximum(engine: str, n: int) -> None:
    arrays = list(rng.permutation(5.0 * np.arange(n * 4)).reshape(n, 4))
    found = gradients(engine, lambda xs: folded(cr.maximum)(xs).sum(), arrays)
    np.testing.assert_array_equal(found, np.array(arrays) == np.max(arrays, axis=0))


@pytest.mark.parametrize("n", COUNTS)
def test_row_21_matmul(engine: str, n: int) -> None:
    """d(sum(A_1 ... A_n))/dA_k = (A_1 ... A_k-1)^T 1 (A_k+1 ... A_n)^T."""
    arrays = [np.linalg.qr(rng.normal(size=(3, 3)))[0] for _ in range(n)]
    found = gradients(engine, lambda xs: folded(cr.matmul)(xs).sum(), arrays)
    for k, g in enumerate(found):
        before, after = np.eye(3), np.eye(3)
        for a in arrays[:k]:
            before = before @ a
        for a in arrays[k + 1 :]:
            after = after @ a
        np.testing.assert_allclose(g, before.T @ np.ones((3, 3)) @ after.T, rtol=1e-10, atol=1e-12)


def test_row_21_one_value_as_both_inputs(engine: str) -> None:
    x = np.array([-1.5, 0.0, 2.0])
    (square,) = gradients(engine, lambda xs: (xs[0] * xs[0]).sum(), [x])
    np.testing.assert_array_equal(square, 2 * x)
    (double,) = gradients(engine, lambda xs: (xs[0] + xs[0]).sum(), [x])
    np.testing.assert_array_equal(double, [2, 2, 2])
    (product,) = gradients(engine, lambda xs: (xs[0] @ xs[0]).sum(), [np.array([[1.0, 2.0], [3.0, 4.0]])])
    a = np.array([[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_allclose(product, np.ones((2, 2)) @ a.T + a.T @ np.ones((2, 2)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_row_21_what_is_not_used_gets_exact_zeros(engine: str, dtype: str) -> None:
    x, unused, cut = cr.Input((2,), dtype), cr.Input((3, 1), dtype), cr.Input((2,), dtype)
    y = (x * cr.stop_gradient(cut)).sum()
    found = cr.gradient(y, [x, unused, cut])
    assert [g.dtype for g in found] == [np.dtype(dtype)] * 3
    arrays = compiled(engine, [x, unused, cut], found)(*(np.full(v.shape, 2, dtype) for v in (x, unused, cut)))
    np.testing.assert_array_equal(arrays[0], np.full(2, 2, dtype))
    np.testing.assert_array_equal(arrays[1], np.zeros((3, 1), dtype))
    np.testing.assert_array_equal(arrays[2], np.zeros(2, dtype))
    assert cr.grad(lambda a, b: a * 2.0)(1.0, 5.0)[1].item() == 0.0
