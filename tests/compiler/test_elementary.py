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
        high = function(mpmath.mpf(x))
        return LONG(float(high)) + LONG(float(high - float(high)))

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
    "exp": [709.782712893384, 709.7827128933841, -708.3964185322641, -745.1332191019411, -745.1332191019412, 88.72283, 88.72284,
            -87.33655, -103.97208, -103.972083],
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
