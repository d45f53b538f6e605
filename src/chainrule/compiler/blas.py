"""Large matrix products: which they are, and the BLAS that computes them.

SciPy exports the addresses of its BLAS as capsules; machine code calls them directly. BLAS runs on one thread here: its
bits change with the number of threads, and two threads are slower than one where another process holds a core.
"""

from __future__ import annotations

import ctypes
import glob
import importlib.util
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from chainrule.compiler.kernels import Buffer, Product
from chainrule.compiler.meeting import Share
from chainrule.compiler.text import Text, Value
from chainrule.dtypes import DType

__all__ = ["Blocks", "address", "available", "blocks", "name", "one_thread", "pays", "write"]

# Multiplications from which a call pays, measured with both sides of one product in turns: our loops keep up with
# OpenBLAS to about 128 x 128 x 128, but not where the second operand lies transposed (its rows are then summed across).
LEAST = 2_000_000
LEAST_TRANSPOSED = 100_000
_PAGE = 4096  # bytes
_SMALL_KERNELS = frozenset(("SkylakeX", "Cooperlake", "SapphireRapids"))
LEAST_SIDE = 4  # a matrix by a vector streams the matrix once: the loops do that at the speed of memory


def pays(m: int, n: int, k: int, dtype: DType, transposed: bool) -> bool:
    """Whether an (m, k) by (k, n) product is left to BLAS; `transposed`: the second operand lies as (n, k)."""
    least = LEAST_TRANSPOSED if transposed else LEAST
    return dtype.kind == "f" and m * n * k >= least and min(m, n) >= LEAST_SIDE and k > 1 and available()


@cache
def available() -> bool:
    """Whether SciPy is installed."""
    return importlib.util.find_spec("scipy") is not None


@cache
def _core() -> str:
    """What OpenBLAS takes the processor for."""
    library = _library()
    if library is None or not hasattr(library, "scipy_openblas_get_corename"):
        return ""
    library.scipy_openblas_get_corename.restype = ctypes.c_char_p
    return str(library.scipy_openblas_get_corename().decode())


def name(dtype: DType) -> str:
    """The routine for a dtype."""
    return "sgemm" if dtype.itemsize == 4 else "dgemm"


@cache
def address(routine: str) -> int:
    """Where the routine lies in this process."""
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


@dataclass(frozen=True)
class Blocks:
    """What one call computes: so many rows and columns of the result, over so many terms of their sums."""

    rows: int
    columns: int
    inner: int


def blocks(kernel: Product) -> Blocks | None:
    """The blocks in which a product is computed fastest on one core; None: all at once.

    A block goes to OpenBLAS's kernels for small matrices, which read the operands where they lie: at 128 x 256 x 784
    that takes 0.83 of the time of packing and multiplying the whole. It is so while a row of the second operand lies on
    one page, and on the processors that have such kernels.
    """
    _, n, k = kernel.sizes
    row = (k if kernel.b[1] else n) * kernel.target.dtype.itemsize
    if row > _PAGE or _core() not in _SMALL_KERNELS:
        return None
    return Blocks(16, 64, 256) if kernel.b[1] else Blocks(32, 64, 256)


def write(text: Text, kernel: Product, pointers: Mapping[Buffer, Value], share: Share | None) -> None:
    """A product, or a piece of it, by a function that products of the same sizes have in common."""
    (m, n, k), axis = kernel.sizes, 1 if share is not None and share.columns else 0
    edges = ("0", str(m)) if share is None else (share.start, share.stop(text, kernel.sizes[axis]))
    kinds = "".join("nt"[flip] for _, flip in (kernel.a, kernel.b)) + "mn"[axis]
    called = f"product.{name(kernel.target.dtype)}.{m}.{n}.{k}.{kinds}"
    if called not in text.functions:
        text.functions[called] = _function(text.beside(), called, kernel, axis)
    given = [f"ptr {pointers[buffer]}" for buffer in (kernel.a[0], kernel.b[0], kernel.target)]
    text.do(f"call void @{called}({', '.join(given)}, i64 {edges[0]}, i64 {edges[1]})")


def _function(text: Text, called: str, kernel: Product, axis: int) -> str:
    """Rows (or columns) `start` to `stop` of a product, a call for every block.

    The terms of a sum are added in the order of the blocks.
    """
    m, n, k = kernel.sizes
    cut = blocks(kernel) or Blocks(m, n, k)
    spans = [("0", str(m), cut.rows), ("0", str(n), cut.columns), ("0", str(k), cut.inner)]
    spans[axis] = ("%start", "%stop", spans[axis][2])
    rows, columns, inner = spans
    call = _Call(text, kernel)
    _each(text, rows, lambda *i: _each(text, columns, lambda *j: _each(text, inner, lambda *q: call.write(i, j, q))))
    lines = "\n".join([*text.on_entry(), *text.lines])
    head = f"define internal void @{called}(ptr %a, ptr %b, ptr %c, i64 %start, i64 %stop) noinline"
    return f"{head} {{\nentry:\n{lines}\n  ret void\n}}"


