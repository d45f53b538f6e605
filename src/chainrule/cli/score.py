"""How well predictions on held-out rows fit, and how well the trivial prediction does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Score", "classification_score", "confusion", "regression_score"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Score:
    """Measures on rows that training has not seen, each with that of the trivial prediction.

    Attributes:
        rows: how many rows were predicted.
        measures: name -> (the model's, the trivial prediction's); the first is the one that counts.
        trivial: what the trivial prediction is, in words.
    """

    rows: int
    measures: dict[str, tuple[float, float]]
    trivial: str

    def lines(self) -> list[str]:
        """One line a measure.

        >>> Score(4, {"accuracy": (0.75, 0.5)}, "always 'no'").lines()
        ["accuracy 0.75 (always 'no': 0.5)"]
        """
        return [f"{name} {own:.4g} ({self.trivial}: {other:.4g})" for name, (own, other) in self.measures.items()]


def classification_score(t: Array, predicted: Array, train: Array, classes: tuple[str, ...]) -> Score:
    """Accuracy, and the mean of the classes' own accuracies, for class numbers (n,).

    The trivial prediction is the most frequent class of `train`.
    """
    most = int(np.bincount(train, minlength=len(classes)).argmax())
    measures = {
        "accuracy": (_mean(predicted == t), _mean(t == most)),
        "balanced accuracy": (_balanced(t, predicted), _balanced(t, np.full_like(t, most))),
    }
    return Score(len(t), measures, f"always {classes[most]!r}")


def regression_score(t: Array, predicted: Array, train: Array) -> Score:
    """Root of the mean squared error, mean absolute error and R^2, for numbers (n,) in the target's units.

    The trivial prediction is the mean of `train`.
    """
    mean = float(train.mean())
    spread = float(((t - t.mean()) ** 2).sum()) or np.nan  # R^2 has no meaning for one value only

    def measured(y: Array) -> tuple[float, float, float]:
        off = y - t
        return float(np.sqrt((off**2).mean())), float(np.abs(off).mean()), 1 - float((off**2).sum()) / spread

    names = ("root mean squared error", "mean absolute error", "R²")
    own, other = measured(predicted), measured(np.full_like(t, mean))
    pairs = zip(own, other, strict=True)
    return Score(len(t), dict(zip(names, pairs, strict=True)), f"always the mean {mean:.4g}")


def confusion(t: Array, predicted: Array, classes: int) -> Array:
    """How many rows of class i were predicted as class j: (classes, classes).

    >>> confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
    array([[1, 1],
           [0, 1]])
    """
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (t, predicted), 1)
    return counts


def _mean(hits: Array) -> float:
    return float(hits.mean())


def _balanced(t: Array, predicted: Array) -> float:
    return float(np.mean([_mean(predicted[t == c] == c) for c in np.unique(t)]))
