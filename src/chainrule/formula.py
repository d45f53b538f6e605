"""The scalar vocabulary in which an operation says one element of its result, for the compiler to make loops of.

A formula is an expression over reads of the operands: `x[i]` reads operand x at an index, whose parts are affine in the
loop variables (or an integer that was read, for gathers). Element-wise operations need no formula of their own: what
they say to NumPy (`np.exp`, `np.where`, `a * b`) is traced through NumPy's own dispatch and gives the same expression.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from chainrule.dtypes import DType

__all__ = [
    "WRITTEN_OUT", "Affine", "Expr", "Operand", "Reshaped", "Store", "Stores", "Var", "affine", "const", "elementwise",
    "read", "reduce_over", "where",
]  # fmt: skip

WRITTEN_OUT = 8  # sums of up to so many terms are written out
_COMBINE: dict[str, Callable[[Any, Any], Any]] = {"sum": np.add, "max": np.maximum}
_TRUTH = frozenset((
    "equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "logical_and", "logical_or", "logical_not",
    "isfinite",
))  # fmt: skip


@dataclass(frozen=True, eq=False)
class Var:
    """A loop variable that runs from 0 to `size` - 1, or an integer that `value` gives (`size` is then its bound).

    A `trusted` value is known to lie between 0 and `size` - 1; any other may count from the end, and is checked.
    """

    size: int
    value: Expr | None = None
    trusted: bool = False


@dataclass(frozen=True)
class Affine:
    """A position: `offset` plus the sum of factor * variable."""

    terms: tuple[tuple[Var, int], ...] = ()
    offset: int = 0

    def __add__(self, other: Position) -> Affine:
        added = affine(other)
        factors = dict(self.terms)
        for var, factor in added.terms:
            factors[var] = factors.get(var, 0) + factor
        return Affine(tuple((v, f) for v, f in factors.items() if f), self.offset + added.offset)

    def __mul__(self, factor: int) -> Affine:
        return Affine(tuple((v, f * factor) for v, f in self.terms if factor), self.offset * factor)

    def stride(self, var: Var) -> int:
        """The factor of `var`."""
        return next((f for v, f in self.terms if v is var), 0)


Position: TypeAlias = "Affine | Var | int"


def affine(position: Position) -> Affine:
    """A variable or a number as a position."""
    if isinstance(position, Affine):
        return position
    return Affine(((position, 1),)) if isinstance(position, Var) else Affine((), position)


@dataclass(frozen=True, eq=False)
class Expr(np.lib.mixins.NDArrayOperatorsMixin):
    """A scalar: an operation `op` (NumPy's name) on `args`, or a constant, a read, a reduction.

    `data` holds the number of a constant, the (source, offset) of a read, the (kind, variables) of a reduction.
    """

    op: str
    args: tuple[Expr, ...]
    dtype: DType
    data: Any = field(default=None)

    @functools.cached_property
    def needs(self) -> frozenset[Var]:
        """The loop variables that it depends on, without those it sums over itself."""
        found: set[Var] = set()
        for arg in self.args:
            found |= arg.needs
        for var, _ in self.place.terms:
            found |= {var} if var.value is None else var.value.needs
        return frozenset(found - set(self.data[1]) if self.op == "reduce" else found)

    @property
    def place(self) -> Affine:
        """Where a read reads, and the position that a "position" is."""
        if self.op == "read":
            found: Affine = self.data[1]
            return found
        return self.data if self.op == "position" else Affine()

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Expr:
        if method != "__call__" or kwargs:
            return NotImplemented
        dtype = next(x.dtype for x in inputs if isinstance(x, Expr))
        args = tuple(const(x, dtype) for x in inputs)
        name = ufunc.__name__
        return Expr(name, args, np.dtype("bool") if name in _TRUTH else dtype)

    def __array_function__(self, func: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Expr:
        if func is np.where:
            return where(*args)
        if func is np.clip:
            x, low, high = args
            return np.minimum(np.maximum(x, low), high)
        return NotImplemented

    def astype(self, dtype: DType, copy: bool = True) -> Expr:
        """This number in another dtype."""
        return self if self.dtype == dtype else Expr("cast", (self,), np.dtype(dtype))


def const(value: Any, dtype: DType) -> Expr:
    """A number as an expression of `dtype`; an expression as it is."""
    return value if isinstance(value, Expr) else Expr("const", (), dtype, dtype.type(value).item())


def where(condition: Expr, a: Any, b: Any) -> Expr:
    """a where the condition holds, else b."""
    dtype = next(x.dtype for x in (a, b) if isinstance(x, Expr))
    return Expr("where", (condition, const(a, dtype), const(b, dtype)), dtype)


def reduce_over(kind: str, sizes: Sequence[int], body: Callable[[tuple[Position, ...]], Expr]) -> Expr:
    """The "sum", "max" or "argmax" of `body` over new variables of these sizes; a short one is written out."""
    if kind in _COMBINE and 0 < math.prod(sizes) <= WRITTEN_OUT:
        terms = [body(index) for index in itertools.product(*(range(n) for n in sizes))]
        return functools.reduce(_COMBINE[kind], terms)
    over = tuple(Var(n) for n in sizes)
    inner = body(over)
    return Expr("reduce", (inner,), np.dtype("int64") if kind == "argmax" else inner.dtype, (kind, over))


@dataclass(frozen=True)
class Operand:
    """An input as a formula sees it: its shape and dtype, and its element at an index."""

    shape: tuple[int, ...]
    dtype: DType
    at: Callable[[tuple[Affine, ...]], Expr]

    def __getitem__(self, index: Sequence[Position]) -> Expr:
        return self.at(tuple(affine(i) for i in index))


def read(source: Any, offset: Affine, dtype: DType) -> Expr:
    """The element of `source` that lies `offset` elements from its start."""
    return Expr("read", (), dtype, (source, offset))


@dataclass(frozen=True)
class Store:
    """One loop nest that writes: for every i over `sizes`, the result at `place(i)` becomes (or grows by) `value(i)`.

    Writes happen in order along `ordered`, so that a value may read what was written there before.
    """

    sizes: tuple[int, ...]
    place: Callable[[tuple[Affine, ...]], Sequence[Position]]
    value: Callable[[tuple[Affine, ...]], Expr]
    adds: bool = False
    ordered: int | None = None


@dataclass(frozen=True)
class Stores:
    """How a result is written: `plan(operands, result, **attrs)` gives the loop nests; `zeroed`: it starts as zeros."""

    plan: Callable[..., Sequence[Store]]
    zeroed: bool = False


@dataclass(frozen=True)
class Reshaped:
    """The same elements in the same order under another shape: nothing is moved."""


def elementwise(evaluate: Callable[..., Any]) -> Callable[..., Expr]:
    """The formula of an element-wise operation: what it says to NumPy, said of one element."""

    def formula(operands: Sequence[Operand], index: tuple[Affine, ...], **attrs: Any) -> Expr:
        found: Expr = evaluate(*(x[index] for x in operands), **attrs)
        return found

    return formula
