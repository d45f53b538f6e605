"""The table of all operations: what each is in NumPy or SciPy, and how to draw a case of it.

A row's `case` draws operands (a shape, to be filled with values, or an array as it is) and the function of tensors and
the function of arrays that are to agree on them. `test_operations.py` reads it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.special
import scipy.stats
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import chainrule as cr
from chainrule import functions as F
from chainrule.primitive import REGISTRY

PRIMITIVES = frozenset(REGISTRY)  # the library's own, before any test adds one

Draw = Callable[[Any], Any]
INTS, NUMBERS, ALL = "iu", "fiu", "fiub"


@dataclass(frozen=True)
class Case:
    """Operands (a shape to fill, or an array), and the two functions that are to agree on them."""

    operands: tuple[Any, ...]
    ours: Callable[..., Any]
    reference: Callable[..., Any]


@dataclass(frozen=True)
class Row:
    """One operation.

    Attributes:
        name: the function of `chainrule.functions`, or a name in angle brackets for what is no such function.
        case: draws a Case.
        kinds: the dtype kinds it takes (f, i, u, b).
        domains: where each operand's values lie when derivatives are compared; they keep 0.05 away from 0.
        flat: its derivative is zero.
        extremes: whether infinities and NaN agree with the reference too (not where the order of sums shows).
        within: the values too lie in `domains`.
        rtol: of float64 values; float32's is a thousand times its rounding error.
        rtol_slopes: of derivatives against differences.
    """

    name: str
    case: Callable[[Draw], Case]
    kinds: str = ALL
    domains: tuple[tuple[float, float], ...] = ((-2.0, 2.0),)
    flat: bool = False
    extremes: bool = True
    within: bool = False
    rtol: float = 1e-12
    rtol_slopes: float = 1e-6

    def __str__(self) -> str:
        return self.name

    def domain(self, i: int) -> tuple[float, float]:
        return self.domains[min(i, len(self.domains) - 1)]


def shapes(**options: Any) -> Any:
    return hnp.array_shapes(**({"min_dims": 0, "max_dims": 3, "min_side": 0, "max_side": 3} | options))


def axis_of(draw: Draw, ndim: int, several: bool = True, fewest: int = 0) -> Any:
    """None, a number from -ndim to ndim - 1, or (if `several`) a tuple of different ones."""
    if not ndim:
        return None
    one = st.integers(-ndim, ndim - 1)
    options = [st.none(), one]
    if several:
        options.append(st.lists(one, min_size=fewest, max_size=ndim, unique_by=lambda a: a % ndim).map(tuple))
    return draw(st.one_of(options))


def each(f: Any, reference: Any, arity: int = 1) -> Callable[[Draw], Case]:
    """An element-wise operation, with broadcasting."""

    def case(draw: Draw) -> Case:
        if arity == 1:
            return Case((draw(shapes()),), f, reference)
        drawn = draw(hnp.mutually_broadcastable_shapes(num_shapes=arity, max_dims=3, min_side=0, max_side=3))
        return Case(drawn.input_shapes, f, reference)

    return case


def along(f: Any, reference: Any, several: bool = True, least: int = 0, **more: Any) -> Callable[[Draw], Case]:
    """An operation over an axis or axes of `least` elements; `more` are strategies of further keywords.

    `keepdims` is one of them unless it is None.
    """
    more = {name: strategy for name, strategy in ({"keepdims": st.booleans()} | more).items() if strategy is not None}

    def case(draw: Draw) -> Case:
        shape = draw(shapes(min_dims=int(not several or least > 1), min_side=least))
        options = {"axis": axis_of(draw, len(shape), several, int(least > 1))} | {k: draw(s) for k, s in more.items()}
        return Case((shape,), lambda x: f(x, **options), lambda x: reference(x, **options))

    return case


def on_axis(f: Any, reference: Any) -> Callable[[Draw], Case]:
    """An operation along one axis that is not empty."""

    def case(draw: Draw) -> Case:
        shape = draw(shapes(min_dims=1, min_side=1))
        axis = draw(st.integers(-len(shape), len(shape) - 1))
        return Case((shape,), lambda x: f(x, axis=axis), lambda x: reference(x, axis=axis))

    return case


def in_ways(ways: Callable[[Draw, tuple[int, ...]], dict[str, Any]], f: Any, reference: Any, **sizes: Any) -> Any:
    """An operation whose keywords depend on the shape of its one operand."""

    def case(draw: Draw) -> Case:
        shape = draw(shapes(**sizes))
        options = ways(draw, shape)
        return Case((shape,), lambda x: f(x, **options), lambda x: reference(x, **options))

    return case


def a_permutation(draw: Draw, shape: tuple[int, ...]) -> dict[str, Any]:
    order = draw(st.permutations(range(len(shape))))
    signed = [i - len(shape) if draw(st.booleans()) else i for i in order]
    return {"axes": draw(st.sampled_from([None, tuple(signed)]))}


def a_shape(draw: Draw, shape: tuple[int, ...]) -> dict[str, Any]:
    size = int(np.prod(shape))
    options: list[Any] = [(size,), (1, size), size, shape[::-1], (*shape, 1)]
    return {"shape": draw(st.sampled_from([*options, -1, (-1, 1)] if size else options))}


def two_axes(first: str, second: str) -> Any:
    def ways(draw: Draw, shape: tuple[int, ...]) -> dict[str, Any]:
        axis = st.integers(-len(shape), len(shape) - 1)
        return {first: draw(axis), second: draw(axis)}

    return ways


def a_wider_shape(draw: Draw) -> Case:
    shape = draw(shapes())
    wider = (*draw(shapes(max_dims=2, max_side=2)), *(3 if n == 1 and draw(st.booleans()) else n for n in shape))
    return Case((shape,), lambda x: F.broadcast_to(x, wider), lambda x: np.broadcast_to(x, wider))


def squeezed(draw: Draw) -> Case:
    shape = draw(shapes(min_side=1, max_side=2))
    ones = tuple(i - len(shape) if draw(st.booleans()) else i for i, n in enumerate(shape) if n == 1)
    axis = draw(st.sampled_from([None, ones, *ones]))
    return Case((shape,), lambda x: F.squeeze(x, axis), lambda x: np.squeeze(x, axis))


def joined(f: Any, reference: Any, free: bool) -> Callable[[Draw], Case]:
    """One to three tensors one after another; `free`: their sizes along the axis differ."""

    def case(draw: Draw) -> Case:
        shape = draw(shapes(min_dims=int(free)))
        ndim = len(shape) + (not free)
        axis = draw(st.integers(-ndim, ndim - 1))
        several = []
        for _ in range(draw(st.integers(1, 3))):
            sizes = list(shape)
            if free:
                sizes[axis] = draw(st.integers(0, 3))
            several.append(tuple(sizes))
        return Case(tuple(several), lambda *x: f(x, axis=axis), lambda *x: reference(x, axis=axis))

    return case


def cut(draw: Draw) -> Case:
    shape = list(draw(shapes(min_dims=1)))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    parts = draw(st.integers(1, 3))
    shape[axis] *= parts
    where = draw(st.one_of(st.just(parts), st.lists(st.integers(0, 4), max_size=2).map(sorted)))
    return Case((tuple(shape),), lambda x: F.split(x, where, axis), lambda x: np.split(x, where, axis))


def padded(draw: Draw) -> Case:
    mode = draw(st.sampled_from(["constant", "constant", "edge", "reflect", "symmetric", "wrap"]))
    shape = draw(shapes(min_side=0 if mode == "constant" else 1))
    ends = st.tuples(st.integers(0, 2), st.integers(0, 2))
    width = draw(st.one_of(st.integers(0, 2), ends, *([st.tuples(*[ends] * len(shape))] if shape else [])))
    if mode == "constant":
        value = draw(st.sampled_from([0, 1]))
        return Case((shape,), lambda x: F.pad(x, width, value=value), lambda x: np.pad(x, width, constant_values=value))
    return Case((shape,), lambda x: F.pad(x, width, mode), lambda x: np.pad(x, width, mode))


def indexed(draw: Draw) -> Case:
    """Basic indexing, and one index array in place of a number."""
    shape = draw(shapes(min_dims=1))
    key: Any = draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    if draw(st.booleans()) and 0 not in shape:
        at = draw(st.integers(0, len(shape) - 1))
        keys = [draw(st.one_of(st.integers(-n, n - 1), st.slices(n), st.just(slice(None)))) for n in shape]
        keys[at] = draw(positions(shape[at]))
        key = tuple(keys)
    return Case((shape,), lambda x: cr.as_tensor(x)[key], lambda x: x[key])


def positions(n: int, **options: Any) -> Any:
    """Index arrays for an axis of n > 0 elements, with negative indices and repeats."""
    dtype = st.sampled_from([np.int64, np.int8, np.int32])
    sizes = {"min_dims": 1, "max_dims": 2, "min_side": 0, "max_side": 3} | options
    return hnp.arrays(dtype, hnp.array_shapes(**sizes), elements=st.integers(-n, n - 1))


def taken(f: Any) -> Callable[[Draw], Case]:
    def case(draw: Draw) -> Case:
        shape = draw(shapes(min_dims=1, min_side=1))
        axis = axis_of(draw, len(shape), several=False)
        indices = draw(positions(int(np.prod(shape)) if axis is None else shape[axis], min_dims=0))
        return Case((shape, indices), lambda x, i: f(x, i, axis), lambda x, i: np.take(x, i, axis))

    return case


def taken_along(draw: Draw) -> Case:
    shape = draw(shapes(min_dims=1, min_side=1))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    sizes = list(shape)
    sizes[axis] = draw(st.integers(0, 3))
    n = shape[axis]
    indices = draw(hnp.arrays(np.int64, tuple(sizes), elements=st.integers(-n, n - 1)))
    return Case(
        (shape, indices),
        lambda x, i: F.take_along_axis(x, i, axis),
        lambda x, i: np.take_along_axis(x, i, axis),
    )


def scattered(draw: Draw) -> Case:
    shape = draw(shapes(min_dims=1, min_side=1))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    indices = draw(positions(shape[axis], min_dims=0))
    place = axis % len(shape)
    updates = (*shape[:place], *indices.shape, *shape[place + 1 :])

    def reference(x: Any, i: Any, u: Any) -> Any:
        out = x.astype(np.result_type(x, u))
        np.add.at(out, (*(slice(None),) * place, i), u)
        return out

    return Case((shape, indices, updates), lambda x, i, u: F.scatter_add(x, i, u, axis), reference)


def labelled(draw: Draw) -> Case:
    labels = np.asarray(draw(positions(3, min_dims=0)) % np.int8(3))
    return Case(
        (labels,),
        lambda t: F.one_hot(t, 3, "float32"),
        lambda t: np.eye(3, dtype=np.float32)[t],
    )


def multiplied(draw: Draw) -> Case:
    side = st.integers(0, 3)
    n, k, m = draw(side), draw(side), draw(side)
    form = draw(st.sampled_from(["vv", "mv", "vm", "mm", "batched", "batched"]))
    if form == "batched":
        lead = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=2, min_side=0, max_side=2)).input_shapes
        a, b = (*lead[0], n, k), (*lead[1], k, m)
    else:
        a, b = {"v": (k,), "m": (n, k)}[form[0]], {"v": (k,), "m": (k, m)}[form[1]]
    return Case((a, b), F.matmul, np.matmul)


SUBSCRIPTS = [
    "ij,jk->ik", "ij,jk", "ij->ji", "ii->i", "ii", "ij->", "ij,ij->", "i,j->ij", "ij,ij->ij", "bij,bjk->bik", "iij->j",
    "...ij,...jk->...ik", "...i->...", "ij,jk,kl->il", "i,i,i->i", "ij,j->", "ijk,k->ji", "ij,kl->", "i->",
    "ij,i...->j...",
]  # fmt: skip


def summed(draw: Draw) -> Case:
    spec = draw(st.sampled_from(SUBSCRIPTS))
    sizes = {label: draw(st.integers(0, 3)) for label in sorted(set(spec) - set(",->."))}
    dots = draw(shapes(max_dims=1, min_side=2))
    operands = []
    for part in spec.split("->")[0].split(","):
        before, three, after = part.partition("...")
        operands.append((*(sizes[c] for c in before), *(dots if three else ()), *(sizes[c] for c in after)))
    return Case(tuple(operands), lambda *x: F.einsum(spec, *x), lambda *x: np.einsum(spec, *x))


def cast_as(draw: Draw) -> Case:
    dtype = draw(st.sampled_from(["float32", "float64", "int64", "bool"]))
    return Case((draw(shapes()),), lambda x: cr.as_tensor(x).astype(dtype), lambda x: x.astype(dtype))


def raised(draw: Draw) -> Case:
    exponent = draw(st.sampled_from([0, 1, 2, 3]))
    return Case((draw(shapes()),), lambda x: cr.as_tensor(x) ** exponent, lambda x: x**exponent)


def raised_by_a_fraction(draw: Draw) -> Case:
    exponent = draw(st.sampled_from([-2, -1, 0.5, 1.5, -0.5]))
    return Case((draw(shapes()),), lambda x: cr.as_tensor(x) ** exponent, lambda x: x**exponent)


def drawn(draw: Draw) -> Case:
    seed, step = (np.asarray(draw(st.integers(0, 2**62))) for _ in range(2))
    shape = draw(shapes())

    def reference(seed: Any, step: Any) -> Any:
        key, counter = np.array([seed, 5], np.uint64), np.array([0, step, 0, 0], np.uint64)
        raw = np.random.Philox(key=key, counter=counter).random_raw(int(np.prod(shape)))
        return ((raw >> np.uint64(12)) + 0.5).reshape(shape) / 2.0**52

    return Case((seed, step), lambda seed, step: cr.random.uniform(seed, shape, stream=5, step=step), reference)


def floating(reference: Any) -> Any:
    """NumPy's function, with float32 where it gives float16 (for integers of 8 bits), which is not one of ours."""
    return lambda x: reference(x.astype(np.float32) if x.dtype.kind in "iu" and x.dtype.itemsize == 1 else x)


