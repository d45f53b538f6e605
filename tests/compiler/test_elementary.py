"""The compiler's own elementary functions against longer arithmetic: at most 2 ulp, over the whole range."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

import chainrule.primitives.elementwise as elementwise
from chainrule.compiler.runtime import CompiledProgram
from chainrule.tensor import Tensor

LONG = np.longdouble
FLOATS = ("float32", "float64")
LIMIT = 2.0  # ulp


def _exactly(function: Callable[[Any], Any]) -> Callable[[np.ndarray], np.ndarray]:
    """A function of mpmath on an array, to more digits than a long double holds."""

    def one(x: float) -> Any:
        if x != x:
            return LONG(x)
        fraction, exponent = mpmath.frexp(function(mpmath.mpf(x)))
        high = float(fraction)
        return np.ldexp(LONG(high) + LONG(float(fraction - high)), int(exponent))

    def of(x: np.ndarray) -> np.ndarray:
        with mpmath.workprec(160):
            return np.array([one(float(v)) for v in x], LONG)

    return of


def _sigmoid(x: np.ndarray) -> Any:
    return 1 / (1 + np.exp(-x))


def _softplus(x: np.ndarray) -> Any:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


# glibc's long double functions are good to 1 ulp of 64 bits: 0.001 ulp of float64
REFERENCE: dict[str, Callable[[np.ndarray], Any]] = {
    "exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "tanh": np.tanh, "sin": np.sin, "cos": np.cos,
    "sigmoid": _sigmoid, "softplus": _softplus, "erf": _exactly(mpmath.erf),
}  # fmt: skip
TRUTH = {
    name: getattr(mpmath, name) for name in ("exp", "expm1", "log", "log1p", "tanh", "sin", "cos", "erf")
} | {
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
}  # fmt: skip
# where the function has most of its values, and where it ends
RANGES = {
    "exp": (-750, 712), "expm1": (-45, 712), "log": (0.4, 2.5), "log1p": (-1, 3), "tanh": (-23, 23), "sin": (-100, 100),
    "cos": (-100, 100), "sigmoid": (-750, 45), "softplus": (-750, 45), "erf": (-6.5, 6.5),
}  # fmt: skip
ENDS = {
    "exp": [709.782712893384, 709.7827128933841, -708.3964185322641, -745.1332191019411, -745.1332191019412,
            88.72283, 88.72284, -87.33655, -103.97208, -103.972083],
    "log": [1.0], "log1p": [-1.0], "sin": [6381956970095103 * 2.0**797], "cos": [6381956970095103 * 2.0**797],
    "erf": [1.0, 5.92, 3.92], "tanh": [0.5], "expm1": [0.34657, -0.34657],
}  # fmt: skip


def compiled(name: str, *arrays: np.ndarray) -> np.ndarray:
    """A primitive's machine code on arrays."""
    program = _program(name, *arrays)
    return program(*arrays)[0]


def _program(name: str, *arrays: np.ndarray) -> CompiledProgram:
    leaves = [Tensor(None, (), {}, x.shape, x.dtype, None, tracked=True) for x in arrays]
    return CompiledProgram(leaves, [getattr(elementwise, name)(*leaves)])


