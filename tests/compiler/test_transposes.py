"""Copies and formulas that read across rows: square blocks are read and transposed in registers."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler import CompiledProgram, tiles
from chainrule.compiler.schedule import schedule

SHAPES = [(8, 8), (16, 16), (17, 33), (31, 9), (40, 16), (5, 64), (64, 100)]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "bool"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_transposed_read(shape: tuple[int, int], dtype: str) -> None:
    rng = np.random.default_rng(0)
    x, y = (rng.integers(-9, 9, s).astype(dtype) for s in (shape, shape[::-1]))
    a, b = cr.Input(shape, dtype), cr.Input(shape[::-1], dtype)
    outputs = [a.T.named("t"), cr.where(b, a.T, b)] if dtype == "bool" else [(a.T + b) * 2, a.T * a.T - b]
    wanted = [x.T, np.where(y, x.T, y)] if dtype == "bool" else [(x.T + y) * np.int8(2), x.T * x.T - y]
    for found, expected in zip(CompiledProgram([a, b], outputs)(x, y), wanted, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_one_axis_of_three() -> None:
    x = np.random.default_rng(0).standard_normal((20, 24, 18))
    leaf = cr.Input(x.shape)
    for axes in ((2, 1, 0), (0, 2, 1), (1, 0, 2), (2, 0, 1)):
        (found,) = CompiledProgram([leaf], [cr.exp(leaf.transpose(axes))])(x)
        np.testing.assert_allclose(found, np.exp(x.transpose(axes)), rtol=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", [(16, 8, 8), (33, 20, 11), (64, 64, 64), (50, 7, 30), (128, 100, 30), (3, 40, 50)])
def test_products_whose_second_operand_lies_transposed(sizes: tuple[int, int, int], dtype: str) -> None:
    m, n, k = sizes
    rng = np.random.default_rng(m)
    g, w, v = (rng.standard_normal(shape).astype(dtype) for shape in ((m, k), (n, k), (k, m)))
    inputs = [cr.Input(a.shape, dtype) for a in (g, w, v)]
    one, two, three = inputs
    outputs = [one @ two.T, cr.tanh(one @ (two * 2).T) + 1, (two @ one.T).T, three.T @ two.T, one @ two.T @ two]
    wanted = [g @ w.T, np.tanh(g @ (2 * w).T) + 1, g @ w.T, v.T @ w.T, g @ w.T @ w]
    tolerance = 1e-4 if dtype == "float32" else 1e-11
    for found, expected in zip(CompiledProgram(inputs, outputs)(g, w, v), wanted, strict=True):
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def test_a_matrix_is_transposed_once_for_all_who_read_it_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "LEAST", 2**40)
    g, h, w = cr.Input((32, 20)), cr.Input((40, 20)), cr.Input((30, 20), name="w")
    found = schedule([g, h, w], [g @ w.T, h @ w.T])
    assert [buffer.name for buffer in found.buffers].count("w.T") == 1
    few = cr.Input((4, 20))
    assert "w.T" not in [buffer.name for buffer in schedule([few, w], [few @ w.T]).buffers]


@pytest.mark.parametrize("dtype", ["int8", "bool", "float32"])
def test_blocks_stay_within_a_thread_s_piece(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vector holds 64 small values, a piece of a shared axis 16 rows."""
    monkeypatch.setattr("chainrule.compiler.sharing.LEAST_WORK", 1)
    monkeypatch.setenv("CHAINRULE_THREADS", "3")
    x = np.random.default_rng(0).integers(-9, 9, (201, 151)).astype(dtype)
    turned = cr.compile(lambda x: cr.where(x.T == 1, x.T, x.T == 2) if dtype == "bool" else x.T * x.T - x.T)
    wanted = np.where(x.T == 1, x.T, x.T == 2) if dtype == "bool" else x.T * x.T - x.T
    np.testing.assert_array_equal(turned(x), wanted)
    assert "@next_piece" in turned.llvm()


def test_squares_of_bytes_are_not_made() -> None:
    """64 by 64 in registers took half a second to compile."""
    x = cr.Input((256, 256), "int8")
    assert len(CompiledProgram([x], [x.T + x.T]).code.llvm()) < 100_000


def test_rows_that_fill_no_block_are_a_loop() -> None:
    """Written out, 15 of them took longer to compile than all else."""
    lengths = []
    for rows in (48, 63):
        x, y = cr.Input((40, rows), "float32"), cr.Input((rows, 40), "float32")
        lengths.append(len(CompiledProgram([x, y], [cr.tanh(x.T + y)]).code.llvm()))
    assert lengths[1] < 1.5 * lengths[0]
