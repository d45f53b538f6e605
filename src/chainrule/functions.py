"""Functions on tensors, with NumPy's names, argument order and meaning; and what is composed of them.

Arguments are tensors, arrays or numbers. What is not an operation of its own (softmax, variance, norms, ...) is
composed here of those that are, and needs no derivative.
"""

from __future__ import annotations

import builtins
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from chainrule import dispatch, products, shaping
from chainrule.dtypes import DType, checked
from chainrule.errors import DTypeError, OptionError, ShapeError, explain
from chainrule.primitive import Primitive
from chainrule.primitives import axes as _axes
from chainrule.primitives import elementwise as _elementwise
from chainrule.primitives import gather as _gather
from chainrule.shaping import Axis
from chainrule.tensor import (
    Tensor,
    TensorLike,
    as_average,
    as_float,
    as_tensor,
    binary,
    broadcast,
    divide,
    numeric,
    power,
    promoted,
    widened,
)

__all__ = [
    "abs", "add", "argmax", "argmin", "broadcast_to", "clip", "concatenate", "cos", "cumsum", "divide",
    "einsum", "elu", "equal", "erf", "exp", "expand_dims", "expm1", "flip", "floor", "gather", "gelu",
    "greater", "greater_equal", "isfinite", "leaky_relu", "less", "less_equal", "log", "log1p", "log_softmax",
    "logical_and", "logical_not", "logical_or", "logsumexp", "matmul", "max", "maximum", "mean", "min",
    "minimum", "moveaxis", "multiply", "ndtri", "negative", "not_equal", "one_hot", "ones_like", "pad", "power",
    "prod", "relu", "reshape", "scatter_add", "sigmoid", "sign", "silu", "sin", "softmax", "softplus", "split",
    "sqrt", "square", "squeeze", "stack", "std", "stop_gradient", "subtract", "sum", "swapaxes", "take",
    "take_along_axis", "tanh", "transpose", "var", "where", "zeros_like",
]  # fmt: skip


def _float(primitive: Primitive, doc: str) -> Callable[[TensorLike], Tensor]:
    def function(x: TensorLike) -> Tensor:
        return primitive(as_float(x))

    return _named(function, primitive.name, doc)


def _binary(primitive: Primitive, doc: str) -> Callable[[TensorLike, TensorLike], Tensor]:
    def function(a: TensorLike, b: TensorLike) -> Tensor:
        return binary(primitive, a, b)

    return _named(function, primitive.name, doc)


def _named(function: Any, name: str, doc: str) -> Any:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


# Element-wise
exp = _float(_elementwise.exp, "e to the power of x.")
expm1 = _float(_elementwise.expm1, "exp(x) - 1, exact for small x.")
log = _float(_elementwise.log, "The natural logarithm.")
log1p = _float(_elementwise.log1p, "log(1 + x), exact for small x.")
sqrt = _float(_elementwise.sqrt, "The square root.")
sin = _float(_elementwise.sin, "The sine of x radians.")
cos = _float(_elementwise.cos, "The cosine of x radians.")
tanh = _float(_elementwise.tanh, "The hyperbolic tangent.")
erf = _float(_elementwise.erf, "The error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x.")
sigmoid = _float(_elementwise.sigmoid, "1 / (1 + exp(-x)), without overflow.")
softplus = _float(_elementwise.softplus, "log(1 + exp(x)), without overflow.")
ndtri = _float(
    _elementwise.ndtri,
    "The quantile function of the standard normal distribution (0 < x < 1). Wichura (1988), AS 241.",
)
add = _binary(_elementwise.add, "a + b.")
subtract = _binary(_elementwise.subtract, "a - b.")
multiply = _binary(_elementwise.multiply, "a * b.")
maximum = _binary(_elementwise.maximum, "The larger of a and b; where they are equal each gets half of the gradient.")
minimum = _binary(_elementwise.minimum, "The smaller of a and b; where they are equal each gets half of the gradient.")
equal = _binary(_elementwise.equal, "a == b, element-wise.")
not_equal = _binary(_elementwise.not_equal, "a != b, element-wise.")
less = _binary(_elementwise.less, "a < b, element-wise.")
less_equal = _binary(_elementwise.less_equal, "a <= b, element-wise.")
greater = _binary(_elementwise.greater, "a > b, element-wise.")
greater_equal = _binary(_elementwise.greater_equal, "a >= b, element-wise.")


