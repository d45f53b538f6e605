"""NumPy's forms of shapes, axes, broadcasting and indexing, brought to the normalized primitives."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from types import EllipsisType
from typing import Any, TypeAlias

import numpy as np

from chainrule.dtypes import is_whole
from chainrule.errors import ShapeError, TraceError, explain
from chainrule.graph import Node, Shape, user_line
from chainrule.primitive import Primitive, constant
from chainrule.primitives import axes as ops
from chainrule.primitives.gather import gather

Axis: TypeAlias = int | Sequence[int] | None


def call_site(called: str, *operands: Node) -> str:
    """The operation, its operands' names and the user's line, as errors begin."""
    place = user_line()
    names = ", ".join(x.label for x in operands)
    return f"{called}({names})" + (f" at {place}" if place else "")


def shapes_of(*operands: Node) -> str:
    """The operands' names with their shapes, for an error message."""
    return ", ".join(f"{x.label} is {x.shape}" for x in operands)


def normalized(axis: int, ndim: int, called: str, *operands: Node) -> int:
    """`axis` as a number from 0 to ndim - 1."""
    if not is_whole(axis):
        raise ShapeError(explain(call_site(called, *operands), f"axis {axis!r}", "an axis is a whole number"))
    if not -ndim <= axis < ndim:
        raise ShapeError(
            explain(
                call_site(called, *operands),
                f"{shapes_of(*operands)}, axis {axis}" if operands else f"axis {axis}",
                f"there are {ndim} axes",
                f"Axes go from {-ndim} to {ndim - 1}." if ndim else "",
            )
        )
    return int(axis) % ndim


def axes_of(x: Node, axis: Axis, called: str) -> tuple[int, ...]:
    """`axis` in NumPy's forms (None: all; an int; several) as sorted axes of `x`."""
    ndim = len(x.shape)
    if axis is None:
        return tuple(range(ndim))
    given = tuple(axis) if isinstance(axis, Sequence) else (axis,)
    found = tuple(sorted(normalized(a, ndim, called, x) for a in given))
    if len(set(found)) != len(found):
        raise ShapeError(explain(call_site(called, x), f"axis {axis}", "an axis stands there twice"))
    return found


def reduce(primitive: Primitive, x: Node, axis: Axis, keepdims: bool) -> Any:
    """A reduction over `axis` in NumPy's forms."""
    axes = axes_of(x, axis, primitive.name)
    reduced = primitive(x, axes=axes) if axes else x
    return restored(reduced, x.shape, axes) if keepdims else reduced


def restored(x: Node, shape: Shape, axes: Sequence[int]) -> Any:
    """A reduced `x` with the axes it lost as axes of size 1 (`keepdims`)."""
    return reshape(x, tuple(1 if i in axes else n for i, n in enumerate(shape)))


def reshape(x: Node, shape: int | Sequence[int]) -> Any:
    """`x` in another shape of as many elements; one size may be -1."""
    sizes = [operator.index(n) for n in ((shape,) if isinstance(shape, int | np.integer) else shape)]
    count, known = math.prod(x.shape), math.prod([n for n in sizes if n != -1])
    if sizes.count(-1) == 1 and known and count % known == 0:
        sizes[sizes.index(-1)] = count // known
    if any(n < 0 for n in sizes) or math.prod(sizes) != count:
        raise ShapeError(
            explain(
                call_site("reshape", x),
                f"{shapes_of(x)}, {count} elements",
                f"they do not fill {tuple(sizes)}",
            )
        )
    return x if tuple(sizes) == x.shape else ops.reshape(x, shape=tuple(sizes))


def transpose(x: Node, axes: Sequence[int] | None = None) -> Any:
    """`x` with its axes in the order `axes` (None: reversed)."""
    ndim = len(x.shape)
    order = tuple(reversed(range(ndim))) if axes is None else tuple(normalized(a, ndim, "transpose", x) for a in axes)
    if sorted(order) != list(range(ndim)):
        raise ShapeError(
            explain(call_site("transpose", x), f"{shapes_of(x)}, axes {axes}", "each axis must stand there once")
        )
    return x if order == tuple(range(ndim)) else ops.transpose(x, axes=order)


def broadcast_to(x: Node, shape: Sequence[int], called: str = "broadcast_to") -> Any:
    """`x` repeated along new axes and axes of size 1 to `shape`."""
    shape = tuple(shape)
    if not x.shape and shape:
        return ops.expand(x, shape=shape, axes=tuple(range(len(shape))))
    new = len(shape) - len(x.shape)
    if new < 0 or any(n not in (1, m) for n, m in zip(x.shape, shape[new:], strict=True)):
        raise ShapeError(
            explain(
                call_site(called, x),
                shapes_of(x),
                f"it does not broadcast to {shape}",
                "Sizes must agree from the right, or be 1.",
            )
        )
    if x.shape == shape:
        return x
    grown = tuple(i for i, m in enumerate(shape) if i < new or (x.shape[i - new] == 1 != m))
    kept = tuple(m for i, m in enumerate(shape) if i not in grown)
    return ops.expand(reshape(x, kept), shape=shape, axes=grown)


