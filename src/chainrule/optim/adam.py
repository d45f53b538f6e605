"""Adam."""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.functions import sqrt, zeros_like
from chainrule.optim.optimizer import Optimizer, Rate, State, check_number
from chainrule.tensor import Tensor

__all__ = ["Adam"]


@dataclass(frozen=True)
class Adam(Optimizer):
    """m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  p <- p - lr m' / (sqrt(v') + eps). Kingma and Ba (2015).

    m' = m / (1 - b1^t) and v' = v / (1 - b2^t) with t = step + 1 undo the bias of starting at zero.

    Args:
        b1: how much of the mean m of gradients remains from step to step.
        b2: the same for the mean v of their squares.
        eps: keeps the step finite where all gradients were 0.

    >>> from chainrule import variable
    >>> p, adam = variable(1.0), Adam(0.1)
    >>> adam.update(p, variable(2.0), adam.init(p), variable(0))  # the first step is lr, whatever the gradient
    (Tensor(0.9000), {'m': Tensor(0.2000), 'v': Tensor(0.0040)})
    """

    lr: Rate = 1e-3
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "b1", below=1)
        check_number(self, "b2", below=1)
        check_number(self, "eps", above=True)

    def init(self, p: Tensor) -> State:
        return {"m": zeros_like(p), "v": zeros_like(p)}

    def update(self, p: Tensor, g: Tensor, state: State, step: Tensor) -> tuple[Tensor, State]:
        g = self.decayed(p, g)
        m = self.b1 * state["m"] + (1 - self.b1) * g
        v = self.b2 * state["v"] + (1 - self.b2) * g**2
        m1 = m / (1 - self.b1 ** (step + 1)).astype(p.dtype)
        v1 = v / (1 - self.b2 ** (step + 1)).astype(p.dtype)
        return p - self.rate(p, step) * m1 / (sqrt(v1) + self.eps), {"m": m, "v": v}