def negative(x: TensorLike) -> Tensor:
    """-x."""
    return -as_tensor(x)


def square(x: TensorLike) -> Tensor:
    """x * x."""
    return as_tensor(x) ** 2


def abs(x: TensorLike) -> Tensor:
    """|x|; the derivative at 0 is 0."""
    return builtins.abs(as_tensor(x))


def sign(x: TensorLike) -> Tensor:
    """-1, 0 or 1; the derivative is 0."""
    return _elementwise.sign(numeric("sign", as_tensor(x)))


def floor(x: TensorLike) -> Tensor:
    """The largest whole number that is not above x; the derivative is 0."""
    return _elementwise.floor(as_tensor(x))


def isfinite(x: TensorLike) -> Tensor:
    """Whether x is neither NaN nor infinite."""
    return _elementwise.isfinite(as_tensor(x))


def logical_and(a: TensorLike, b: TensorLike) -> Tensor:
    """Whether both a and b are true (not zero)."""
    return _elementwise.logical_and(*broadcast("logical_and", _truth(a), _truth(b)))


def logical_or(a: TensorLike, b: TensorLike) -> Tensor:
    """Whether a or b is true (not zero)."""
    return _elementwise.logical_or(*broadcast("logical_or", _truth(a), _truth(b)))


def logical_not(x: TensorLike) -> Tensor:
    """Whether x is false (zero)."""
    return _elementwise.logical_not(_truth(x))


def _truth(x: TensorLike) -> Tensor:
    return as_tensor(x).astype("bool")


def where(condition: TensorLike, a: TensorLike, b: TensorLike) -> Tensor:
    """a where `condition` holds, else b. The gradient goes to the one that was taken.

    >>> where([True, False], 1.0, [2.0, 3.0])
    Tensor([1., 3.])
    """
    return _elementwise.where(*shaping.broadcast("where", _truth(condition), *promoted(a, b)))


def clip(x: TensorLike, low: TensorLike | None = None, high: TensorLike | None = None) -> Tensor:
    """x held between `low` and `high` (None: no bound). At a bound the gradient is x's.

    >>> clip([-2.0, 0.5, 3.0], 0.0, 1.0)
    Tensor([0. , 0.5, 1. ])
    """
    x = as_tensor(x)
    lowest, highest = _ends(x.dtype)
    low, high = (builtins.min(builtins.max(b, lowest), highest) if type(b) is int else b for b in (low, high))
    return _elementwise.clip(*broadcast("clip", x, lowest if low is None else low, highest if high is None else high))


def _ends(dtype: DType) -> tuple[float, float]:
    """The smallest and the largest value of `dtype`."""
    if dtype.kind == "f":
        return -math.inf, math.inf
    return (False, True) if dtype.kind == "b" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))


def stop_gradient(x: TensorLike) -> Tensor:
    """The value of x, with no gradient flowing back through it.

    >>> from chainrule import grad
    >>> grad(lambda x: x * stop_gradient(x))(3.0)
    Tensor(3.0)
    """
    return _elementwise.stop_gradient(as_tensor(x))


# Activations
def relu(x: TensorLike) -> Tensor:
    """max(x, 0); the derivative at 0 is 0. Nair and Hinton (2010)."""
    return _elementwise.relu(as_tensor(x))


def leaky_relu(x: TensorLike, slope: float = 0.01) -> Tensor:
    """x where x > 0, else slope * x; the derivative at 0 is the slope. Maas et al. (2013)."""
    x = as_float(x)
    return where(x > 0, x, slope * x)