def broadcast(called: str, *operands: Node) -> list[Any]:
    """All operands expanded to the one shape that NumPy's broadcasting gives, or a ShapeError that names them."""
    shapes = {x.shape for x in operands}
    if len(shapes) == 1:
        return list(operands)
    shapes.discard(())
    try:
        shape = shapes.pop() if len(shapes) == 1 else np.broadcast_shapes(*shapes)
    except ValueError:
        raise ShapeError(
            explain(
                call_site(called, *operands),
                shapes_of(*operands),
                "the sizes differ and neither is 1",
                "Sizes must agree from the right, or be 1: reshape one of them, or look for a missing transpose.",
            )
        ) from None
    return [broadcast_to(x, shape, called) for x in operands]


def index(x: Node, key: Any) -> Any:
    """`x[key]`: NumPy's basic indexing (ints, slices, None, ...) and one integer array in place of an int."""
    keys = _spelled_out(x, key if isinstance(key, tuple) else (key,))
    arrays = [k for k in keys if not _is_basic(k)]
    if len(arrays) > 1:
        raise ShapeError(
            explain(
                call_site("index", x),
                f"{len(arrays)} index arrays",
                "one index array at a time is taken",
                "Index in steps, or use take_along_axis.",
            )
        )
    return _index_basic(x, keys) if not arrays else _index_array(x, keys)


def _is_basic(key: Any) -> bool:
    return key is None or (isinstance(key, int | np.integer | slice) and not isinstance(key, bool))


def _spelled_out(x: Node, keys: tuple[Any, ...]) -> list[Any]:
    """One key for each axis of `x` (None for a new one): the ellipsis written out, the missing ones filled in."""
    used = sum(1 for k in keys if k is not None and not isinstance(k, EllipsisType))
    missing = len(x.shape) - used
    if missing < 0 or sum(isinstance(k, EllipsisType) for k in keys) > 1:
        raise ShapeError(explain(call_site("index", x), shapes_of(x), f"{used} indices for {len(x.shape)} axes"))
    if not any(isinstance(k, EllipsisType) for k in keys):
        keys = (*keys, Ellipsis)
    found: list[Any] = []
    for k in keys:
        found.extend([slice(None)] * missing if isinstance(k, EllipsisType) else [k])
    return found


def _index_basic(x: Node, keys: Sequence[Any]) -> Any:
    starts, stops, steps, flipped, shape = [], [], [], [], []
    sizes = iter(enumerate(x.shape))
    for k in keys:
        if k is None:
            shape.append(1)
            continue
        axis, n = next(sizes)
        whole = isinstance(k, slice)
        run = range(*k.indices(n)) if whole else range(_position(x, k, axis), _position(x, k, axis) + 1)
        if run.step < 0:
            flipped.append(axis)
            run = run[::-1]
        starts.append(run.start if len(run) else 0)
        stops.append(run[-1] + 1 if len(run) else 0)
        steps.append(run.step)
        shape.extend([len(run)] if whole else [])
    y: Any = x
    if any((a, b, c) != (0, n, 1) for a, b, c, n in zip(starts, stops, steps, x.shape, strict=True)):
        y = ops.slice_(y, starts=tuple(starts), stops=tuple(stops), steps=tuple(steps))
    return reshape(ops.flip(y, axes=tuple(flipped)) if flipped else y, tuple(shape))


def _position(x: Node, k: int, axis: int) -> int:
    n = x.shape[axis]
    if not -n <= k < n:
        raise IndexError(explain(call_site("index", x), f"{shapes_of(x)}, index {k}", f"axis {axis} has {n} elements"))
    return int(k) % n


def _index_array(x: Node, keys: Sequence[Any]) -> Any:
    at = next(i for i, k in enumerate(keys) if not _is_basic(k))
    indices = keys[at] if isinstance(keys[at], Node) else constant(x, _index_values(keys[at]))
    if indices.dtype.kind == "b":
        raise TraceError(
            explain(
                call_site("index", x),
                "a boolean mask",
                "the result's shape would depend on values",
                "Use where(mask, x, other), or index with np.flatnonzero(mask).",
            )
        )
    if indices.dtype.kind not in "iu":
        raise ShapeError(explain(call_site("index", x), f"an index of {indices.dtype}", "indices are integers"))
    scalars = [i for i, k in enumerate(keys) if isinstance(k, int | np.integer)]
    axis = at - sum(i < at for i in scalars)
    rest = _index_basic(x, [*keys[:at], slice(None), *keys[at + 1 :]])
    y = gather(rest, indices, axis=axis, batch=0)
    advanced = sorted([*scalars, at])
    if advanced[-1] - advanced[0] == len(scalars):
        return y
    # NumPy's rule: numbers count as index arrays, and where a slice stands between those, their axes come first
    moved = range(axis, axis + len(indices.shape))
    return transpose(y, [*moved, *(i for i in range(len(y.shape)) if i not in moved)])


def _index_values(key: Any) -> np.ndarray:
    """A copy of the user's index array (an empty list is one of integers)."""
    found = np.array(key)
    return found if found.size or isinstance(key, np.ndarray) else found.astype(np.int64)
