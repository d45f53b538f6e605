"""The floor of the larger nets: the matrix products of a step through BLAS, and one pass over the state.

The pass reads and writes every parameter and both of Adam's moments once. Two ways of calling BLAS compete: NumPy's,
`np.matmul(..., out=)`, and SciPy's from C, through `scipy.linalg.cython_blas`.
"""

from __future__ import annotations

import ctypes
import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.ccode import address, library
from benchmarks.workload import Workload

__all__ = ["cython_blas", "numpy_blas"]

Prepare = Callable[[], Callable[[], float]]
Array = np.ndarray[Any, Any]


class _Product(ctypes.Structure):
    _fields_ = (
        [(name, ctypes.c_void_p) for name in "abc"]
        + [(name, ctypes.c_int) for name in ("m", "n", "k", "a_transposed", "b_transposed")]
    )  # fmt: skip


def _arrays(work: Workload) -> list[tuple[Array, Array, Array]]:
    """Operands and result of every product: y = x w; dw = x^T dy; dx = dy w^T (not for the data)."""
    rng, batch = np.random.default_rng(3), work.drawn.shape[1]
    outputs = [rng.standard_normal((batch, n)).astype("float32") for n in work.sizes]
    gradients = [np.empty_like(y) for y in outputs]
    products = [(outputs[k], w, outputs[k + 1]) for k, w in enumerate(work.weights[::2])]
    for k in reversed(range(len(work.sizes) - 1)):
        w = work.weights[2 * k]
        products.append((outputs[k].T, gradients[k + 1], np.empty_like(w)))
        if k:
            products.append((gradients[k + 1], w.T, gradients[k]))
    for g in gradients:
        g[...] = 1e-3
    return products


def _state(work: Workload) -> Array:
    return np.ones(3 * sum(w.size for w in work.weights), "float32")


def _threads() -> int:
    return min(len(os.sched_getaffinity(0)), int(os.environ.get("OMP_NUM_THREADS", "1")))


def numpy_blas(work: Workload) -> Prepare:
    products, state, lib = _arrays(work), _state(work), library("products")
    size, threads = ctypes.c_int64(state.size), _threads()

    def run() -> float:
        for _ in range(work.steps):
            for a, b, c in products:
                np.matmul(a, b, out=c)
            lib["pass"](address(state), size, threads)
        return math.nan

    return lambda: run


def cython_blas(work: Workload) -> Prepare:
    from scipy.linalg import cython_blas as blas

    arrays, state, lib = _arrays(work), _state(work), library("products")
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    name = ctypes.pythonapi.PyCapsule_GetName
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    capsule = blas.__pyx_capi__["sgemm"]
    sgemm = ctypes.c_void_p(pointer(capsule, name(capsule)))
    table = (_Product * len(arrays))(*(
        _Product(
            a.ctypes.data, b.ctypes.data, c.ctypes.data, a.shape[0], b.shape[1], a.shape[1],
            not a.flags.c_contiguous, not b.flags.c_contiguous,
        )
        for a, b, c in arrays
    ))  # fmt: skip
    count, size, times = ctypes.c_int64(len(arrays)), ctypes.c_int64(state.size), ctypes.c_int64(work.steps)

    def run() -> float:
        assert arrays  # they live as long as this function
        lib.steps(sgemm, table, count, address(state), size, _threads(), times)
        return math.nan

    return lambda: run
