"""Random functions of a few arrays: any shapes (empty ones too), dtypes and layouts, and results asked for twice.

Beside `random_graphs`, which are smooth and can be differentiated by differences, these hold comparisons, integers,
ties, positions (argmax, gather, scatter), slices of any step, broadcasting both ways and products. What jumps is only
asked of values that are not rounded, so that a difference in the last bit stays one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.errors import ChainruleError
from chainrule.graph import walk

SHAPES = [
    (), (1,), (3,), (7,), (17,), (0,), (2, 3), (3, 2), (1, 5), (4, 1), (5, 17), (33, 3), (17, 31), (2, 3, 4), (2, 0, 3),
    (1, 3, 1), (4, 7, 9), (64, 5), (65, 65), (300, 3), (1000,),
]  # fmt: skip
DTYPES = ["float64", "float64", "float32", "int64", "bool", "int32", "uint8"]
LARGEST = 20_000  # elements
SMOOTH = [
    cr.tanh, cr.sin, cr.cos, cr.sigmoid, cr.softplus, cr.erf, cr.square, cr.abs, cr.relu, cr.elu, cr.leaky_relu,
    lambda x: cr.exp(cr.minimum(x, 2)), lambda x: cr.log1p(cr.abs(x)), lambda x: cr.sqrt(1 + x * x),
]  # fmt: skip
EXACT = {
    "transpose", "reshape", "slice", "flip", "pad", "gather", "concatenate", "expand", "max", "argmax", "negative",
    "absolute", "maximum", "minimum", "cast", "alias", "less", "equal", "greater", "floor", "sign", "relu",
}  # fmt: skip


def random_function(seed: int, ties: bool = True) -> tuple[Callable[..., Any], list[np.ndarray]]:
    """A function that gives a tuple of tensors, and arrays for it; with `ties` some have equal elements."""
    rng = np.random.default_rng(seed)
    kind, base = rng.choice(["float64", "float32"]), SHAPES[rng.integers(len(SHAPES))]
    arrays = []
    for _ in range(rng.integers(1, 5)):
        shape = base if rng.random() < 0.4 else SHAPES[rng.integers(len(SHAPES))]
        dtype = kind if rng.random() < 0.75 else DTYPES[rng.integers(len(DTYPES))]
        arrays.append(_values(rng, shape, dtype, ties=bool(rng.random() < 0.3) and ties))
    count, inner = int(rng.integers(2, 30)), int(rng.integers(2**60))
    picked = rng.integers(1, 6, 4)

    def f(*xs: Any) -> Any:
        again = np.random.default_rng(inner)
        nodes = [cr.as_tensor(x) for x in xs]
        for _ in range(3 * count):
            try:
                made = _step(again, nodes)
            except ChainruleError:  # shapes or dtypes that do not fit: another one is drawn
                continue
            if made is not None and made.size <= LARGEST:
                nodes.append(made)
        return tuple(nodes[-i] for i in picked if i <= len(nodes))

    return f, arrays


def laid_out(array: np.ndarray, how: str) -> np.ndarray:
    """The same values in another layout in memory."""
    if not array.ndim:
        return array
    if how == "strided":
        wide = np.zeros([2 * n + 1 for n in array.shape], array.dtype)
        view = wide[tuple(slice(1, None, 2) for _ in array.shape)]
        view[...] = array
        return view
    if how == "backwards":
        turned = tuple(slice(None, None, -1) for _ in array.shape)
        return np.ascontiguousarray(array[turned])[turned]
    if how == "unaligned":
        view = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
        view[...] = array
        return view
    return {"swapped": array.astype(array.dtype.newbyteorder(">")), "fortran": np.asfortranarray(array)}[how]


def _values(rng: Any, shape: tuple[int, ...], dtype: Any, ties: bool) -> np.ndarray:
    kind = np.dtype(dtype).kind
    if kind == "f":
        drawn = rng.standard_normal(shape)
        return np.asarray(np.round(drawn) if ties else drawn).astype(dtype)
    return np.asarray(rng.integers(0 if kind in "ub" else -9, 2 if kind == "b" else 9, shape)).astype(dtype)


def _is_exact(*xs: cr.Tensor) -> bool:
    """Whether nothing was rounded on the way to them, or all of it is integers."""
    return all(x.primitive is None or x.primitive.name in EXACT or x.dtype.kind in "iub" for x in walk(xs))


def _step(rng: Any, nodes: list[cr.Tensor]) -> cr.Tensor | None:
    """One more value from those there are, later ones more often; None where what was drawn does not fit."""
    x, y = (nodes[int(len(nodes) * rng.random() ** 0.5)] for _ in range(2))
    made: Any = STEPS[rng.integers(len(STEPS))](rng, x, y)
    return made


def _axes(rng: Any, x: cr.Tensor) -> Any:
    if not x.ndim or rng.random() < 0.2:
        return None
    chosen = rng.choice(x.ndim, rng.integers(1, x.ndim + 1), replace=False)
    return tuple(int(a) - (x.ndim if rng.random() < 0.3 else 0) for a in chosen)


def _unary(rng: Any, x: cr.Tensor, y: cr.Tensor) -> Any:
    if x.dtype.kind != "f":
        return None
    if _is_exact(x) and rng.random() < 0.2:
        return [cr.floor, cr.sign][rng.integers(2)](x)
    return SMOOTH[rng.integers(len(SMOOTH))](x)


def _binary(rng: Any, x: cr.Tensor, y: cr.Tensor) -> Any:
    if max(x.size, y.size) > 1 and x.size * y.size > LARGEST and x.shape != y.shape:
        return None
    return [
        lambda: x + y, lambda: x - y, lambda: x * y, lambda: x / (1 + y * y), lambda: cr.maximum(x, y),
        lambda: cr.minimum(x, y), lambda: cr.where(x > y, x, y), lambda: x < y, lambda: (x == y) * 1.5,
    ][rng.integers(9 if _is_exact(x, y) else 7)]()  # fmt: skip


def _reduced(rng: Any, x: cr.Tensor, y: cr.Tensor) -> Any:
    f = [cr.sum, cr.mean, cr.max, cr.min, cr.var, cr.logsumexp][rng.integers(6)]
    return f(x, _axes(rng, x), keepdims=bool(rng.random() < 0.5))


def _along(rng: Any, x: cr.Tensor, y: cr.Tensor) -> Any:
    f = [cr.softmax, cr.cumsum, cr.log_softmax, cr.flip, cr.argmax, cr.argmin][rng.integers(6 if _is_exact(x) else 4)]
    return f(x, int(rng.integers(-x.ndim, x.ndim))) if x.ndim and x.size else None


def _indexed(rng: Any, x: cr.Tensor, y: cr.Tensor) -> Any:
    slices = [slice(None, None, -1), slice(None, None, 2), slice(1, None), slice(None, None, -2), slice(None)]
    keys = [slices[rng.integers(5)] if rng.random() < 0.8 or not n else int(rng.integers(-n, n)) for n in x.shape]
    return x[tuple(keys)]


def _gathered(rng: Any, x: cr.Tensor, y: cr.Tensor) -> Any:
    if not x.ndim or not x.size:
        return None
    axis = int(rng.integers(x.ndim))
    if rng.random() < 0.7:
        return cr.take(x, rng.integers(-x.shape[axis], x.shape[axis], (2, 3)[: rng.integers(1, 3)]), axis)
    count = int(rng.integers(1, 9))
    return cr.scatter_add(np.zeros((count, *x.shape[1:]), x.dtype), rng.integers(0, count, x.shape[0]), x)


def _moved(rng: Any, x: cr.Tensor, y: cr.Tensor) -> Any:
    return [
        lambda: cr.transpose(x, [int(a) for a in rng.permutation(x.ndim)]), lambda: x.reshape(-1),
        lambda: cr.expand_dims(x, int(rng.integers(0, x.ndim + 1))), lambda: cr.pad(x, int(rng.integers(0, 3))),
        lambda: cr.concatenate([x, y, x]), lambda: cr.stack([x, x]),
        lambda: x.astype(["float32", "float64"][rng.integers(2)]),
    ][rng.integers(7)]()  # fmt: skip


def _product(rng: Any, x: cr.Tensor, y: cr.Tensor) -> Any:
    if x.dtype.kind != "f" or y.dtype.kind != "f" or x.size * y.size > 300 * LARGEST:
        return None
    spec = ["ij,jk->ik", "ij,kj->ik", "ji,jk->ik", "ij,j->i", "i,j->ij", "aij,aik->ajk"][rng.integers(6)]
    return cr.einsum(spec, cr.tanh(x), cr.tanh(y))


STEPS = [
    _unary, _unary, _unary, _binary, _binary, _binary, _reduced, _reduced, _along, _indexed, _gathered, _moved, _moved,
    _product, _product,
]  # fmt: skip
