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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from chainrule.compiler.kernels import Buffer, Product
from chainrule.compiler.meeting import Share
from chainrule.compiler.text import Text, Value
from chainrule.dtypes import DType

__all__ = ["address", "available", "name", "one_thread", "pays", "write"]

# Bytes of the second operand from which a call pays, measured with both sides of one product in turns. Our loops go
# through all of it for every few rows: as long as it stays in the cache they take 0.7 to 1.0 of OpenBLAS's time.
LEAST = 2**21
LEAST_SIDE = 16  # a few rows by a matrix stream the matrix: the loops do that at the speed of memory


def pays(m: int, n: int, k: int, dtype: DType) -> bool:
    """Whether an (m, k) by (k, n) product is left to BLAS."""
    return dtype.kind == "f" and k * n * dtype.itemsize > LEAST and min(m, n) >= LEAST_SIDE and available()


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


_Part = tuple[Value, Value]  # where it starts, and its size


def write(text: Text, kernel: Product, pointers: Mapping[Buffer, Value], share: Share | None) -> None:
    """A product, or a piece of it: rows or columns of the target, all matrices row-major."""
    m, n, _ = kernel.sizes
    rows, columns = ("0", str(m)), ("0", str(n))
    if share is not None:
        extent = n if share.columns else m
        part = share.start, text.let(f"sub nsw i64 {share.stop(text, extent)}, {share.start}")
        rows, columns = (rows, part) if share.columns else (part, columns)
    _Call(text, kernel, pointers).write(rows, columns)


class _Call:
    """The call of BLAS for a part of a product.

    BLAS is column-major: to it the target is the transposed product of b and a.
    """

    def __init__(self, text: Text, kernel: Product, pointers: Mapping[Buffer, Value]):
        self.text, self.kernel, self.pointers = text, kernel, pointers
        self.type = "float" if kernel.target.dtype.itemsize == 4 else "double"
        library = _library()
        self.integer = "i32" if library is None else library.integer

    def write(self, rows: _Part, columns: _Part) -> None:
        """target[rows, columns] = a[rows] @ b[:, columns]."""
        (m, n, k), (a, flip_a), (b, flip_b) = self.kernel.sizes, self.kernel.a, self.kernel.b
        lead_a, lead_b = m if flip_a else k, k if flip_b else n
        at_a = self._at(a, lead_a, *(("0", rows[0]) if flip_a else (rows[0], "0")))
        at_b = self._at(b, lead_b, *((columns[0], "0") if flip_b else ("0", columns[0])))
        at_target = self._at(self.kernel.target, n, rows[0], columns[0])
        one, zero = (self.text.slot(self.type, number) for number in ("0x3FF0000000000000", "0x0"))
        arguments = [
            self._flag(flip_b), self._flag(flip_a), self._size(columns), self._size(rows), self._number(k), one, at_b,
            self._number(lead_b), at_a, self._number(lead_a), zero, at_target, self._number(n),
        ]  # fmt: skip
        routine = name(self.kernel.target.dtype)
        self.text.declared.add(f"declare void @{routine}({', '.join(['ptr'] * 13)})")
        self.text.do(f"call void @{routine}({', '.join(f'ptr {argument}' for argument in arguments)})")

    def _at(self, matrix: Buffer, lead: int, row: Value, column: Value) -> Value:
        """The address of an element."""
        text, offset = self.text, column
        if row != "0":
            first = text.let(f"mul nsw i64 {row}, {lead}")
            offset = first if column == "0" else text.let(f"add nsw i64 {first}, {column}")
        if offset == "0":
            return self.pointers[matrix]
        return text.let(f"getelementptr inbounds {self.type}, ptr {self.pointers[matrix]}, i64 {offset}")

    def _flag(self, transposed: bool) -> Value:
        return self.text.slot("i8", str(ord("T" if transposed else "N")))

    def _number(self, number: int) -> Value:
        return self.text.slot(self.integer, str(number))

    def _size(self, part: _Part) -> Value:
        size = part[1]
        if not size.startswith("%"):
            return self._number(int(size))
        room, short = self.text.room(self.integer), size
        if self.integer != "i64":
            short = self.text.let(f"trunc i64 {size} to {self.integer}")
        self.text.do(f"store {self.integer} {short}, ptr {room}")
        return room


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
