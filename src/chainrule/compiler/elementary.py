"""Elementary functions said in the scalar vocabulary, so that they fuse and run in vectors of any width.

All are within 2 ulp over their whole range in float32 and float64. Each cuts its argument down to a short interval,
takes a polynomial there (see `coefficients`), and puts the result together; a choice between cases is a `where`.
The tricks are those of FDLIBM (Sun, 1993), of Dekker (1971) for sums and products in two parts, and of Cody and Waite
(1980) for taking a multiple of a constant away. Rounding is relied upon, so the operations are the exact ones: none is
fused, none reordered, and a product and a sum that are one instruction say so (`fma`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.compiler.angles import FAR
from chainrule.compiler.coefficients import (
    COS,
    ERF,
    EXP,
    LN2,
    LOG,
    LOG_ERFC,
    LOG_TAIL,
    PI_HALVES,
    SIN,
    TWO_THIRDS,
)
from chainrule.dtypes import DType
from chainrule.formula import Expr
from chainrule.formula import where as choose

__all__ = ["ELEMENTARY"]

_F64 = np.dtype("float64")
_I64 = np.dtype("int64")
_EXACT = ("add", "subtract", "multiply", "divide")


class Number(Expr):
    """A scalar whose operations are rounded one by one: nothing is fused or reordered."""

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Number:
        found = super().__array_ufunc__(ufunc, method, *inputs, **kwargs)
        exact = found.op in _EXACT and found.dtype.kind == "f"
        return Number("exact_" + found.op if exact else found.op, found.args, found.dtype)

    def astype(self, dtype: DType, copy: bool = True) -> Number:
        """This number in another dtype."""
        return Number("cast", (self,), np.dtype(dtype))


def _same(x: Expr) -> Number:
    return Number("cast", (x,), x.dtype)


def _where(condition: Expr, a: Any, b: Any) -> Number:
    found = choose(condition, a, b)
    return Number(found.op, found.args, found.dtype)


def _fma(a: Any, b: Any, c: Any) -> Number:
    """a b + c, rounded once."""
    return _apply("fma", a, b, c)


def _apply(op: str, *args: Any) -> Number:
    dtype = next(x.dtype for x in args if isinstance(x, Expr))
    known = [x if isinstance(x, Expr) else Number("const", (), dtype, dtype.type(x).item()) for x in args]
    return Number(op, tuple(known), dtype)


def _bits(x: Expr) -> Number:
    return Number("bits", (x,), np.dtype(f"int{8 * x.dtype.itemsize}"))


def _number(bits: Expr) -> Number:
    return Number("from_bits", (bits,), np.dtype(f"float{8 * bits.dtype.itemsize}"))


def _with_sign(size: Number, sign: Number) -> Number:
    return _apply("copysign", size, sign)


def _polynomial(coefficients: Sequence[float], x: Number) -> Number:
    """Horner's rule in x^2 on the even and on the odd coefficients, which run side by side."""
    squared = x * x
    even, odd = (_horner(coefficients[k::2], squared) for k in (0, 1))
    return _fma(odd, x, even)


def _horner(coefficients: Sequence[float], x: Number) -> Any:
    found: Any = coefficients[-1]
    for c in coefficients[-2::-1]:
        found = _fma(x, found, c)
    return found


def _size(x: Expr) -> int:
    """The place of a dtype in the tables of coefficients."""
    return int(x.dtype == _F64)


def _mantissa(x: Expr) -> int:
    """The number of bits behind the point."""
    return 52 if _size(x) else 23


def _bias(x: Expr) -> int:
    return 1023 if _size(x) else 127


def _rounder(x: Expr) -> float:
    """A number so large that adding it rounds to an integer, which then stands in the lowest bits."""
    return 1.5 * 2.0 ** _mantissa(x)


def _integer(rounded: Number) -> Number:
    """The integer in the lowest bits of a number to which `_rounder` was added."""
    return _bits(rounded) - int(np.asarray(_rounder(rounded), rounded.dtype).view(f"i{rounded.dtype.itemsize}"))


def _power_of_two(k: Number, like: Expr) -> Number:
    return _number((k + _bias(like)) << _mantissa(like))


