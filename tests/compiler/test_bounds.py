"""Nothing is read or written beyond an array: each lies against a page that may not be touched."""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler import CompiledLoop, tiles
from chainrule.compiler.program import Loop
from chainrule.compiler.runtime import Part

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for pages that may not be touched")


def guarded(shape: tuple[int, ...], dtype: str, at_end: bool) -> np.ndarray:
    """Zeros of this shape whose memory ends (or starts) at a page that may not be touched."""
    nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    page = mmap.PAGESIZE
    inside = -(-nbytes // page) * page
    memory = mmap.mmap(-1, inside + 2 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    for guard in (start, start + page + inside):
        assert libc.mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(page), 0) == 0
    first = page + (inside - nbytes if at_end else 0)
    return np.frombuffer(memory, dtype, int(np.prod(shape)), first).reshape(shape)


def check(f: Any, arrays: list[np.ndarray]) -> None:
    """f's results by machine code from guarded arrays into guarded arrays, at both ends."""
    inputs = [cr.Input(a.shape, a.dtype) for a in arrays]
    outputs = list(f(*inputs))
    loop = CompiledLoop(Part(inputs, outputs), Loop())
    for at_end in (False, True):
        given = [guarded(a.shape, str(a.dtype), at_end) for a in arrays]
        for place, array in zip(given, arrays, strict=True):
            place[...] = array
        results = [guarded(y.shape, str(y.dtype), at_end) for y in outputs]
        loop.run(given, results, steps=1)
        for found, wanted in zip(results, f(*map(cr.as_tensor, arrays)), strict=True):
            np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 3, 7, 16, 17, 33, 65])
def test_reads_and_writes_stay_inside(n: int, dtype: str) -> None:
    rng = np.random.default_rng(n)
    x, w = (rng.standard_normal((n, n)).astype(dtype) for _ in range(2))
    rows = rng.integers(-n, n, 5)

    def f(x: cr.Tensor, w: cr.Tensor, rows: cr.Tensor) -> Any:
        h = cr.tanh(x @ w)
        return (
            h, x.T @ w.T, x.sum(axis=0), x.sum(axis=1), x.max(axis=1), x[::-1, ::-1] * 2, x[::2, ::2] * 2,
            x[:, 1::2].sum(), x[rows], cr.functions.cumsum(x, axis=0), cr.functions.concatenate([x, w[:1]]), x > w,
            cr.functions.argmax(x, axis=1),
        )  # fmt: skip

    check(f, [x, w, rows])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("m, k, n", [(33, 70, 33), (40, 64, 48), (35, 97, 131)])
def test_products_in_tiles_stay_inside(m: int, k: int, n: int, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, value in (("LEAST", 0), ("_TERMS", 32), ("_ROWS_AT_ONCE", 16)):
        monkeypatch.setattr(tiles, limit, value)
    rng = np.random.default_rng(n)
    x, w, b, g = (rng.standard_normal(shape).astype(dtype) for shape in ((m, k), (k, n), (m, n), (m, k)))

    def f(x: cr.Tensor, w: cr.Tensor, b: cr.Tensor, g: cr.Tensor) -> Any:
        return cr.tanh(x @ w + b), x.T @ b, b @ w.T, w.T @ x.T, x.T @ g

    check(f, [x, w, b, g])
