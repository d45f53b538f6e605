"""Prints the tables of `chainrule.compiler.coefficients`: polynomials of least largest error, by Remez's exchange.

Run as a script; it needs mpmath and takes about a minute.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mpmath import matrix, mp, mpf

mp.prec = 300
_GRID = 600


def remez(
    f: Callable[[Any], Any], weight: Callable[[Any], Any], low: Any, high: Any, degree: int
) -> tuple[list[Any], Any]:
    """The coefficients (lowest power first) of least largest weight * |f - polynomial|, and that largest value."""
    middle, half = (mpf(high) + low) / 2, (mpf(high) - low) / 2
    xs = [middle - half * mp.cos(mp.pi * (i + mpf(1) / 2) / _GRID) for i in range(_GRID)]
    fs, ws = [f(x) for x in xs], [weight(x) for x in xs]
    count = degree + 2
    chosen = [(_GRID - 1) * i // (count - 1) for i in range(count)]
    for _ in range(30):
        rows = [[ws[i] * xs[i] ** j for j in range(degree + 1)] + [(-1) ** n] for n, i in enumerate(chosen)]
        found = mp.lu_solve(matrix(rows), matrix([ws[i] * fs[i] for i in chosen]))
        c = [found[j] for j in range(degree + 1)]
        errors = [w * (y - mp.polyval(c[::-1], x)) for x, y, w in zip(xs, fs, ws, strict=True)]
        worst = max(abs(e) for e in errors)
        if worst <= abs(found[degree + 1]) * mpf("1.001"):
            break
        chosen = _extremes(errors, count)
    return c, worst


def _extremes(errors: list[Any], count: int) -> list[int]:
    """The largest error of each run of one sign; of too many runs, the ends with the smaller errors are left out."""
    found: list[int] = []
    for i, e in enumerate(errors):
        if found and (e > 0) == (errors[found[-1]] > 0):
            if abs(e) > abs(errors[found[-1]]):
                found[-1] = i
        else:
            found.append(i)
    while len(found) > count:
        found.pop(0 if abs(errors[found[0]]) < abs(errors[found[-1]]) else -1)
    return found


def _log_series(z: Any) -> Any:
    s = mp.sqrt(z)
    return mp.log((1 + s) / (1 - s)) / s - 2


_THIRD = mpf(2) / 3
_SMALL_LOG = ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2 * mpf("1.0001")
_ANGLE = (mp.pi / 4) ** 2 * mpf("1.0001")
TABLES: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], Any, Any, tuple[int, ...]]] = {
    "EXP": (lambda r: (mp.exp(r) - 1 - r) / r**2, abs, mpf("-0.3466"), mpf("0.3466"), (4, 9)),
    "LOG": (lambda z: _log_series(z) / z, lambda z: z, 0, _SMALL_LOG, (3, 6)),
    "LOG_TAIL": (lambda z: (_log_series(z) - _THIRD * z) / z**2, lambda z: z**2, 0, _SMALL_LOG, (8,)),
    "SIN": (lambda z: (mp.sin(mp.sqrt(z)) / mp.sqrt(z) - 1) / z, lambda z: z, 0, _ANGLE, (2, 5)),
    "COS": (lambda z: (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2, lambda z: z**2, 0, _ANGLE, (2, 5)),
    "ERF": (lambda z: mp.erf(mp.sqrt(z)) / mp.sqrt(z) - 1, lambda z: mpf(1), 0, mpf("1.0001"), (6, 11)),
    "LOG_ERFC": (lambda t: mp.log(mp.erfc(t + 1)), lambda t: mp.erfc(t + 1), mpf(0), mpf(5), (6, 17)),
}

if __name__ == "__main__":
    for name, (f, weight, low, high, degrees) in TABLES.items():
        for degree in degrees:
            c, worst = remez(f, weight, low, high, degree)
            print(f"{name}, degree {degree}: error 2**{mp.nstr(mp.log(worst, 2), 4)}")
            print("    (" + ", ".join(repr(float(x)) for x in c) + "),", flush=True)
