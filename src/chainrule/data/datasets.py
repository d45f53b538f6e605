"""Small data sets to learn on: toy ones drawn from a seed, and real ones that scikit-learn carries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import MissingExtraError, OptionError, explain

__all__ = [
    "Dataset",
    "breast_cancer",
    "circles",
    "diabetes",
    "digits",
    "iris",
    "moons",
    "spirals",
    "two_gaussians",
    "wine",
    "xor",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Dataset:
    """Data `x` (n, features) float64 and targets `t`, with their names; unpacks as `x, t = dataset`.

    `t` is (n,) int64, an index into `target_names`, or, where `target_names` is empty, a number: (n, 1) float64.

    >>> Dataset(np.zeros((2, 3)), np.array([1, 0]), ("length", "width", "age"), ("cat", "dog"))
    Dataset(x (2, 3), t (2,) int64, classes cat, dog)
    """

    x: Floats
    t: NDArray[Any]
    feature_names: tuple[str, ...]
    target_names: tuple[str, ...]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Yield `x`, then `t`."""
        yield self.x
        yield self.t

    def __repr__(self) -> str:
        """Say the shapes and the classes, not the numbers."""
        classes = f", classes {', '.join(self.target_names)}" if self.target_names else ""
        return f"Dataset(x {self.x.shape}, t {self.t.shape} {self.t.dtype}{classes})"


def two_gaussians(n: int = 1000, seed: int = 0) -> tuple[Floats, Floats]:
    """Two round clouds of `n` points, around (0, 0) with target -1 and around (3, 3) with target +1.

    Returns x (2n, 2) and t (2n, 1), float64. The best accuracy that any classifier can have is 0.98305. NumPy has
    frozen `RandomState`, so a seed means the same points in every release.

    >>> x, t = two_gaussians(1000, seed=0)
    >>> x.shape, t.shape, t[0, 0], t[-1, 0]
    ((2000, 2), (2000, 1), np.float64(-1.0), np.float64(1.0))
    """
    _check(n, 0.0)
    rng = np.random.RandomState(seed)
    x = np.vstack((rng.randn(n, 2), rng.randn(n, 2) + 3))
    return x, _signs(n)


