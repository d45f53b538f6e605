"""Stochastic gradient descent."""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.optim.optimizer import Optimizer, State
from chainrule.tensor import Tensor

__all__ = ["SGD"]


@dataclass(frozen=True)
class SGD(Optimizer):
    """p <- p - lr g. Robbins and Monro (1951).

    >>> from chainrule import variable
    >>> p, _ = SGD(0.1).update(variable(1.0), variable(2.0), {}, variable(0))
    >>> p
    Tensor(0.8)
    """

    def update(self, p: Tensor, g: Tensor, state: State, step: Tensor) -> tuple[Tensor, State]:
        g = self.decayed(p, g)
        return p - self.rate(p, step) * g, state