def _sum(a: Any, b: Any) -> tuple[Number, Number]:
    """a + b and its rounding error, where |a| >= |b| or a = 0. Dekker (1971)."""
    high = a + b
    return high, b - (high - a)


def _product(a: Number, b: Any) -> tuple[Number, Number]:
    """a b and its rounding error."""
    high = a * b
    return high, _fma(a, b, -high)


# Exponentials
def _reduced(x: Number) -> tuple[Number, Number, Number]:
    """k, r and c with x = k ln(2) + r + c, where r + c is at most ln(2) / 2 in size and c the rounding error of r."""
    high, low = LN2[_size(x)]
    rounded = _fma(x, 1 / np.log(2), _rounder(x))
    n = rounded - _rounder(x)
    first = _fma(n, -high, x)
    r = _fma(n, -low, first)
    return _integer(rounded), r, _fma(n, -low, first - r)


def _scaled(x: Number, k: Number) -> Number:
    """x 2^k in two steps, so that only the last rounds (below the smallest normal number)."""
    half = k >> 1
    return x * _power_of_two(half, x) * _power_of_two(k - half, x)


def _within(x: Number) -> Number:
    """x where exp(x) neither is 0 nor overflows; beyond, a number for which it still does."""
    low, high = (-746, 710) if _size(x) else (-104, 89)
    return _apply("minimum", _apply("maximum", x, low), high)


def _exp(x: Number) -> Number:
    k, r, _ = _reduced(_within(x))
    return _scaled(1 + _fma(r * r, _polynomial(EXP[_size(x)], r), r), k)


def _expm1(x: Number) -> Number:
    """2^k (1 + e) - 1 = 2 (h r + (h - 1/2) + h tail) with h = 2^(k - 1), exp(r) - 1 = r + tail."""
    lowest = -40 if _size(x) else -20  # from there on -1
    k, r, c = _reduced(_apply("maximum", _within(x), lowest))
    tail = _fma(r * r, _polynomial(EXP[_size(x)], r), c)
    h = _power_of_two(k - 1, x)
    high, low = _sum(h - 0.5, h * r)
    tiny = np.absolute(x) < 2.0 ** -(_mantissa(x) + 2)
    return _where(tiny, x, 2 * (high + _fma(h, tail, low)))


def _quotient(a: Number, b: Number, b_low: Number) -> Number:
    """a / (b + b_low), rounded nearly correctly."""
    inverse = 1 / b
    first = a * inverse
    rest = _fma(-first, b_low, _fma(-first, b, a))
    return _fma(rest, inverse, first)


def _sigmoid(x: Number) -> Number:
    e = _exp(-np.absolute(x))
    return _quotient(_where(x < 0, e, 1), *_sum(1, e))


def _tanh(x: Number) -> Number:
    """e / (e + 2) with e = exp(2 |x|) - 1; for larger x, 1 - 2 / (e + 2)."""
    size = np.absolute(x)
    e = _expm1(2 * _apply("minimum", size, 22))
    large = size > 0.5
    found = _quotient(_where(large, 2, e), *_sum(2, e))
    return _with_sign(_where(large, 1 - found, found), x)


# Logarithms
def _split(x: Number) -> tuple[Number, Number]:
    """k and m with x = 2^k m, sqrt(1/2) <= m < sqrt(2), for a positive finite x."""
    bits, shift = _bits(x), _mantissa(x)
    root = int(np.asarray(np.sqrt(0.5), x.dtype).view(f"i{x.dtype.itemsize}"))
    above = bits - root
    k = above >> shift
    return k, _number(bits - (k << shift))


def _float(k: Number, like: Number) -> Number:
    """An integer as a float (through its bits: not every machine converts vectors of 64-bit integers)."""
    rounder = _rounder(like)
    return _number(k + int(np.asarray(rounder, like.dtype).view(f"i{like.dtype.itemsize}"))) - rounder


def _normal(x: Number) -> tuple[Number, Any]:
    """x 2^s, which is not below the smallest normal number, and s."""
    shift = _mantissa(x) + 2
    small = x < float(np.finfo(x.dtype).tiny)
    zero = Number("const", (), np.dtype(f"int{8 * x.dtype.itemsize}"), 0)
    return _where(small, x * 2.0**shift, x), _where(small, zero + shift, zero)


