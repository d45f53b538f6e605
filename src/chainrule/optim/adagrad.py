"""Adagrad."""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.functions import sqrt, zeros_like
from chainrule.optim.optimizer import Optimizer, State, check_number
from chainrule.tensor import Tensor

__all__ = ["Adagrad"]


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """s <- s + g^2;  p <- p - lr g / (sqrt(s) + eps). Duchi et al. (2011).

    Args:
        eps: keeps the step finite where all gradients were 0.

    >>> from chainrule import variable
    >>> Adagrad(0.1).update(variable(1.0), variable(4.0), {"s": variable(9.0)}, variable(0))
    (Tensor(0.92), {'s': Tensor(25.0)})
    """

    eps: float = 1e-10

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "eps", above=True)

    def init(self, p: Tensor) -> State:
        return {"s": zeros_like(p)}

    def update(self, p: Tensor, g: Tensor, state: State, step: Tensor) -> tuple[Tensor, State]:
        g = self.decayed(p, g)
        s = state["s"] + g**2
        return p - self.rate(p, step) * g / (sqrt(s) + self.eps), {"s": s}
