"""Large matrix products: which they are, and the BLAS that computes them.

Machine code calls OpenBLAS by address. NumPy's wheels bring one along, which every process has loaded; else SciPy's is
taken: the library beside it, or the addresses that `scipy.linalg.cython_blas` exports (to import that takes longer than
to compile a network, and 27 MB). BLAS runs on one thread here: its bits change with the number of threads, and two
threads are slower than one where another process holds a core.
"""

from __future__ import annotations

import ctypes
import glob
import importlib.util
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from chainrule.compiler.text import Text, Value
from chainrule.dtypes import DType

__all__ = ["address", "available", "call", "one_thread", "pays"]

# Multiplications from which a call pays, measured with both sides of one product in turns: our loops keep up with
# OpenBLAS to about 128 x 128 x 128, but not where the second operand lies transposed (its rows are then summed across).
LEAST = 2_000_000
LEAST_TRANSPOSED = 100_000
LEAST_SIDE = 4  # a matrix by a vector streams the matrix once: the loops do that at the speed of memory


def pays(m: int, n: int, k: int, dtype: DType, transposed: bool) -> bool:
    """Whether an (m, k) by (k, n) product is left to BLAS; `transposed`: the second operand lies as (n, k)."""
    least = LEAST_TRANSPOSED if transposed else LEAST
    return dtype.kind == "f" and m * n * k >= least and min(m, n) >= LEAST_SIDE and k > 1 and available()


@dataclass(frozen=True)
class _Library:
    """An OpenBLAS of this process. Its names end in `suffix`, and `integer` is the type of its sizes."""

    loaded: Any
    suffix: str
    integer: str

    def function(self, name: str) -> Any:
        return getattr(self.loaded, f"scipy_{name}{self.suffix}", None)


@cache
def available() -> bool:
    """Whether there is a BLAS: NumPy's own, or SciPy's."""
    return _library() is not None or importlib.util.find_spec("scipy") is not None


def name(dtype: DType) -> str:
    """The routine for a dtype."""
    return "sgemm" if dtype.itemsize == 4 else "dgemm"


@cache
def address(routine: str) -> int:
    """Where the routine lies in this process."""
    if (library := _library()) is not None:
        return ctypes.cast(library.function(f"{routine}_"), ctypes.c_void_p).value or 0
    capsule = _capsules()[routine]
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype, api.PyCapsule_GetName.argtypes = ctypes.c_char_p, [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    found: int = api.PyCapsule_GetPointer(capsule, api.PyCapsule_GetName(capsule))
    return found


def _capsules() -> Any:
    from scipy.linalg import cython_blas

    return cython_blas.__pyx_capi__


def call(
    text: Text, dtype: DType, sizes: tuple[int, int, int], leads: tuple[int, int], a: tuple[Value, bool],
    b: tuple[Value, bool], out: Value,
) -> None:  # fmt: skip
    """out (m, n) = a (m, k) @ b (k, n), all row-major; a flag says that the operand lies transposed in memory.

    `leads` are the row lengths of a and b in memory. BLAS is column-major: to it `out` is the transposed product of b
    and a.
    """
    m, n, k = sizes
    t = "float" if dtype.itemsize == 4 else "double"
    library = _library()
    integer = "i32" if library is None else library.integer
    one, zero = ("0x3FF0000000000000", "0x0")
    text.declared.add(f"declare void @{name(dtype)}({', '.join(['ptr'] * 13)})")

    def slot(kind: str, value: str) -> str:
        return f"ptr {text.slot(kind, value)}"

    def flag(transposed: bool) -> str:
        return slot("i8", str(ord("T" if transposed else "N")))

    lead_a, lead_b = leads
    arguments = [
        flag(b[1]), flag(a[1]), slot(integer, str(n)), slot(integer, str(m)), slot(integer, str(k)), slot(t, one),
        f"ptr {b[0]}", slot(integer, str(lead_b)), f"ptr {a[0]}", slot(integer, str(lead_a)), slot(t, zero),
        f"ptr {out}", slot(integer, str(n)),
    ]  # fmt: skip
    text.do(f"call void @{name(dtype)}({', '.join(arguments)})")


_lock = threading.Lock()
_users = 0
_before = 0


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside, OpenBLAS computes on the calling thread."""
    global _users, _before
    library = _library()
    if library is None:
        yield
        return
    with _lock:
        if _users == 0:
            _before = library.function("openblas_get_num_threads")()
            library.function("openblas_set_num_threads")(1)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                library.function("openblas_set_num_threads")(_before)


@cache
def _library() -> _Library | None:
    """The OpenBLAS that NumPy brings along, else SciPy's; None where neither has one of its own."""
    for package, suffix, integer in (("numpy", "64_", "i64"), ("scipy", "", "i32")):
        found = importlib.util.find_spec(package)  # found, not imported
        if found is None or found.origin is None:
            continue
        home = os.path.dirname(os.path.dirname(found.origin))
        for path in glob.glob(os.path.join(home, f"{package}.libs", "*openblas*")):
            library = _Library(ctypes.CDLL(path), suffix, integer)
            if all(map(library.function, ("sgemm_", "dgemm_", "openblas_get_num_threads"))):
                return library
    return None