def _log_of(f: Number, k: Number) -> Number:
    """log(2^k (1 + f)) = k ln(2) + f - (h - s (h + R)), with s = f / (2 + f), h = f^2 / 2, and R from s^2."""
    high, low = LN2[_size(f)]
    s = f / (2 + f)
    z = s * s
    h = 0.5 * f * f
    rest = z * _polynomial(LOG[_size(f)], z)
    n = _float(k, f)
    return _fma(n, high, f - (h - _fma(s, h + rest, n * low)))


def _at_ends(x: Number, found: Number) -> Number:
    """The logarithm `found` of x, put right for x = 0, below 0, infinity and NaN."""
    found = _where(x < np.inf, found, x)
    return _where(x > 0, found, _where(x == 0, -np.inf, np.nan + x))


def _log(x: Number) -> Number:
    normal, shift = _normal(x)
    k, m = _split(normal)
    return _at_ends(x, _log_of(m - 1, k - shift))


def _log1p(x: Number) -> Number:
    """log(u) for u = 1 + x, with the rounding error of u taken back into f = u / 2^k - 1."""
    u = 1 + x
    back = u - x
    lost = (x - (u - back)) + (1 - back)
    k, m = _split(u)
    near = _apply("minimum", k, _mantissa(x) + 10)  # beyond, `lost` does not count
    f = _fma(_power_of_two(-near, x), lost, m - 1)
    found = _at_ends(u, _log_of(f, k))
    return _where(np.absolute(x) < 2.0 ** -(_mantissa(x) + 2), x, found)


# The error function
def _erf(x: Number) -> Number:
    """x + x P(x^2) for |x| <= 1; beyond, 1 - exp(Q(x - 1))."""
    size = np.absolute(x)
    near = _fma(x, _polynomial(ERF[_size(x)], x * x), x)
    t = _apply("minimum", size, 6.0 if _size(x) else 4.0) - 1
    far = 1 - _exp(_polynomial(LOG_ERFC[_size(x)], t))
    return _where(size > 1, _with_sign(far, x), near)


# Angles
def _angle(x: Number) -> tuple[Number, Number, Number]:
    """n, r and c with x = n pi / 2 + r + c, |r| <= pi / 4 (n modulo 4), in float64."""
    a, b, d = PI_HALVES
    rounded = _fma(x, 2 / np.pi, _rounder(x))
    n = rounded - _rounder(x)
    first = _fma(n, -a, x)  # exact
    w, w_low = _product(n, b)
    r = first - w
    back = r - first
    error = (first - (r - back)) - (w + back)
    far, turn = np.absolute(x) > FAR, Number("far_turn", (x,), _F64)
    r = _where(far, Number("far_angle", (turn,), _F64), r)
    c = _where(far, 0, _fma(n, -d, error - w_low))
    return _where(far, Number("far_quarter", (turn,), _I64), _integer(rounded)), r, c


def _short_angle(x: Number) -> tuple[Number, Number]:
    """n and r as in `_angle`, for a float32 given as a float64: digits enough in one number."""
    rounded = _fma(x, 2 / np.pi, _rounder(x))
    n = rounded - _rounder(x)
    r = _fma(n, -PI_HALVES[1], _fma(n, -PI_HALVES[0], x))
    far, turn = np.absolute(x) > FAR, Number("far_turn", (x,), _F64)
    r = _where(far, Number("far_angle", (turn,), _F64), r)
    return _where(far, Number("far_quarter", (turn,), _I64), _integer(rounded)), r


def _waves(x: Number) -> tuple[Number, Number, Number]:
    """n, sin(r) and cos(r) for x = n pi / 2 + r, in float64."""
    if not _size(x):
        n, r = _short_angle(x.astype(_F64))
        z = r * r
        return n, _fma(z * r, _polynomial(SIN[0], z), r), _fma(z * z, _polynomial(COS[0], z), 1 - 0.5 * z)
    n, r, c = _angle(x)
    z, half = r * r, 0.5 * r * r
    first = 1 - half
    sine = r + _fma(z * r, _polynomial(SIN[1], z), _fma(-half, c, c))
    return n, sine, first + (((1 - first) - half) + _fma(z * z, _polynomial(COS[1], z), -(r * c)))


