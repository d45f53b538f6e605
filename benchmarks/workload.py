"""What all contenders of a row are given: the same data, first weights and row numbers of every step."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

__all__ = ["Workload", "batches", "canonical", "exponent", "net_weights"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Workload:
    """One training run.

    Attributes:
        x, t: the data.
        drawn: the row numbers of every step, (steps,) or (steps, batch). No contender draws any itself.
        every: a full evaluation is made before the steps 0, every, 2 every, ...; and, if not 0, after the last.
        rate: the step size.
        weights: first values, w (inputs, outputs) and b by turns.
        sizes: of the net's layers.
    """

    x: Array
    t: Array
    drawn: Array
    every: int
    rate: float
    weights: tuple[Array, ...]
    sizes: tuple[int, ...] = ()

    @property
    def steps(self) -> int:
        return len(self.drawn)

    def part(self, n: int) -> Workload:
        """The first 1/n of the steps."""
        return replace(self, drawn=np.ascontiguousarray(self.drawn[: len(self.drawn) // n]))

    def state(self) -> dict[str, Array]:
        """The first weights by the names in a `Sequential` of `Linear` and `ReLU` by turns."""
        names = [f"{2 * layer}.{kind}" for layer in range(len(self.weights) // 2) for kind in ("weight", "bias")]
        return dict(zip(names, self.weights, strict=True))


def canonical() -> tuple[Array, Array]:
    """Two clouds of 1000 points around (0, 0) and (3, 3); targets -1 and +1, (2000,)."""
    rng = np.random.RandomState(0)
    x = np.vstack([rng.randn(1000, 2), rng.randn(1000, 2) + 3])
    return x, np.repeat([-1.0, 1.0], 1000)


def batches(rows: int, *shape: int) -> Array:
    """Row numbers drawn with replacement."""
    return np.random.default_rng(1).integers(0, rows, shape)


def net_weights(sizes: tuple[int, ...], dtype: str) -> tuple[Array, ...]:
    """Normal weights of variance 2 / inputs, biases 0.1 (so that no kink stands at the start)."""
    rng = np.random.default_rng(2)
    found: list[Array] = []
    for n, m in itertools.pairwise(sizes):
        found += [(rng.standard_normal((n, m)) * (2 / n) ** 0.5).astype(dtype), np.full(m, 0.1, dtype)]
    return tuple(found)


def exponent(points: list[tuple[float, float]]) -> float:
    """p of y = c x^p, by least squares in the logarithms."""
    x, y = np.log(np.array(points)).T
    return float(np.polyfit(x, y, 1)[0])
