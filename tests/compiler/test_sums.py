"""Sums along rows: their vectors run along the row, and as many rows as a vector has lanes are folded together."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler import CompiledProgram

SIZES = [4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 257]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("m", SIZES)
@pytest.mark.parametrize("n", SIZES)
def test_a_product_with_a_transposed_matrix(n: int, m: int, dtype: str) -> None:
    rng = np.random.default_rng(n * 1000 + m)
    w, g, s = (rng.standard_normal(shape).astype(dtype) for shape in ((n, m), (m,), (n,)))
    inputs = [cr.Input(a.shape, dtype) for a in (w, g, s)]
    y = (inputs[1] @ inputs[0].T) * inputs[2]
    (found,) = CompiledProgram(inputs, [y])(w, g, s)
    exact = (w.astype(np.float64) @ g.astype(np.float64)) * s
    scale = (np.abs(w).astype(np.float64) @ np.abs(g)) * np.abs(s)
    assert (np.abs(found - exact) <= 4 * np.finfo(dtype).eps * scale).all()


@pytest.mark.parametrize("m", SIZES)
def test_other_reductions_and_what_is_not_a_product(m: int) -> None:
    x = np.random.default_rng(m).standard_normal((40, m)) - 3  # all below 0: a lane that is not read must not count
    leaf = cr.Input(x.shape)
    outputs = [leaf.max(axis=1), cr.exp(leaf).sum(axis=1), (leaf * leaf + 1).sum(axis=1), cr.logsumexp(leaf, axis=1)]
    wanted = [x.max(1), np.exp(x).sum(1), (x * x + 1).sum(1), np.log(np.exp(x).sum(1))]
    for found, expected in zip(CompiledProgram([leaf], outputs)(x), wanted, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_several_axes_and_whole_numbers() -> None:
    rng = np.random.default_rng(0)
    x, k = rng.standard_normal((30, 3, 11)), rng.integers(-5, 5, (30, 11))
    one, two = cr.Input(x.shape), cr.Input(k.shape, "int64")
    outputs = [one.sum(axis=(1, 2)), two.sum(axis=1), two.max(axis=1)]
    for found, wanted in zip(
        CompiledProgram([one, two], outputs)(x, k), [x.sum((1, 2)), k.sum(1), k.max(1)], strict=True
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-13)


def test_a_nan_stays_in_its_row() -> None:
    w = np.ones((20, 13))
    w[5, 12] = np.nan
    leaf, g = cr.Input(w.shape), cr.Input((13,))
    (found,) = CompiledProgram([leaf, g], [g @ leaf.T])(w, np.ones(13))
    assert np.isnan(found[5])
    np.testing.assert_array_equal(np.delete(found, 5), 13.0)


@pytest.mark.parametrize("rows", [1, 3, 5, 8, 9, 17, 33])
def test_sums_along_rows_of_what_their_own_kernel_computes_for_the_row(rows: int) -> None:
    rng = np.random.default_rng(rows)
    x, d = rng.standard_normal((rows, 33)), rng.standard_normal(rows)
    one, two = cr.Input(x.shape), cr.Input(d.shape)
    scale, s = cr.exp(two).reshape((rows, 1)), np.exp(d)[:, None]
    outputs = [(one * scale).sum(axis=1), (one * one + scale).sum(axis=1)]
    for found, wanted in zip(
        CompiledProgram([one, two], outputs)(x, d), [(x * s).sum(1), (x * x + s).sum(1)], strict=True
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("columns", [1, 3, 8, 10, 24, 40, 70])
@pytest.mark.parametrize("rows", [8, 9, 15, 16, 18, 35, 100])
def test_sums_down_few_columns_whose_totals_are_carried_by_turns(rows: int, columns: int) -> None:
    rng = np.random.default_rng(rows * 100 + columns)
    x, v = rng.standard_normal((rows, columns)) - 3, rng.standard_normal(rows)
    k = rng.integers(-9, 9, (rows, columns))
    x[rows // 2, 0] = np.nan
    one, two, three = cr.Input(x.shape), cr.Input(v.shape), cr.Input(k.shape, "int64")
    outputs = [one.sum(axis=0), one.max(axis=0), two @ one, three.sum(axis=0), three.max(axis=0)]
    wanted = [x.sum(0), x.max(0), v @ x, k.sum(0), k.max(0)]
    for found, expected in zip(CompiledProgram([one, two, three], outputs)(x, v, k), wanted, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_additions_to_few_totals_do_not_wait_for_one_another() -> None:
    x, w = cr.Input((100,)), cr.Input((100, 24))
    assert CompiledProgram([x, w], [x @ w]).code.llvm().count("phi <") == 4  # of 16 and of 8 lanes, two each
