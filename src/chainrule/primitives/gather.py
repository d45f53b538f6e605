"""Reading and adding at positions given by an integer array.

The first `batch` axes of the array and of the indices run together; the indices replace the array's axis `axis`:
gather: x (B..., pre..., n, post...), indices (B..., I...) -> (B..., pre..., I..., post...).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors import ShapeError, explain
from chainrule.formula import Affine, Expr, Operand, Position, Store, Stores, Var
from chainrule.graph import Shape
from chainrule.primitive import Linear, Primitive


def _checked(indices: np.ndarray, size: int, called: str) -> np.ndarray:
    """`indices` without negative ones, or the error that names the first one outside [-size, size)."""
    if indices.size and (indices.min() < -size or indices.max() >= size):
        where = np.argwhere((indices < -size) | (indices >= size))[0]
        position = tuple(int(i) for i in where)
        raise ShapeError(
            explain(
                called,
                f"index {int(indices[position])} at position {position}",
                f"the axis has {size} elements",
                f"Indices go from {-size} to {size - 1}.",
            )
        )
    if indices.size and indices.min() < 0:
        return np.where(indices < 0, indices.astype(np.int64) + size, indices)
    return indices


def _positions(shape: Shape, indices: np.ndarray, axis: int, batch: int) -> tuple[Any, ...]:
    """The index arrays of advanced indexing for `shape` (only needed when batch > 0)."""
    free = [n for i, n in enumerate(shape) if i >= batch and i != axis]
    pre = axis - batch
    rank = batch + len(free) + indices.ndim - batch
    grids: list[Any] = []
    for i, n in enumerate(shape):
        if i == axis:
            place = indices.reshape(
                (*indices.shape[:batch], *(1,) * pre, *indices.shape[batch:], *(1,) * (len(free) - pre))
            )
        else:
            at = i if i < axis else i - 1 + indices.ndim - batch
            place = np.arange(n).reshape((1,) * at + (n,) + (1,) * (rank - at - 1))
        grids.append(place)
    return tuple(grids)


def _gather_shape(x: Shape, indices: Shape, *, axis: int, batch: int) -> Shape:
    return (*x[:axis], *indices[batch:], *x[axis + 1 :])


def _evaluate_gather(x: np.ndarray, indices: np.ndarray, *, axis: int, batch: int) -> Any:
    indices = _checked(indices, x.shape[axis], "gather")
    return np.take(x, indices, axis=axis) if batch == 0 else x[_positions(x.shape, indices, axis, batch)]


def _scatter_shape(updates: Shape, indices: Shape, *, axis: int, batch: int, size: int) -> Shape:
    return (*updates[:axis], size, *updates[axis + len(indices) - batch :])


def _evaluate_scatter(updates: np.ndarray, indices: np.ndarray, *, axis: int, batch: int, size: int) -> Any:
    out = np.zeros(_scatter_shape(updates.shape, indices.shape, axis=axis, batch=batch, size=size), updates.dtype)
    indices = _checked(indices, size, "scatter_add")
    np.add.at(out, _positions(out.shape, indices, axis, batch), updates)
    return out


def _gathered(operands: Sequence[Operand], index: tuple[Affine, ...], *, axis: int, batch: int) -> Expr:
    x, indices = operands
    count = len(indices.shape) - batch
    chosen = indices[(*index[:batch], *index[axis : axis + count])]
    return x[(*index[:axis], Var(x.shape[axis], chosen), *index[axis + count :])]


def _scattered(operands: Sequence[Operand], result: Operand, *, axis: int, batch: int, size: int) -> list[Store]:
    updates, indices = operands
    count = len(indices.shape) - batch

    def place(i: tuple[Affine, ...]) -> list[Position]:
        chosen = indices[(*i[:batch], *i[axis : axis + count])]
        return [*i[:axis], Var(size, chosen), *i[axis + count :]]

    return [Store(updates.shape, place, updates.__getitem__, adds=True)]


gather = Primitive(
    "gather",
    shape=_gather_shape,
    evaluate=_evaluate_gather,
    derivative=Linear(
        lambda g, x, indices, *, axis, batch: scatter_add(g, indices, axis=axis, batch=batch, size=x.shape[axis]),
        operands=(0,),
    ),
    batch=lambda n, *, axis, batch: {"axis": axis + 1, "batch": batch + 1},
    dtype=lambda x, indices, **_: x,
    lower=_gathered,
)
scatter_add = Primitive(
    "scatter_add",
    shape=_scatter_shape,
    evaluate=_evaluate_scatter,
    derivative=Linear(
        lambda g, updates, indices, *, axis, batch, size: gather(g, indices, axis=axis, batch=batch),
        operands=(0,),
    ),
    batch=lambda n, *, axis, batch, size: {"axis": axis + 1, "batch": batch + 1, "size": size},
    dtype=lambda updates, indices, **_: updates,
    lower=Stores(_scattered, zeroed=True),
)