def ulps(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The distance from `wanted` (long double) in units of the last place of found's dtype. NaN must meet NaN."""
    dtype = found.dtype
    with np.errstate(all="ignore"):
        largest = LONG(np.finfo(dtype).max)
        spacing = np.spacing(np.clip(np.abs(wanted), 0, largest).astype(dtype)).astype(LONG)
        top = largest + (largest - np.nextafter(largest.astype(dtype), dtype.type(0)))  # what infinity stands for
        a, b = (np.clip(x.astype(LONG), -top, top) for x in (found, wanted))
        error = np.abs(a - b) / spacing
    both = np.isnan(found) & np.isnan(wanted)
    return np.where(both, 0, np.where(np.isnan(error), np.inf, error)).astype(float)


def points(name: str, dtype: str, count: int) -> np.ndarray:
    """All exponents, denormal numbers, the range where the function bends, and what lies near its ends."""
    rng = np.random.default_rng(7)
    integer = np.dtype(f"int{8 * np.dtype(dtype).itemsize}")
    info = np.iinfo(integer)
    bits = rng.integers(info.min, info.max, count // 2, integer, endpoint=True).view(dtype)
    low, high = RANGES[name]
    inner = rng.uniform(low, high, count // 3).astype(dtype)
    near = (rng.uniform(-1, 1, count // 6) * 2.0 ** rng.uniform(-60, 1, count // 6)).astype(dtype)
    with np.errstate(over="ignore"):
        ends = np.array([*ENDS.get(name, []), 0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan], dtype)
    tiny, largest = np.finfo(dtype).tiny, np.finfo(dtype).max
    small = np.array([np.finfo(dtype).smallest_subnormal, tiny, np.nextafter(tiny, tiny.dtype.type(0)), largest], dtype)
    return np.concatenate([bits, inner, near, ends, small, -small])


def worst(name: str, dtype: str, count: int) -> tuple[float, float]:
    """The largest error in ulp, and where."""
    x = points(name, dtype, count)
    with np.errstate(all="ignore"):
        wanted = np.asarray(REFERENCE[name](x.astype(LONG)))
    error = ulps(compiled(name, x), wanted)
    at = int(np.argmax(error))
    return float(error[at]), float(x[at])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", REFERENCE)
def test_within_two_ulp(name: str, dtype: str) -> None:
    error, at = worst(name, dtype, 20_000)
    assert error <= LIMIT, f"{name} in {dtype} is {error:.3f} ulp off at {at!r}"


@pytest.mark.slow
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", REFERENCE)
def test_within_two_ulp_at_a_million_points(name: str, dtype: str) -> None:
    error, at = worst(name, dtype, 1_000_000)
    assert error <= LIMIT, f"{name} in {dtype} is {error:.3f} ulp off at {at!r}"
    print(f"{name} {dtype}: {error:.3f} ulp at {at!r}")


def _powers(dtype: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Bases over all exponents and near 1, with exponents that bring the result anywhere in the range; integers too."""
    rng = np.random.default_rng(11)
    widest = 745.0 if dtype == "float64" else 104.0
    count //= 3
    far = np.exp(rng.uniform(-0.99, 0.85, count) * widest)
    near = 1 + rng.uniform(-1, 1, count) * 2.0 ** rng.uniform(-45, 0, count)
    base = np.concatenate([far, near]).astype(dtype)
    with np.errstate(divide="ignore"):
        exponent = rng.uniform(-1.05, 1.05, len(base)) * widest / np.abs(np.log(base.astype(np.float64)))
    exponent = np.clip(exponent, -1e30, 1e30).astype(dtype)
    whole = rng.integers(-40, 40, (2, count)).astype(dtype)
    return np.concatenate([base, whole[0]]), np.concatenate([exponent, whole[1]])


def _worst_power(dtype: str, count: int) -> tuple[float, tuple[float, float]]:
    x, y = _powers(dtype, count)
    with np.errstate(all="ignore"):
        error = ulps(compiled("power", x, y), np.power(x.astype(LONG), y.astype(LONG)))
    at = int(np.argmax(error))
    return float(error[at]), (float(x[at]), float(y[at]))


@pytest.mark.parametrize("dtype", FLOATS)
def test_power_within_two_ulp(dtype: str) -> None:
    error, at = _worst_power(dtype, 20_000)
    assert error <= LIMIT, f"power in {dtype} is {error:.3f} ulp off at {at}"


@pytest.mark.slow
@pytest.mark.parametrize("dtype", FLOATS)
def test_power_within_two_ulp_at_a_million_points(dtype: str) -> None:
    error, at = _worst_power(dtype, 1_000_000)
    assert error <= LIMIT, f"power in {dtype} is {error:.3f} ulp off at {at}"
    print(f"power {dtype}: {error:.3f} ulp at {at}")


@pytest.mark.parametrize("dtype", FLOATS)
def test_power_of_special_numbers_is_as_in_c99(dtype: str) -> None:
    least, odd = np.finfo(dtype).smallest_subnormal, 2.0 ** (np.finfo(dtype).nmant + 1) - 1
    some = np.array([0, 1, 2, 0.5, 3, 1.5, np.inf, least, np.finfo(dtype).max, odd, odd + 1], dtype)
    values = np.concatenate([some, -some, np.array([np.nan], dtype)])
    x, y = (v.ravel() for v in np.meshgrid(values, values))
    found = compiled("power", x, y)
    with np.errstate(all="ignore"):
        wanted = np.power(x, y)
        error = ulps(found, np.power(x.astype(LONG), y.astype(LONG)))
    signs = (np.signbit(found) == np.signbit(wanted)) | np.isnan(wanted)
    assert signs.all(), f"the sign of {x[~signs]} ** {y[~signs]}"
    assert error.max() <= LIMIT, f"{x[error.argmax()]} ** {y[error.argmax()]} is {found[error.argmax()]}"
    assert (np.isinf(found) == np.isinf(wanted)).all() and (np.isnan(found) == np.isnan(wanted)).all()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("name", "pairs"), [
    ("exp", [(-np.inf, 0.0), (np.inf, np.inf), (0.0, 1.0), (-0.0, 1.0)]),
    ("expm1", [(-np.inf, -1.0), (np.inf, np.inf), (0.0, 0.0), (-0.0, -0.0)]),
    ("log", [(0.0, -np.inf), (-0.0, -np.inf), (np.inf, np.inf), (-1.0, np.nan), (-np.inf, np.nan), (1.0, 0.0)]),
    ("log1p", [(-1.0, -np.inf), (np.inf, np.inf), (-2.0, np.nan), (-np.inf, np.nan), (0.0, 0.0), (-0.0, -0.0)]),
    ("tanh", [(np.inf, 1.0), (-np.inf, -1.0), (0.0, 0.0), (-0.0, -0.0)]),
    ("sigmoid", [(np.inf, 1.0), (-np.inf, 0.0), (0.0, 0.5)]),
    ("softplus", [(np.inf, np.inf), (-np.inf, 0.0)]),
    ("erf", [(np.inf, 1.0), (-np.inf, -1.0), (0.0, 0.0), (-0.0, -0.0)]),
    ("sin", [(np.inf, np.nan), (-np.inf, np.nan), (0.0, 0.0), (-0.0, -0.0)]),
    ("cos", [(np.inf, np.nan), (-np.inf, np.nan), (0.0, 1.0), (-0.0, 1.0)]),
])  # fmt: skip
def test_special_values(name: str, pairs: list[tuple[float, float]], dtype: str) -> None:
    x, wanted = np.array([*pairs, (np.nan, np.nan)], dtype).T.copy()
    found = compiled(name, x)
    np.testing.assert_array_equal(found, wanted)
    known = ~np.isnan(wanted)
    np.testing.assert_array_equal(np.signbit(found)[known], np.signbit(wanted)[known])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", REFERENCE)
def test_the_same_bits_in_vectors_of_any_width(name: str, dtype: str) -> None:
    x = points(name, dtype, 600)[:77]
    whole = compiled(name, x)
    for size in (1, 2, 3, 7, 8, 15, 31):
        np.testing.assert_array_equal(compiled(name, x[:size].copy()), whole[:size])


@pytest.mark.parametrize("name", TRUTH)
def test_the_references_agree_with_longer_arithmetic(name: str) -> None:
    x = points(name, "float64", 900)
    x = x[np.isfinite(x) & ((x > -1) | (name != "log1p")) & ((x > 0) | (name != "log"))]
    x = x[np.abs(x) < 1e4] if name in ("exp", "expm1", "tanh", "sigmoid", "softplus", "erf") else x
    with np.errstate(all="ignore"):
        wanted = np.asarray(REFERENCE[name](x.astype(LONG)))
    with mpmath.workprec(1400):
        for value, found in zip(x, wanted, strict=True):
            if np.isfinite(float(found)):
                exact = TRUTH[name](mpmath.mpf(float(value)))
                fraction, exponent = np.frexp(found)
                error = mpmath.ldexp(int(np.ldexp(fraction, 64)), int(exponent) - 64) - exact
                assert abs(error) <= mpmath.mpf(2) ** -60 * abs(exact), value


@pytest.mark.parametrize("sign", ["int", "uint"])
@pytest.mark.parametrize("bits", [8, 16, 32, 64])
def test_integer_powers_wrap_as_in_numpy(sign: str, bits: int) -> None:
    dtype = np.dtype(f"{sign}{bits}")
    rng = np.random.default_rng(5)
    info = np.iinfo(dtype)
    x = rng.integers(info.min, info.max, 100, dtype, endpoint=True)
    y = rng.integers(0, info.max, 100, dtype, endpoint=True)
    y[:50] %= 20
    np.testing.assert_array_equal(compiled("power", x, y), np.power(x, y))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", [name for name in REFERENCE if hasattr(np, name)])
def test_speed_beside_numpy(name: str, dtype: str) -> None:
    """Prints only: how long 10^5 elements take, over NumPy's time."""
    x = np.random.default_rng(3).uniform(0.1, 5, 100_000).astype(dtype)
    program = _program(name, x)
    ours, theirs = (min(_seconds(f, x) for _ in range(20)) for f in (program, getattr(np, name)))
    print(f"{name} {dtype}: {ours / len(x) * 1e9:.2f} ns an element, {ours / theirs:.2f} of NumPy's time")


def _seconds(function: Callable[[np.ndarray], Any], x: np.ndarray) -> float:
    start = time.perf_counter()
    function(x)
    return time.perf_counter() - start
