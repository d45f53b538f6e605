"""Operations on axes: reductions, expansion, and moving elements about. Attributes are normalized: axes are sorted
tuples of non-negative numbers, shapes are tuples of ints. Each pair below is one another's transpose.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors import ShapeError, explain
from chainrule.formula import Affine, Expr, Operand, Position, Reshaped, Store, Stores, reduce_over
from chainrule.graph import Shape
from chainrule.primitive import Flat, Linear, Primitive, Selecting, linear, same_dtype
from chainrule.primitives.elementwise import cast, equal

Axes = tuple[int, ...]


def _dropped(shape: Shape, *, axes: Axes) -> Shape:
    return tuple([n for i, n in enumerate(shape) if i not in axes])


def _behind(axes: Axes) -> Axes:
    """The same axes after one more has been put in front."""
    return tuple(axis + 1 for axis in axes)


def _merged(outer: Sequence[Position], inner: Sequence[Position], axes: Axes) -> tuple[Position, ...]:
    """An index with `inner` at `axes` and `outer` at the others, in order."""
    rest, over = iter(outer), iter(inner)
    return tuple(next(over) if i in axes else next(rest) for i in range(len(outer) + len(inner)))


def _reduced(kind: str) -> Any:
    """The formula of a reduction over `axes`."""

    def formula(operands: Sequence[Operand], index: tuple[Affine, ...], *, axes: Axes) -> Expr:
        (x,) = operands
        return reduce_over(kind, [x.shape[a] for a in axes], lambda over: x[_merged(index, over, axes)])

    return formula


# sum <-> expand
def _expanded(shape_in: Shape, *, shape: Shape, axes: Axes) -> Shape:
    if _dropped(shape, axes=axes) != shape_in:
        raise ShapeError(explain("expand", f"{shape_in} along new axes {axes}", f"it does not give {shape}"))
    return shape


def _evaluate_expand(x: np.ndarray, *, shape: Shape, axes: Axes) -> Any:
    if not x.ndim:  # as the line below does, in a tenth of the time: of such constants there are many
        return np.ndarray(shape, x.dtype, np.asarray(x), 0, (0,) * len(shape))
    return np.broadcast_to(np.expand_dims(x, axes), shape)


expand = linear(
    "expand",
    shape=_expanded,
    evaluate=_evaluate_expand,
    transpose=lambda g, x, *, shape, axes: total(g, axes=axes),
    batch=lambda n, *, shape, axes: {"shape": (n, *shape), "axes": _behind(axes)},
    lower=lambda xs, i, *, shape, axes: xs[0][[k for a, k in enumerate(i) if a not in axes]],
)
total = linear(
    "sum",
    shape=_dropped,
    evaluate=lambda x, *, axes: np.add.reduce(x, axis=axes, dtype=x.dtype),
    transpose=lambda g, x, *, axes: expand(g, shape=x.shape, axes=axes),
    batch=lambda n, *, axes: {"axes": _behind(axes)},
    lower=_reduced("sum"),
)


def _largest_weights(y: Any, x: Any, axes: Axes) -> Any:
    """Ties share the gradient equally."""
    hit = cast(equal(x, expand(y, shape=x.shape, axes=axes)), dtype=x.dtype)
    return hit / expand(total(hit, axes=axes), shape=x.shape, axes=axes)


reduce_max = Primitive(
    "max",
    shape=_dropped,
    evaluate=lambda x, *, axes: np.max(x, axis=axes),
    derivative=Selecting(_largest_weights, lambda g, **k: expand(g, **k), lambda g, **k: total(g, **k)),
    batch=lambda n, *, axes: {"axes": _behind(axes)},
    dtype=lambda x, **_: x,
    lower=_reduced("max"),
)
argmax = Primitive(
    "argmax",
    shape=lambda shape, *, axis: _dropped(shape, axes=(axis,)),
    evaluate=lambda x, *, axis: np.argmax(x, axis=axis),
    derivative=Flat("an index does not change with the values, but for jumps"),
    batch=lambda n, *, axis: {"axis": axis + 1},
    dtype=lambda x, **_: np.dtype("int64"),
    lower=lambda xs, i, *, axis: reduce_over(
        "argmax", [xs[0].shape[axis]], lambda over: xs[0][_merged(i, over, (axis,))]
    ),
)


def _running(operands: Sequence[Operand], result: Operand, *, axis: int) -> list[Store]:
    (x,) = operands
    first = tuple(min(n, 1) if a == axis else n for a, n in enumerate(x.shape))
    rest = tuple(max(n - 1, 0) if a == axis else n for a, n in enumerate(x.shape))

    def ahead(i: tuple[Affine, ...]) -> tuple[Affine, ...]:
        return tuple(k + 1 if a == axis else k for a, k in enumerate(i))

    return [
        Store(first, lambda i: i, lambda i: x[i]),
        Store(rest, ahead, lambda i: result[i] + x[ahead(i)], ordered=axis),
    ]


cumsum = linear(
    "cumsum",
    shape=lambda shape, *, axis: shape,
    evaluate=lambda x, *, axis: np.cumsum(x, axis=axis, dtype=x.dtype),
    transpose=lambda g, x, *, axis: flip(cumsum(flip(g, axes=(axis,)), axis=axis), axes=(axis,)),
    batch=lambda n, *, axis: {"axis": axis + 1},
    lower=Stores(_running),
)

# Their own inverses
reshape = linear(
    "reshape",
    shape=lambda shape_in, *, shape: shape,
    evaluate=lambda x, *, shape: np.reshape(x, shape),
    transpose=lambda g, x, *, shape: reshape(g, shape=x.shape),
    batch=lambda n, *, shape: {"shape": (n, *shape)},
    lower=Reshaped(),
)
transpose = linear(
    "transpose",
    shape=lambda shape, *, axes: tuple(shape[i] for i in axes),
    evaluate=lambda x, *, axes: np.transpose(x, axes),
    transpose=lambda g, x, *, axes: transpose(g, axes=tuple(sorted(range(len(axes)), key=axes.__getitem__))),
    batch=lambda n, *, axes: {"axes": (0, *_behind(axes))},
    lower=lambda xs, i, *, axes: xs[0][[i[axes.index(a)] for a in range(len(axes))]],
)
flip = linear(
    "flip",
    shape=lambda shape, *, axes: shape,
    evaluate=lambda x, *, axes: np.flip(x, axes),
    transpose=lambda g, x, *, axes: flip(g, axes=axes),
    batch=lambda n, *, axes: {"axes": _behind(axes)},
    lower=lambda xs, i, *, axes: xs[0][[k * -1 + (xs[0].shape[a] - 1) if a in axes else k for a, k in enumerate(i)]],
)


# slice <-> pad: `starts`, `stops`, `steps` (> 0) for every axis; `low`, `high` zeros outside, `inner` between elements
def _sliced(shape: Shape, *, starts: Axes, stops: Axes, steps: Axes) -> Shape:
    return tuple(len(range(*bounds)) for bounds in zip(starts, stops, steps, strict=True))


def _evaluate_slice(x: np.ndarray, *, starts: Axes, stops: Axes, steps: Axes) -> Any:
    where: list[Any] = [slice(*bounds) for bounds in zip(starts, stops, steps, strict=True)]
    return x[(..., *where)]  # the ellipsis makes it a view of an array without axes too


def _slice_transpose(g: Any, x: Any, *, starts: Axes, stops: Axes, steps: Axes) -> Any:
    used = [0 if n == 0 else (n - 1) * step + 1 for n, step in zip(g.shape, steps, strict=True)]
    first = [start if n else 0 for n, start in zip(g.shape, starts, strict=True)]
    high = tuple(size - start - n for size, start, n in zip(x.shape, first, used, strict=True))
    return pad(g, low=tuple(first), high=high, inner=tuple(step - 1 for step in steps))


slice_ = linear(
    "slice",
    shape=_sliced,
    evaluate=_evaluate_slice,
    transpose=_slice_transpose,
    batch=lambda n, *, starts, stops, steps: {
        "starts": (0, *starts),
        "stops": (n, *stops),
        "steps": (1, *steps),
    },
    lower=lambda xs, i, *, starts, stops, steps: xs[0][
        [k * step + start for k, start, step in zip(i, starts, steps, strict=True)]
    ],
)


def _padded(shape: Shape, *, low: Axes, high: Axes, inner: Axes) -> Shape:
    gaps = [max(n - 1, 0) * k for n, k in zip(shape, inner, strict=True)]
    return tuple(a + n + gap + b for a, n, gap, b in zip(low, shape, gaps, high, strict=True))


def _inside(shape: Shape, low: Axes, inner: Axes) -> dict[str, Axes]:
    """The slice that takes out of a padded array what was padded."""
    steps = tuple(k + 1 for k in inner)
    stops = tuple(a + max((n - 1) * step + 1, 0) if n else a for a, n, step in zip(low, shape, steps, strict=True))
    return {"starts": low, "stops": stops, "steps": steps}


def _evaluate_pad(x: np.ndarray, *, low: Axes, high: Axes, inner: Axes) -> Any:
    out = np.zeros(_padded(x.shape, low=low, high=high, inner=inner), x.dtype)
    _evaluate_slice(out, **_inside(x.shape, low, inner))[...] = x
    return out


def _padding(operands: Sequence[Operand], result: Operand, *, low: Axes, high: Axes, inner: Axes) -> list[Store]:
    (x,) = operands
    return [
        Store(x.shape, lambda i: [k * (gap + 1) + a for k, a, gap in zip(i, low, inner, strict=True)], lambda i: x[i])
    ]


pad = linear(
    "pad",
    shape=_padded,
    evaluate=_evaluate_pad,
    transpose=lambda g, x, *, low, high, inner: slice_(g, **_inside(x.shape, low, inner)),
    batch=lambda n, *, low, high, inner: {"low": (0, *low), "high": (0, *high), "inner": (0, *inner)},
    lower=Stores(_padding, zeroed=True),
)


# concatenate <-> slices
def _joined(*shapes: Shape, axis: int) -> Shape:
    first = shapes[0]
    return (*first[:axis], sum(shape[axis] for shape in shapes), *first[axis + 1 :])


def _parts(g: Any, *inputs: Any, axis: int) -> tuple[Any, ...]:
    parts, start = [], 0
    for x in inputs:
        starts, stops = [0] * g.ndim, list(g.shape)
        starts[axis], stops[axis] = start, start + x.shape[axis]
        parts.append(slice_(g, starts=tuple(starts), stops=tuple(stops), steps=(1,) * g.ndim))
        start += x.shape[axis]
    return tuple(parts)


def _side_by_side(operands: Sequence[Operand], result: Operand, *, axis: int) -> list[Store]:
    stores, start = [], 0
    for x in operands:
        at = start

        def place(i: tuple[Affine, ...], at: int = at) -> list[Affine]:
            return [k + at if a == axis else k for a, k in enumerate(i)]

        stores.append(Store(x.shape, place, x.__getitem__))
        start += x.shape[axis]
    return stores


concatenate = Primitive(
    "concatenate",
    shape=_joined,
    evaluate=lambda *arrays, axis: np.concatenate(arrays, axis=axis),
    derivative=Linear(_parts),
    batch=lambda n, *, axis: {"axis": axis + 1},
    dtype=lambda *dtypes, axis: same_dtype(*dtypes),
    lower=Stores(_side_by_side),
)
