"""Element-wise operations: value and partial derivatives, one line each.

Inputs have one shape and (but for `where` and `cast`) one dtype: tensors' operators expand and cast before. Where a
function has a kink, the subgradient is chosen as the comment says, and the tests hold it to that.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.formula import Expr, elementwise
from chainrule.primitive import Linear, Primitive, constant, same_dtype, same_shape, smooth

BOOL = np.dtype("bool")
_LARGE = 2**12  # elements


def _is_bool(*dtypes: Any, **_: Any) -> np.dtype[Any]:
    same_dtype(*dtypes)
    return BOOL


def _mask(condition: Any, like: Any) -> Any:
    return cast(condition, dtype=like.dtype)


def _sigmoid(x: Any) -> Any:
    if isinstance(x, Expr):
        return Expr("sigmoid", (x,), x.dtype)
    e = np.exp(-np.abs(x))  # never overflows
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e)).astype(x.dtype, copy=False)


def _erf(x: Any) -> Any:
    if isinstance(x, Expr):
        return Expr("erf", (x,), x.dtype)
    found: Any = np.frompyfunc(math.erf, 1, 1)(x)
    return np.asarray(found, dtype=x.dtype)


# Arithmetic
add = smooth("add", np.add, lambda y, a, b: 1, lambda y, a, b: 1)
subtract = smooth("subtract", np.subtract, lambda y, a, b: 1, lambda y, a, b: -1)
multiply = smooth("multiply", np.multiply, lambda y, a, b: b, lambda y, a, b: a)
divide = smooth("divide", np.divide, lambda y, a, b: 1 / b, lambda y, a, b: -y / b)
negative = smooth("negative", np.negative, lambda y, x: -1)
# where a = 0, d/db is 0 (the limit for b > 0), and not the NaN of 0 * log(0); so is d/da for b = 0
power = smooth("power", np.power, lambda y, a, b: b * a ** _one_less(a, b),
               lambda y, a, b: y * log(where(equal(a, zeros_like(a)), ones_like(a), a)))  # fmt: skip
# x ** n for a number n: exact at x = 0 to every order, since the rule ends at n = 0
power_of = smooth("power_of", lambda x, *, exponent: x**exponent,
                  lambda y, x, *, exponent: exponent * x ** (exponent - 1) if exponent else 0)  # fmt: skip

# Exponentials, roots, trigonometry
exp = smooth("exp", np.exp, lambda y, x: y)
expm1 = smooth("expm1", np.expm1, lambda y, x: y + 1)
log = smooth("log", np.log, lambda y, x: 1 / x)
log1p = smooth("log1p", np.log1p, lambda y, x: 1 / (1 + x))
sqrt = smooth("sqrt", np.sqrt, lambda y, x: 0.5 / y)
sin = smooth("sin", np.sin, lambda y, x: cos(x))
cos = smooth("cos", np.cos, lambda y, x: -sin(x))
tanh = smooth("tanh", np.tanh, lambda y, x: 1 - y * y)
sigmoid = smooth("sigmoid", _sigmoid, lambda y, x: y * (1 - y))
softplus = smooth("softplus", lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), lambda y, x: sigmoid(x))
erf = smooth("erf", _erf, lambda y, x: (2 / math.sqrt(math.pi)) * exp(-x * x))

# With kinks
absolute = smooth("abs", np.abs, lambda y, x: sign(x))  # 0 at 0
# 0 at 0
relu = smooth("relu", lambda x: np.maximum(x, x.dtype.type(0)), lambda y, x: _mask(greater(x, zeros_like(x)), x))
maximum = smooth("maximum", np.maximum, lambda y, a, b: _share(a, b), lambda y, a, b: _share(b, a))  # ties: half each
minimum = smooth("minimum", np.minimum, lambda y, a, b: _share(b, a), lambda y, a, b: _share(a, b))  # ties: half each
# at a bound the gradient belongs to x
clip = smooth("clip", np.clip,
              lambda y, x, low, high: _mask(logical_and(x >= low, x <= high), x),
              lambda y, x, low, high: _mask(logical_and(x < low, low <= high), x),
              lambda y, x, low, high: _mask(logical_or(x > high, low > high), x))  # fmt: skip

# Piecewise constant: nothing flows
sign = smooth("sign", np.sign)
floor = smooth("floor", np.floor)
equal = smooth("equal", np.equal, dtype=_is_bool)
not_equal = smooth("not_equal", np.not_equal, dtype=_is_bool)
less = smooth("less", np.less, dtype=_is_bool)
less_equal = smooth("less_equal", np.less_equal, dtype=_is_bool)
greater = smooth("greater", np.greater, dtype=_is_bool)
greater_equal = smooth("greater_equal", np.greater_equal, dtype=_is_bool)
logical_and = smooth("logical_and", np.logical_and, dtype=_is_bool)
logical_or = smooth("logical_or", np.logical_or, dtype=_is_bool)
logical_not = smooth("logical_not", np.logical_not, dtype=_is_bool)
isfinite = smooth("isfinite", np.isfinite, dtype=_is_bool)


def _one_less(a: Any, b: Any) -> Any:
    """b - 1, but 0 where a and b are both 0, so that b * a ** (b - 1) is the 0 that it tends to."""
    both = logical_and(equal(a, zeros_like(a)), equal(b, zeros_like(b)))
    return where(both, zeros_like(b), b - 1)


def _share(a: Any, b: Any) -> Any:
    """What a gets of the gradient of maximum(a, b)."""
    half = constant(a, filled(0.5, a.shape, a.dtype))
    return where(equal(a, b), half, _mask(greater(a, b), a))


def zeros_like(x: Any) -> Any:
    """Zeros of the shape and dtype of `x`."""
    return constant(x, filled(0, x.shape, x.dtype))


def ones_like(x: Any) -> Any:
    """Ones of the shape and dtype of `x`."""
    return constant(x, filled(1, x.shape, x.dtype))


def filled(number: float, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """An array of one number, read-only if it is large: then its elements are one element, which takes no memory."""
    if math.prod(shape) < _LARGE:
        return np.full(shape, number, dtype)
    return np.broadcast_to(np.array(number, dtype), shape)


where = Primitive(
    "where",
    shape=lambda *shapes: same_shape(*shapes),
    evaluate=np.where,
    derivative=Linear(lambda g, c, a, b: (where(c, g, zeros_like(g)), where(c, zeros_like(g), g)), operands=(1, 2)),
    batch=lambda n: {},
    dtype=lambda c, a, b: same_dtype(a, b),
    lower=elementwise(np.where),
)
cast = Primitive(
    "cast",
    shape=lambda shape, *, dtype: shape,
    evaluate=lambda x, *, dtype: np.asarray(x).astype(dtype),
    derivative=Linear(lambda g, x, *, dtype: cast(g, dtype=x.dtype)),
    batch=lambda n, *, dtype: {"dtype": dtype},
    dtype=lambda x, *, dtype: dtype,
    lower=elementwise(lambda x, *, dtype: x.astype(dtype)),
)
# the same value as a node of its own: what `grad` differentiates for, so that nested derivatives do not mix
alias = smooth("alias", lambda x: x, lambda y, x: 1)
stop_gradient = smooth("stop_gradient", lambda x: x)


def _ndtri(p: np.ndarray) -> Any:
    p64 = p.astype(np.float64)
    q = p64 - 0.5
    central = q * _ratio(0.180625 - q * q, _CENTRAL)
    r = np.sqrt(-np.log(np.minimum(p64, 1 - p64)))
    tail = np.where(r <= 5, _ratio(r - 1.6, _MIDDLE), _ratio(r - 5, _FAR))
    tail = np.where(r == np.inf, np.inf, tail)
    return np.where(np.abs(q) <= 0.425, central, np.sign(q) * tail).astype(p.dtype)


def _ratio(r: Any, table: tuple[tuple[float, ...], tuple[float, ...]]) -> Any:
    return _polynomial(table[0], r) / _polynomial(table[1], r)


def _polynomial(coefficients: tuple[float, ...], x: Any) -> Any:
    """Horner's rule, highest power first."""
    y = coefficients[0]
    for c in coefficients[1:]:
        y = y * x + c
    return y


