"""Gradient descent with momentum (the heavy ball)."""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.functions import zeros_like
from chainrule.optim.optimizer import Optimizer, State, check_number
from chainrule.tensor import Tensor

__all__ = ["Momentum"]


@dataclass(frozen=True)
class Momentum(Optimizer):
    """v <- mu v + g;  p <- p - lr v. Polyak (1964).

    Args:
        mu: how much of the velocity v remains from step to step.

    >>> from chainrule import variable
    >>> Momentum(0.1).update(variable(1.0), variable(2.0), {"velocity": variable(1.0)}, variable(0))
    (Tensor(0.71), {'velocity': Tensor(2.9)})
    """

    mu: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "mu", below=1)

    def init(self, p: Tensor) -> State:
        return {"velocity": zeros_like(p)}

    def update(self, p: Tensor, g: Tensor, state: State, step: Tensor) -> tuple[Tensor, State]:
        g = self.decayed(p, g)
        v = self.mu * state["velocity"] + g
        return p - self.rate(p, step) * v, {"velocity": v}