def _each(text: Text, span: tuple[Value, Value, int], body: Callable[[Value, Value], object]) -> None:
    """body(start, size) for the blocks of a span (start, stop, size of a block)."""
    start, stop, most = span
    if not stop.startswith("%") and int(stop) <= most:
        body(start, stop)
        return

    def turn(i: Value, _: list[Value]) -> list[Value]:
        left = text.let(f"sub nsw i64 {stop}, {i}")
        fewer = text.let(f"icmp slt i64 {left}, {most}")
        body(i, text.let(f"select i1 {fewer}, i64 {left}, i64 {most}"))
        return []

    text.loop(start, stop, most, [], turn)


class _Call:
    """Calls of BLAS for blocks of one product, all matrices row-major.

    BLAS is column-major: to it the target is the transposed product of b and a.
    """

    def __init__(self, text: Text, kernel: Product):
        self.text, self.kernel = text, kernel
        self.type = "float" if kernel.target.dtype.itemsize == 4 else "double"
        self.routine = name(kernel.target.dtype)
        text.declared.add(f"declare void @{self.routine}({', '.join(['ptr'] * 13)})")

    def write(self, rows: _Part, columns: _Part, inner: _Part) -> None:
        """target[rows, columns] = a[rows, inner] @ b[inner, columns], for a later `inner` added to what is there."""
        (m, n, k), flip_a, flip_b = self.kernel.sizes, self.kernel.a[1], self.kernel.b[1]
        lead_a, lead_b = m if flip_a else k, k if flip_b else n
        at_a = self._at("%a", lead_a, *((inner[0], rows[0]) if flip_a else (rows[0], inner[0])))
        at_b = self._at("%b", lead_b, *((columns[0], inner[0]) if flip_b else (inner[0], columns[0])))
        arguments = [
            self._flag(flip_b), self._flag(flip_a), self._size(columns), self._size(rows), self._size(inner),
            self.text.slot(self.type, "0x3FF0000000000000"), at_b, self._number(lead_b), at_a, self._number(lead_a),
            self._factor(inner), self._at("%c", n, rows[0], columns[0]), self._number(n),
        ]  # fmt: skip
        self.text.do(f"call void @{self.routine}({', '.join(f'ptr {one}' for one in arguments)})")

    def _at(self, matrix: Value, lead: int, row: Value, column: Value) -> Value:
        """The address of an element."""
        text, offset = self.text, column
        if row != "0":
            first = text.let(f"mul nsw i64 {row}, {lead}")
            offset = first if column == "0" else text.let(f"add nsw i64 {first}, {column}")
        if offset == "0":
            return matrix
        return text.let(f"getelementptr inbounds {self.type}, ptr {matrix}, i64 {offset}")

    def _flag(self, transposed: bool) -> Value:
        return self.text.slot("i8", str(ord("T" if transposed else "N")))

    def _number(self, number: int) -> Value:
        return self.text.slot("i32", str(number))

    def _size(self, part: _Part) -> Value:
        size = part[1]
        if not size.startswith("%"):
            return self._number(int(size))
        room = self.text.room("i32")
        self.text.do(f"store i32 {self.text.let(f'trunc i64 {size} to i32')}, ptr {room}")
        return room

    def _factor(self, inner: _Part) -> Value:
        """Of what the target holds: 0 for the first terms of the sums."""
        zero, one = self.text.slot(self.type, "0x0"), self.text.slot(self.type, "0x3FF0000000000000")
        if inner[0] == "0":
            return zero
        first = self.text.let(f"icmp eq i64 {inner[0]}, 0")
        return self.text.let(f"select i1 {first}, ptr {zero}, ptr {one}")


_lock = threading.Lock()
_users = 0
_before = 0


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside, SciPy's OpenBLAS computes on the calling thread."""
    global _users, _before
    library = _library()
    if library is None:
        yield
        return
    with _lock:
        if _users == 0:
            _before = library.scipy_openblas_get_num_threads()
            library.scipy_openblas_set_num_threads(1)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                library.scipy_openblas_set_num_threads(_before)


@cache
def _library() -> Any:
    """SciPy's own copy of OpenBLAS, where it has one."""
    scipy = importlib.import_module("scipy")
    home = os.path.dirname(os.path.dirname(str(scipy.__file__)))
    beside = os.path.join(home, "scipy.libs", "*openblas*")
    for path in glob.glob(beside):
        library = ctypes.CDLL(path)
        if hasattr(library, "scipy_openblas_set_num_threads"):
            return library
    return None
