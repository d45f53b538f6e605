"""Nesterov's accelerated gradient."""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.optim.momentum import Momentum
from chainrule.optim.optimizer import State
from chainrule.tensor import Tensor

__all__ = ["Nesterov"]


@dataclass(frozen=True)
class Nesterov(Momentum):
    """v <- mu v + g;  p <- p - lr (g + mu v). Nesterov (1983), in the form of Sutskever et al. (2013).

    p is the point at which the gradient is taken, as in PyTorch, so that the model always holds it.

    >>> from chainrule import variable
    >>> Nesterov(0.1).update(variable(1.0), variable(2.0), {"velocity": variable(1.0)}, variable(0))
    (Tensor(0.539), {'velocity': Tensor(2.9)})
    """

    def update(self, p: Tensor, g: Tensor, state: State, step: Tensor) -> tuple[Tensor, State]:
        g = self.decayed(p, g)
        v = self.mu * state["velocity"] + g
        return p - self.rate(p, step) * (g + self.mu * v), {"velocity": v}