def _wave(turned: int) -> Callable[[Number], Number]:
    """The sine, or the sine `turned` a quarter ahead: the cosine."""

    def wave(x: Number) -> Number:
        n, sine, cosine = _waves(x)
        n = n + turned
        found = _where((n & 1) == 0, sine, cosine)
        found = _where((n & 2) == 0, found, -found).astype(x.dtype)
        found = _where(np.absolute(x) < np.inf, found, x - x)
        return found if turned else _where(np.absolute(x) < 2.0**-30, x, found)

    return wave


# Powers
def _log_in_two(x: Number) -> tuple[Number, Number]:
    """log(x) as a sum of two numbers, good to about 2^-66 of it, for positive finite x."""
    normal, shift = _normal(x)
    k, m = _split(normal)
    f, d = m - 1, m + 1
    d_low = m - (d - 1)
    inverse = 1 / d
    s = f * inverse
    s_low = _fma(-s, d_low, _fma(-s, d, f)) * inverse
    z, z_low = _product(s, s)
    z_low = _fma(2 * s, s_low, z_low)
    third, third_low = TWO_THIRDS
    a, a_low = _sum(third, z * _polynomial(LOG_TAIL, z))
    a_low = a_low + third_low
    t, t_low = _product(s, z)
    t_low = t_low + _fma(s, z_low, s_low * z)
    u, u_low = _product(t, a)
    u_low = u_low + _fma(t, a_low, t_low * a)
    high, low = _sum(2 * s, u)
    low = low + _fma(2, s_low, u_low)
    n = _float(k - shift, x)
    first, second = LN2[1]
    total, rest = _sum(n * first, high)
    return _sum(total, rest + _fma(n, second, low))


def _exp_of_two(high: Number, low: Number) -> Number:
    """exp(high + low), where low is small against high."""
    near = _within(high)
    low = _where(np.absolute(high) < 745.5, low, 0)
    k, r, c = _reduced(near)
    r, tail = _sum(r, c + low)
    one, rest = _sum(1, r)
    return _scaled(one + (rest + _fma(r * r, _polynomial(EXP[1], r), tail)), k)


def _power_of_size(x: Number, y: Number) -> Number:
    """x^y for x >= 0, but for what does not depend on x or y at all."""
    if not _size(x):  # float64 has digits enough in one number
        return _exp(y.astype(_F64) * _log(x.astype(_F64))).astype(x.dtype)
    log, log_low = _log_in_two(x)
    log = _where(x < np.inf, log, x)
    log = _where(x == 0, -np.inf, log)
    high, low = _product(y, log)
    return _exp_of_two(high, _fma(y, log_low, low))


def _power(x: Number, y: Number) -> Number:
    """x^y as C99 and NumPy define it."""
    size, half = np.absolute(x), 0.5 * y
    whole = _apply("round", y) == y
    odd = np.logical_and(whole, _apply("round", half) != half)
    found = _power_of_size(size, y)
    found = _where(np.logical_and(odd, _bits(x) < 0), -found, found)
    undefined = np.logical_and(np.logical_and(x < 0, x > -np.inf), np.logical_not(whole))
    found = _where(undefined, np.nan, found)
    alone = np.logical_or(np.logical_or(y == 0, x == 1), np.logical_and(size == 1, np.absolute(y) == np.inf))
    return _where(alone, 1, found)


def _known(function: Callable[..., Number]) -> Callable[..., Expr]:
    return lambda *args: function(*(_same(x) for x in args))


ELEMENTARY: dict[str, Callable[..., Expr]] = {
    "exp": _known(_exp), "expm1": _known(_expm1), "log": _known(_log), "log1p": _known(_log1p), "tanh": _known(_tanh),
    "sigmoid": _known(_sigmoid), "erf": _known(_erf), "sin": _known(_wave(0)), "cos": _known(_wave(1)),
    "power": _known(_power),
}  # fmt: skip
