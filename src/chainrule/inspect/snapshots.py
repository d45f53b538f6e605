"""What parameters and their gradients were like during a training run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from chainrule.autodiff import gradient
from chainrule.nn import Module

__all__ = ["Snapshots"]


class Snapshots:
    """A callback of `fit` that keeps the parameters, and if a loss and rows are given their gradients, by step.

    Args:
        model: the module that is trained.
        loss, x, t: the loss, and the rows on which the gradient of its mean is taken; None: no gradients are kept.
        most: when more snapshots than this were kept, every second one is dropped.

    Attributes:
        values: step -> parameter path -> array.
        gradients: the same for the gradients.

    >>> from chainrule import nn
    >>> seen = Snapshots(nn.Linear(2, 1, seed=0))
    >>> seen.take(0)
    >>> {name: array.shape for name, array in seen.values[0].items()}
    {'weight': (2, 1), 'bias': (1,)}
    """

    def __init__(
        self, model: Module, loss: Callable[..., Any] | None = None, x: Any = None, t: Any = None, *, most: int = 64
    ):
        self.values: dict[int, Mapping[str, np.ndarray]] = {}
        self.gradients: dict[int, Mapping[str, np.ndarray]] = {}
        self._model, self._loss, self._rows, self._most = model, loss, (x, t), most

    def __call__(self, progress: Any) -> None:
        """Keep what the model holds at this point of the run."""
        self.take(int(progress.step))

    def take(self, step: int) -> None:
        """Keep what the model holds now, as that of `step`."""
        held = self._model.named_parameters(trainable_only=True)
        self.values[step] = {name: p.value for name, p in held.items()}
        if self._loss is not None:
            x, t = self._rows
            total = self._loss(self._model(x), t).mean()
            slopes = gradient(total, list(held.values()))
            self.gradients[step] = {name: g.numpy() for name, g in zip(held, slopes, strict=True)}
        if len(self.values) > self._most:
            for dropped in sorted(self.values)[1::2]:
                del self.values[dropped]
                self.gradients.pop(dropped, None)
