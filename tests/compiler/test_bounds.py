"""Nothing is read or written beyond an array: each lies against a page that may not be touched."""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler import CompiledLoop
from chainrule.compiler.carried import Loop
from chainrule.compiler.compilation import Part

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
@pytest.mark.parametrize("n", [2, 8, 15, 16, 40, 67])
def test_every_other_element_is_read_from_inside(n: int, dtype: str) -> None:
    """Of pairs, in whole vectors: the last one may have one element only."""
    rng = np.random.default_rng(n)
    pairs, odd = rng.standard_normal((n, 2)).astype(dtype), rng.standard_normal(2 * n + 1).astype(dtype)

    def f(pairs: cr.Tensor, odd: cr.Tensor) -> Any:
        x, y = pairs[:, 0], pairs[:, 1]
        return (
            x * 2, y * 2, (x * y).sum(), x - y, odd[::2] * 2, odd[1::2] * 2, odd[:-1:2] - odd[1::2],
            odd[2::2] * odd[1::2], odd[::-2] * 2,
        )  # fmt: skip

    check(f, [pairs, odd])