def by_hand(f: Any, rule: Any) -> Any:
    return cr.custom(derivative=rule)(f)


def clipped(draw: Draw) -> Case:
    bounds = draw(st.sampled_from([(0, None), (None, 1), (-1, 1), (1, -1)]))
    return Case((draw(shapes()),), lambda x: F.clip(x, *bounds), lambda x: np.clip(x, *bounds))


def leaky(x: Any) -> Any:
    return np.where(x > 0, x, x.dtype.type(0.01) * x)


def gelu(x: Any) -> Any:
    return x * (1 + scipy.special.erf(x / np.sqrt(x.dtype.type(2)))) / 2


def elu(x: Any) -> Any:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def logsumexp(x: Any, axis: Any, keepdims: Any) -> Any:
    with np.errstate(all="ignore"):
        return np.log(np.sum(np.exp(x.astype(np.float64)), axis=axis, keepdims=keepdims)).astype(x.dtype)


def identity(x: Any) -> Any:
    return x


PAIR = ((-2.0, 2.0), (-2.0, 2.0))
UNIT = ((0.15, 0.85),)
POSITIVE = ((0.1, 3.0),)
REALS = "f"  # what SciPy or a formula is the reference for: its dtypes for integers are not NumPy's

TABLE = [
    # Arithmetic
    Row("add", each(F.add, np.add, 2)),
    Row("subtract", each(F.subtract, np.subtract, 2), NUMBERS),
    Row("multiply", each(F.multiply, np.multiply, 2)),
    Row("divide", each(F.divide, np.divide, 2), domains=((-2.0, 2.0), (0.5, 3.0))),
    Row("power", each(F.power, np.power, 2), REALS, ((0.2, 2.0), (-2.0, 2.0))),
    Row("<x ** n>", raised, NUMBERS),
    Row("<x ** 0.5>", raised_by_a_fraction, REALS, POSITIVE),
    Row("negative", each(F.negative, np.negative), NUMBERS),
    Row("square", each(F.square, np.square), NUMBERS),
    # Element-wise
    Row("exp", each(F.exp, floating(np.exp)), NUMBERS),
    Row("expm1", each(F.expm1, floating(np.expm1)), NUMBERS),
    Row("log", each(F.log, floating(np.log)), NUMBERS, POSITIVE),
    Row("log1p", each(F.log1p, floating(np.log1p)), NUMBERS, ((-0.5, 2.0),)),
    Row("sqrt", each(F.sqrt, floating(np.sqrt)), NUMBERS, POSITIVE),
    Row("sin", each(F.sin, floating(np.sin)), NUMBERS),
    Row("cos", each(F.cos, floating(np.cos)), NUMBERS),
    Row("tanh", each(F.tanh, floating(np.tanh)), NUMBERS),
    Row("sigmoid", each(F.sigmoid, scipy.special.expit), REALS),
    Row("softplus", each(F.softplus, lambda x: np.logaddexp(x, x.dtype.type(0))), REALS),
    Row("erf", each(F.erf, scipy.special.erf), REALS),
    Row("ndtri", each(F.ndtri, scipy.special.ndtri), REALS, UNIT, within=True, rtol=1e-11),
    Row("abs", each(F.abs, np.abs)),
    Row("sign", each(F.sign, np.sign), NUMBERS, flat=True),
    Row("floor", each(F.floor, np.floor), flat=True),
    Row("maximum", each(F.maximum, np.maximum, 2), domains=PAIR),
    Row("minimum", each(F.minimum, np.minimum, 2), domains=PAIR),
    Row("clip", each(F.clip, np.clip, 3)),
    Row("clip", clipped, "fi", ((-2.5, 2.5),)),
    Row("where", each(lambda c, a, b: F.where(cr.as_tensor(c) > 0, a, b), lambda c, a, b: np.where(c > 0, a, b), 3)),
    Row("where", each(F.where, np.where, 3)),
    Row("stop_gradient", each(F.stop_gradient, identity), flat=True),
    Row("zeros_like", each(F.zeros_like, np.zeros_like), flat=True),
    Row("ones_like", each(F.ones_like, np.ones_like), flat=True),
    # Comparisons
    Row("equal", each(F.equal, np.equal, 2), flat=True),
    Row("not_equal", each(F.not_equal, np.not_equal, 2), flat=True),
    Row("less", each(F.less, np.less, 2), flat=True),
    Row("less_equal", each(F.less_equal, np.less_equal, 2), flat=True),
    Row("greater", each(F.greater, np.greater, 2), flat=True),
    Row("greater_equal", each(F.greater_equal, np.greater_equal, 2), flat=True),
    Row("logical_and", each(F.logical_and, np.logical_and, 2), flat=True),
    Row("logical_or", each(F.logical_or, np.logical_or, 2), flat=True),
    Row("logical_not", each(F.logical_not, np.logical_not), flat=True),
    Row("isfinite", each(F.isfinite, np.isfinite), flat=True),
    # Activations
    Row("relu", each(F.relu, lambda x: np.maximum(x, x.dtype.type(0)))),
    Row("leaky_relu", each(F.leaky_relu, leaky), REALS),
    Row("elu", each(F.elu, elu), REALS),
    Row("gelu", each(F.gelu, gelu), REALS, rtol=1e-9),
    Row("silu", each(F.silu, lambda x: x * scipy.special.expit(x)), REALS),
    Row("softmax", on_axis(F.softmax, scipy.special.softmax), REALS, extremes=False),
    Row("log_softmax", on_axis(F.log_softmax, scipy.special.log_softmax), REALS, extremes=False),
    # Reductions
    Row("sum", along(F.sum, np.sum)),
    Row("mean", along(F.mean, np.mean, least=1)),
    Row("max", along(F.max, np.max, least=1)),
    Row("min", along(F.min, np.min, least=1)),
    Row("prod", along(F.prod, np.prod), domains=((-1.5, 1.5),)),
    Row("var", along(F.var, np.var, least=1)),
    Row("std", along(F.std, np.std, least=2), domains=((-1.5, 1.5),)),
    Row("argmax", along(F.argmax, np.argmax, several=False, least=1), flat=True),
    Row("argmin", along(F.argmin, np.argmin, several=False, least=1), flat=True),
    Row("logsumexp", along(F.logsumexp, logsumexp, least=1), REALS),
    Row("cumsum", along(F.cumsum, np.cumsum, several=False, keepdims=None)),
    # Products
    Row("matmul", multiplied, domains=PAIR),
    Row("einsum", summed, NUMBERS, domains=PAIR, extremes=False),
    # Shapes
    Row("reshape", in_ways(a_shape, F.reshape, np.reshape)),
    Row("transpose", in_ways(a_permutation, F.transpose, np.transpose)),
    Row("moveaxis", in_ways(two_axes("source", "destination"), F.moveaxis, np.moveaxis, min_dims=1)),
    Row("swapaxes", in_ways(two_axes("a", "b"), F.swapaxes, lambda x, a, b: np.swapaxes(x, a, b), min_dims=1)),
    Row("broadcast_to", a_wider_shape),
    Row("expand_dims", in_ways(lambda draw, s: {"axis": draw(st.integers(-len(s) - 1, len(s)))}, F.expand_dims,
                               np.expand_dims)),
    Row("squeeze", squeezed),
    Row("concatenate", joined(F.concatenate, np.concatenate, free=True)),
    Row("stack", joined(F.stack, np.stack, free=False)),
    Row("split", cut),
    Row("flip", along(F.flip, np.flip, keepdims=None)),
    Row("pad", padded),
    # Positions
    Row("<x[key]>", indexed),
    Row("take", taken(F.take)),
    Row("gather", taken(F.gather)),
    Row("take_along_axis", taken_along),
    Row("scatter_add", scattered),
    Row("one_hot", labelled, flat=True),
    # What is no function of its own
    Row("<astype>", cast_as, rtol_slopes=4e-4),
    Row("<named>", each(lambda x: cr.as_tensor(x).named("x"), identity)),
    Row("<random.uniform>", drawn, flat=True),
    Row("<custom>", each(by_hand(F.sin, lambda g, y, x: g * F.cos(x)), np.sin), REALS),
]  # fmt: skip
