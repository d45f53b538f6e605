"""Axes that fill no whole vectors: the last vector begins before the end of the one before, where that does no harm."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler import CompiledProgram
from chainrule.compiler.carried import Loop
from chainrule.compiler.compilation import Part
from chainrule.compiler.runtime import CompiledLoop

WIDTHS = [7, 9, 11, 15, 23, 27, 30, 31, 47, 63, 100, 103]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
@pytest.mark.parametrize("width", WIDTHS)
def test_rows_of_every_width(width: int, dtype: str) -> None:
    rng = np.random.default_rng(width)
    arrays = [rng.integers(-9, 9, shape).astype(dtype) for shape in ((5, 12), (12, width), (width,))]
    x, w, b = (cr.Input(a.shape, dtype) for a in arrays)
    found = CompiledProgram([x, w, b], [x @ w + b, cr.maximum(b, 0) * 2, w.sum(axis=0)])(*arrays)
    a, v, c = arrays
    for ours, numpys in zip(found, [a @ v + c, np.maximum(c, 0) * 2, v.sum(0)], strict=True):
        np.testing.assert_array_equal(ours, numpys)


def test_the_last_vector_of_30_is_whole() -> None:
    x = cr.Input((30,))
    ir = CompiledProgram([x], [cr.exp(x)]).code.llvm()
    assert "store <8 x double>" in ir and "store <2 x double>" not in ir


@pytest.mark.parametrize("layers", [0, 300])
@pytest.mark.parametrize("width", WIDTHS)
def test_what_is_written_over_itself_is_computed_once(width: int, layers: int) -> None:
    """Also in a long program, where kernels are functions."""
    p, x, m = cr.Input((3, width), name="p"), cr.Input((width,), name="x"), cr.Input((5, 5), name="m")
    y = m
    for _ in range(layers):
        y = cr.tanh(y @ m)
    loop = CompiledLoop(Part([p, x, m], [p * 2.0 + x, y.sum()]), Loop(((0, 0),)))
    value = np.ones((3, width))
    loop.run([value, np.ones(width), np.ones((5, 5))], [np.empty((3, width)), np.empty(())], steps=3)
    np.testing.assert_array_equal(value, 15.0)
    assert ("@kernel_" in loop.code.llvm()) == (layers > 0)