def xor(n: int = 200, seed: int = 0, noise: float = 0.2) -> tuple[Floats, Floats]:
    """Four clouds of `n` // 2 points around (+-1, +-1), +1 where the signs differ: no line separates them.

    Returns x (4 * (n // 2), 2) and t of one column, -1 in its first half; `noise` is the clouds' standard deviation.

    >>> np.hstack(xor(2, noise=0.0)).tolist()
    [[-1.0, -1.0, -1.0], [1.0, 1.0, -1.0], [-1.0, 1.0, 1.0], [1.0, -1.0, 1.0]]
    """
    _check(n, noise)
    corners = np.array([[-1.0, -1.0], [1.0, 1.0], [-1.0, 1.0], [1.0, -1.0]])
    centers = np.repeat(corners, n // 2, axis=0)
    return _noisy(centers, noise, np.random.RandomState(seed)), _signs(2 * (n // 2))


def circles(n: int = 200, seed: int = 0, noise: float = 0.05) -> tuple[Floats, Floats]:
    """`n` points on a circle of radius 0.5, target -1, and `n` on one of radius 1, target +1.

    Returns x (2n, 2) and t (2n, 1), float64; `noise` is the standard deviation of what is added to each coordinate.

    >>> x, t = circles(2, noise=0.0)
    >>> np.hypot(*x.T), t[:, 0]
    (array([0.5, 0.5, 1. , 1. ]), array([-1., -1.,  1.,  1.]))
    """
    _check(n, noise)
    rng = np.random.RandomState(seed)
    angle = rng.uniform(0, 2 * np.pi, 2 * n)
    radius = np.repeat([0.5, 1.0], n)
    return _noisy(_polar(radius, angle), noise, rng), _signs(n)


def moons(n: int = 200, seed: int = 0, noise: float = 0.1) -> tuple[Floats, Floats]:
    """Two interleaved half circles of `n` points each, the upper with target -1, the lower with +1.

    Returns x (2n, 2) and t (2n, 1), float64; `noise` is the standard deviation of what is added to each coordinate.

    >>> x, t = moons(2, noise=0.0)
    >>> np.hypot(*x[:2].T), np.hypot(*(x[2:] - [1.0, 0.5]).T)  # circles around (0, 0) and (1, 0.5)
    (array([1., 1.]), array([1., 1.]))
    """
    _check(n, noise)
    rng = np.random.RandomState(seed)
    angle = rng.uniform(0, np.pi, n)
    upper = _polar(np.ones(n), angle)
    lower = np.array([1.0, 0.5]) - _polar(np.ones(n), rng.uniform(0, np.pi, n))
    return _noisy(np.vstack((upper, lower)), noise, rng), _signs(n)


def spirals(n: int = 200, seed: int = 0, noise: float = 0.05, turns: float = 1.5) -> tuple[Floats, Floats]:
    """Two spirals of `n` points each, half a turn apart, wound `turns` times around (0, 0).

    Returns x (2n, 2) and t (2n, 1), float64; `noise` is the standard deviation of what is added to each coordinate.

    >>> x, t = spirals(100, noise=0.0)
    >>> x.shape, bool(np.hypot(*x.T).max() <= 1)
    ((200, 2), True)
    """
    _check(n, noise)
    rng = np.random.RandomState(seed)
    radius = np.sqrt(rng.uniform(0.01, 1, 2 * n))  # as many points on each piece of the arm
    half_turn = np.repeat([0.0, np.pi], n)
    return _noisy(_polar(radius, 2 * np.pi * turns * radius + half_turn), noise, rng), _signs(n)


def breast_cancer() -> Dataset:
    """Tumors, 569 with 30 measurements: malignant (0) or benign (1). Wolberg, Street, Mangasarian (1995)."""
    return _from_sklearn("breast_cancer")


def digits() -> Dataset:
    """Handwritten digits, 1797 images of 8 x 8 pixels from 0 to 16. Alpaydin, Kaynak (1998)."""
    return _from_sklearn("digits")


def wine() -> Dataset:
    """Wines of 3 growers, 178 with 13 chemical measurements. Aeberhard, Forina (1991)."""
    return _from_sklearn("wine")


def iris() -> Dataset:
    """Irises of 3 species, 150 with 4 lengths in cm. Fisher (1936)."""
    return _from_sklearn("iris")


def diabetes() -> Dataset:
    """Patients, 442 with 10 scaled measurements; the target is the disease's progress. Efron et al. (2004)."""
    return _from_sklearn("diabetes")


def _from_sklearn(name: str) -> Dataset:
    try:
        from sklearn import datasets
    except ImportError:
        raise MissingExtraError.of("scikit-learn", "sklearn", f"datasets.{name}()") from None
    bunch = getattr(datasets, f"load_{name}")()
    classes = tuple(str(label) for label in bunch.get("target_names", ()))
    t = bunch.target.astype(np.int64) if classes else bunch.target.astype(np.float64)[:, None]
    return Dataset(np.array(bunch.data, np.float64), t, tuple(str(f) for f in bunch.feature_names), classes)


def _check(n: int, noise: float) -> None:
    if n < 1 or not noise >= 0:
        raise OptionError(explain("a toy data set", f"n = {n}, noise = {noise}", "n is at least 1, noise at least 0"))


def _signs(n: int) -> Floats:
    return np.repeat([-1.0, 1.0], n)[:, None]


def _polar(radius: Floats, angle: Floats) -> Floats:
    return np.column_stack((radius * np.cos(angle), radius * np.sin(angle)))


def _noisy(x: Floats, noise: float, rng: np.random.RandomState) -> Floats:
    return x + noise * rng.randn(*x.shape)