def elu(x: TensorLike, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else alpha (exp(x) - 1). Clevert et al. (2015)."""
    x = as_float(x)
    return where(x > 0, x, alpha * expm1(where(x > 0, zeros_like(x), x)))


def gelu(x: TensorLike) -> Tensor:
    """x times the standard normal distribution function of x. Hendrycks and Gimpel (2016)."""
    x = as_float(x)
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


def silu(x: TensorLike) -> Tensor:
    """x sigmoid(x). Elfwing et al. (2017)."""
    x = as_float(x)
    return x * sigmoid(x)


def softmax(x: TensorLike, axis: int = -1) -> Tensor:
    """exp(x) / sum(exp(x)) along `axis`, without overflow.

    >>> softmax([0.0, 0.0])
    Tensor([0.5, 0.5])
    """
    x = as_float(x)
    e = exp(x - stop_gradient(_finite_max(x, axis)))
    return e / e.sum(axis, keepdims=True)


def log_softmax(x: TensorLike, axis: int = -1) -> Tensor:
    """log(softmax(x)) along `axis`, without overflow."""
    x = as_float(x)
    shifted = x - stop_gradient(_finite_max(x, axis))
    return shifted - log(exp(shifted).sum(axis, keepdims=True))


def logsumexp(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(x))) over `axis`, without overflow.

    >>> logsumexp([1000.0, 1000.0])
    Tensor(1000.69314718)
    """
    x = as_float(x)
    largest = stop_gradient(_finite_max(x, axis))
    total = log(exp(x - largest).sum(axis, keepdims=True)) + largest
    return total if keepdims else squeeze(total, shaping.axes_of(x, axis, "logsumexp"))


def _finite_max(x: Tensor, axis: Axis) -> Tensor:
    """The largest element, kept as an axis; 0 where it is infinite, so that no inf - inf arises."""
    largest = x.max(axis, keepdims=True)
    return where(isfinite(largest), largest, zeros_like(largest))


# Reductions
def sum(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The sum over `axis` (None: over all)."""
    return as_tensor(x).sum(axis, keepdims)


def mean(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The mean over `axis` (None: over all)."""
    return as_tensor(x).mean(axis, keepdims)


def max(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest element over `axis` (None: over all); ties share the gradient equally.

    >>> from chainrule import grad
    >>> grad(max)([2.0, 2.0, 1.0])
    Tensor([0.5, 0.5, 0. ])
    """
    return as_tensor(x).max(axis, keepdims)


def min(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest element over `axis` (None: over all); ties share the gradient equally."""
    return _mirrored(_mirrored(as_tensor(x)).max(axis, keepdims))


def _mirrored(x: Tensor) -> Tensor:
    """The values in reverse order of size, without overflow; its own inverse."""
    if x.dtype.kind == "b":
        return logical_not(x)
    if x.dtype.kind == "f":
        return -x
    return (np.iinfo(x.dtype).max if x.dtype.kind == "u" else -1) - x


def prod(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The product over `axis` (None: over all); the derivative is right where elements are 0 too.

    >>> from chainrule import grad
    >>> grad(prod)([2.0, 0.0, 3.0])
    Tensor([0., 6., 0.])
    """
    x = widened(as_tensor(x))
    found = shaping.axes_of(x, axis, "prod")
    kept = [i for i in range(x.ndim) if i not in found]
    count = math.prod(x.shape[i] for i in found)
    y = x.transpose([*kept, *found]).reshape([*(x.shape[i] for i in kept), count])
    while y.shape[-1] > 1:
        half, odd = divmod(y.shape[-1], 2)
        paired = y[..., :half] * y[..., half : 2 * half]
        y = concatenate([paired, y[..., -1:]], axis=-1) if odd else paired
    y = y[..., 0] if count else _ones(y.shape[:-1], y)
    return shaping.restored(y, x.shape, found) if keepdims else y


def var(x: TensorLike, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
    """The variance over `axis`: the mean of (x - mean)^2, over n - ddof.

    >>> var([1.0, 2.0, 3.0, 6.0]), var([1.0, 2.0, 3.0], ddof=1)
    (Tensor(3.5), Tensor(1.0))
    """
    x = as_average(as_tensor(x))
    count = math.prod(x.shape[i] for i in shaping.axes_of(x, axis, "var"))
    if count <= ddof:
        raise ShapeError(
            explain(
                shaping.call_site("var", x),
                shaping.shapes_of(x),
                f"{count} elements do not exceed ddof = {ddof}",
            )
        )
    return square(x - x.mean(axis, keepdims=True)).sum(axis, keepdims) / (count - ddof)


def std(x: TensorLike, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
    """The standard deviation over `axis`, the root of `var`."""
    return sqrt(var(x, axis, ddof, keepdims))


def argmax(x: TensorLike, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The index (int64) of the first largest element along `axis` (None: of all elements, flattened).

    >>> argmax([[1, 9, 9], [5, 2, 3]]), argmax([[1, 9, 9], [5, 2, 3]], axis=1)
    (Tensor(1), Tensor([1, 0]))
    """
    x = as_tensor(x)
    if axis is None:
        y = _index_of_largest(x.reshape(-1), 0)
        return y.reshape((1,) * x.ndim) if keepdims else y
    place = shaping.normalized(axis, x.ndim, "argmax", x)
    y = _index_of_largest(x, place)
    return shaping.restored(y, x.shape, (place,)) if keepdims else y


def argmin(x: TensorLike, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The index (int64) of the first smallest element along `axis` (None: of all elements, flattened)."""
    return argmax(_mirrored(as_tensor(x)), axis, keepdims)


def _index_of_largest(x: Tensor, axis: int) -> Tensor:
    if not x.shape[axis]:
        raise ShapeError(explain(shaping.call_site("argmax", x), shaping.shapes_of(x), "the axis is empty"))
    return _axes.argmax(x, axis=axis)


def cumsum(x: TensorLike, axis: int | None = None) -> Tensor:
    """The running sum along `axis` (None: of all elements, flattened).

    >>> cumsum([[1, 2], [3, 4]]), cumsum([1.0, 2.0, 3.0], axis=0)
    (Tensor([ 1,  3,  6, 10]), Tensor([1., 3., 6.]))
    """
    x = as_tensor(x)
    x = widened(x)
    x, axis = (x.reshape(-1), 0) if axis is None else (x, axis)
    return _axes.cumsum(x, axis=shaping.normalized(axis, x.ndim, "cumsum", x))


# Products
def matmul(a: TensorLike, b: TensorLike) -> Tensor:
    """The matrix product, batched over leading axes, as np.matmul.

    >>> matmul([[1.0, 2.0]], [[3.0], [4.0]])
    Tensor([[11.]])
    """
    return products.matmul(*promoted(a, b))


def einsum(subscripts: str, *operands: TensorLike) -> Tensor:
    """A sum of products in Einstein's notation, as np.einsum.

    >>> einsum("ii->", [[1.0, 2.0], [3.0, 4.0]])
    Tensor(5.0)
    """
    return products.einsum(subscripts, *promoted(*operands))


# Shapes
def reshape(x: TensorLike, shape: int | Sequence[int]) -> Tensor:
    """The same elements in another shape; one size may be -1."""
    return as_tensor(x).reshape(shape)


def transpose(x: TensorLike, axes: Sequence[int] | None = None) -> Tensor:
    """The axes in the order `axes` (None: reversed)."""
    return shaping.transpose(as_tensor(x), axes)


def moveaxis(x: TensorLike, source: int, destination: int) -> Tensor:
    """The axis `source` moved to the place `destination`."""
    x = as_tensor(x)
    start, end = (shaping.normalized(axis, x.ndim, "moveaxis", x) for axis in (source, destination))
    order = [i for i in range(x.ndim) if i != start]
    order.insert(end, start)
    return x.transpose(order)


def swapaxes(x: TensorLike, a: int, b: int) -> Tensor:
    """Two axes exchanged."""
    x = as_tensor(x)
    order = list(range(x.ndim))
    i, j = shaping.normalized(a, x.ndim, "swapaxes", x), shaping.normalized(b, x.ndim, "swapaxes", x)
    order[i], order[j] = j, i
    return x.transpose(order)


def broadcast_to(x: TensorLike, shape: Sequence[int]) -> Tensor:
    """x repeated along new axes, and axes of size 1, to `shape`."""
    return shaping.broadcast_to(as_tensor(x), shape)


def expand_dims(x: TensorLike, axis: int) -> Tensor:
    """x with a new axis of size 1 at `axis` of the result."""
    x = as_tensor(x)
    place = shaping.normalized(axis, x.ndim + 1, "expand_dims", x)
    return x.reshape((*x.shape[:place], 1, *x.shape[place:]))


def squeeze(x: TensorLike, axis: Axis = None) -> Tensor:
    """x without its axes of size 1 (or those in `axis`)."""
    x = as_tensor(x)
    found = [i for i in shaping.axes_of(x, axis, "squeeze") if axis is not None or x.shape[i] == 1]
    if any(x.shape[i] != 1 for i in found):
        raise ShapeError(
            explain(shaping.call_site("squeeze", x), f"{shaping.shapes_of(x)}, axis {axis}", "its size is not 1")
        )
    return x.reshape([n for i, n in enumerate(x.shape) if i not in found])


def concatenate(tensors: Sequence[TensorLike], axis: int = 0) -> Tensor:
    """The tensors one after another along `axis`; all other sizes must agree.

    >>> concatenate([[1.0, 2.0], [3.0]])
    Tensor([1., 2., 3.])
    """
    parts = _several("concatenate", tensors)
    place = shaping.normalized(axis, parts[0].ndim, "concatenate", *parts)
    rests = {(x.ndim, x.shape[:place], x.shape[place + 1 :]) for x in parts}
    if len(rests) != 1:
        raise ShapeError(
            explain(
                shaping.call_site("concatenate", *parts),
                shaping.shapes_of(*parts),
                f"sizes differ outside axis {place}",
            )
        )
    return _axes.concatenate(*parts, axis=place)


def stack(tensors: Sequence[TensorLike], axis: int = 0) -> Tensor:
    """The tensors, all of one shape, one after another along a new axis `axis`.

    >>> stack([[1, 2], [3, 4]], axis=1)
    Tensor([[1, 3],
            [2, 4]])
    """
    parts = _several("stack", tensors)
    if len({x.shape for x in parts}) != 1:
        raise ShapeError(explain(shaping.call_site("stack", *parts), shaping.shapes_of(*parts), "the shapes differ"))
    place = shaping.normalized(axis, parts[0].ndim + 1, "stack", *parts)
    return concatenate([expand_dims(x, place) for x in parts], place)


def _several(called: str, tensors: Sequence[TensorLike]) -> list[Tensor]:
    if isinstance(tensors, Tensor) or not len(tensors):
        raise ShapeError(explain(called, f"{tensors!r}", "a list of one or more tensors is needed"))
    return promoted(*(as_tensor(x) for x in tensors))


def split(x: TensorLike, sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """x cut along `axis` into so many equal parts, or at the given indices, as np.split.

    >>> split([1, 2, 3, 4], 2), split([1, 2, 3, 4], [1])
    ([Tensor([1, 2]), Tensor([3, 4])], [Tensor([1]), Tensor([2, 3, 4])])
    """
    x = as_tensor(x)
    place = shaping.normalized(axis, x.ndim, "split", x)
    n = x.shape[place]
    if isinstance(sections, int):
        if sections < 1 or n % sections:
            raise ShapeError(
                explain(
                    shaping.call_site("split", x),
                    f"{shaping.shapes_of(x)}, {sections} sections",
                    f"axis {place} has {n} elements, which do not divide evenly",
                )
            )
        sections = [n // sections * i for i in range(1, sections)]
    bounds = [0, *sections, n]
    lead = (slice(None),) * place
    return [x[(*lead, slice(a, b))] for a, b in itertools.pairwise(bounds)]


def flip(x: TensorLike, axis: Axis = None) -> Tensor:
    """The elements in reverse order along `axis` (None: along all)."""
    x = as_tensor(x)
    return _axes.flip(x, axes=shaping.axes_of(x, axis, "flip"))


def pad(x: TensorLike, width: int | Sequence[Any], mode: str = "constant", value: float = 0.0) -> Tensor:
    """x with `width` more elements at the ends of its axes, as np.pad.

    Args:
        width: a number, (before, after), or one (before, after) for every axis.
        mode: "constant", or "edge", "reflect", "symmetric", "wrap", which repeat elements of x.
        value: what "constant" puts there.

    >>> pad([1, 2, 3], (1, 2)), pad([1, 2, 3], 2, mode="reflect")
    (Tensor([0, 1, 2, 3, 0, 0]), Tensor([3, 2, 1, 2, 3, 2, 1]))
    """
    x = as_tensor(x)
    widths = np.broadcast_to(np.asarray(width, int), (x.ndim, 2))
    if (widths < 0).any():
        raise ShapeError(explain(shaping.call_site("pad", x), f"width {width}", "a width is not negative"))
    if mode == "constant" or not x.ndim:
        low, high = (tuple(int(n) for n in column) for column in widths.T)
        y = _axes.pad(x, low=low, high=high, inner=(0,) * x.ndim)
        if value == 0 or not widths.any():
            return y
        return where(np.pad(np.ones(x.shape, bool), widths), y, np.asarray(value, x.dtype))
    if mode not in ("edge", "reflect", "symmetric", "wrap"):
        raise OptionError(explain("pad", f"mode {mode!r}", "it is constant, edge, reflect, symmetric or wrap"))
    for axis, ends in enumerate(widths):
        x = take(x, np.pad(np.arange(x.shape[axis]), ends, mode=mode), axis)  # type: ignore[call-overload]
    return x


# Positions
def take(x: TensorLike, indices: TensorLike, axis: int | None = None) -> Tensor:
    """The elements of x at `indices` along `axis` (None: of x flattened); they replace that axis, as np.take.

    Raises ShapeError for an index out of range when it is evaluated.

    >>> take([[1, 2], [3, 4], [5, 6]], [2, 0], axis=0)
    Tensor([[5, 6],
            [1, 2]])
    """
    x = as_tensor(x)
    x, axis = (x.reshape(-1), 0) if axis is None else (x, axis)
    place = shaping.normalized(axis, x.ndim, "take", x)
    return _gather.gather(x, _indices("take", indices), axis=place, batch=0)


gather = take


def take_along_axis(x: TensorLike, indices: TensorLike, axis: int = -1) -> Tensor:
    """For every place of `indices` the element of x at that index along `axis`, as np.take_along_axis.

    >>> take_along_axis([[1, 2], [3, 4]], [[1], [0]], axis=1)
    Tensor([[2],
            [3]])
    """
    x, found = as_tensor(x), _indices("take_along_axis", indices)
    place = shaping.normalized(axis, x.ndim, "take_along_axis", x)
    if found.ndim != x.ndim or any(
        n != m for i, (n, m) in enumerate(zip(x.shape, found.shape, strict=False)) if i != place
    ):
        raise ShapeError(
            explain(
                shaping.call_site("take_along_axis", x, found),
                shaping.shapes_of(x, found),
                f"the shapes differ outside axis {place}",
            )
        )
    last = x.ndim - 1
    y = _gather.gather(moveaxis(x, place, last), moveaxis(found, place, last), axis=last, batch=last)
    return moveaxis(y, last, place)


def scatter_add(x: TensorLike, indices: TensorLike, updates: TensorLike, axis: int = 0) -> Tensor:
    """x with `updates` added at `indices` along `axis`; what falls on one place adds up.

    Args:
        x: (..., n, ...), n elements along `axis`.
        indices: integers in [-n, n), any shape I.
        updates: as x, with I in place of that axis.

    >>> scatter_add([0.0, 0.0, 0.0], [2, 0, 2], [1.0, 5.0, 10.0])
    Tensor([ 5.,  0., 11.])
    """
    base, added = promoted(as_tensor(x), as_tensor(updates))
    found = _indices("scatter_add", indices)
    place = shaping.normalized(axis, base.ndim, "scatter_add", base)
    wanted = (*base.shape[:place], *found.shape, *base.shape[place + 1 :])
    added = shaping.broadcast_to(added, wanted, "scatter_add")
    return base + _gather.scatter_add(added, found, axis=place, batch=0, size=base.shape[place])


def _indices(called: str, indices: TensorLike) -> Tensor:
    found = as_tensor(
        np.zeros(np.shape(indices), int) if isinstance(indices, list) and not np.size(indices) else indices
    )
    if found.dtype.kind not in "iu":
        raise DTypeError(explain(shaping.call_site(called, found), f"indices of {found.dtype}", "indices are integers"))
    return found


def one_hot(labels: TensorLike, classes: int, dtype: DTypeLike = np.float64) -> Tensor:
    """For every label a row of `classes` numbers: 1 at the label, else 0.

    >>> one_hot([1, 0], 2)
    Tensor([[0., 1.],
            [1., 0.]])
    """
    found = _indices("one_hot", labels)
    return (expand_dims(found, found.ndim) == np.arange(classes)).astype(dtype)


def zeros_like(x: TensorLike) -> Tensor:
    """Zeros of the shape and dtype of x."""
    return _elementwise.zeros_like(as_tensor(x))


def ones_like(x: TensorLike) -> Tensor:
    """Ones of the shape and dtype of x."""
    return _elementwise.ones_like(as_tensor(x))


def _ones(shape: Sequence[int], like: Tensor) -> Tensor:
    return as_tensor(np.ones(tuple(shape), checked(like.dtype)))


# NumPy's functions of the same names, called on tensors, are these.
dispatch.OURS.update({getattr(np, name): globals()[name] for name in __all__ if hasattr(np, name)})
dispatch.OURS.update({np.shape: lambda x: x.shape, np.ndim: lambda x: x.ndim, np.size: lambda x: x.size})
dispatch.OURS[np.positive] = as_tensor
dispatch.NAMES.extend(__all__)