# Wichura (1988), algorithm AS 241, PPND16: relative accuracy about 1e-16; highest power first
_CENTRAL = (
    (2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457,
     13731.693765509461125, 1971.5909503065514427, 133.14166789178437745, 3.387132872796366608),
    (5226.495278852854561, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867,
     5394.1960214247511077, 687.1870074920579083, 42.313330701600911252, 1.0),
)  # fmt: skip
_MIDDLE = (
    (7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177, 1.27045825245236838258,
     3.64784832476320460504, 5.7694972214606914055, 4.6303378461565452959, 1.42343711074968357734),
    (1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966, 0.14810397642748007459,
     0.68976733498510000455, 1.6763848301838038494, 2.05319162663775882187, 1.0),
)  # fmt: skip
_FAR = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 0.0012426609473880784386, 0.026532189526576123093,
     0.29656057182850489123, 1.7848265399172913358, 5.4637849111641143699, 6.6579046435011037772),
    (2.04426310338993978564e-15, 1.4215117583164458887e-7, 1.8463183175100546818e-5, 7.868691311456132591e-4,
     0.0148753612908506148525, 0.13692988092273580531, 0.59983220655588793769, 1.0),
)  # fmt: skip
# the quantile function of the standard normal distribution
ndtri = smooth("ndtri", _ndtri, lambda y, x: math.sqrt(2 * math.pi) * exp(0.5 * y * y))
