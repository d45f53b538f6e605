"""RMSProp."""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.functions import sqrt, zeros_like
from chainrule.optim.optimizer import Optimizer, State, check_number
from chainrule.tensor import Tensor

__all__ = ["RMSProp"]


@dataclass(frozen=True)
class RMSProp(Optimizer):
    """v <- rho v + (1 - rho) g^2;  p <- p - lr g / (sqrt(v) + eps). Tieleman and Hinton (2012).

    Args:
        rho: how much of the mean v of squared gradients remains from step to step.
        eps: keeps the step finite where all gradients were 0.

    >>> from chainrule import variable
    >>> RMSProp(0.1, rho=0.5).update(variable(1.0), variable(4.0), {"v": variable(2.0)}, variable(0))
    (Tensor(0.866667), {'v': Tensor(9.0)})
    """

    rho: float = 0.99
    eps: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "rho", below=1)
        check_number(self, "eps", above=True)

    def init(self, p: Tensor) -> State:
        return {"v": zeros_like(p)}

    def update(self, p: Tensor, g: Tensor, state: State, step: Tensor) -> tuple[Tensor, State]:
        g = self.decayed(p, g)
        v = self.rho * state["v"] + (1 - self.rho) * g**2
        return p - self.rate(p, step) * g / (sqrt(v) + self.eps), {"v": v}
