"""Adam with decoupled weight decay."""

from __future__ import annotations

from dataclasses import dataclass, field

from chainrule.optim.adam import Adam
from chainrule.optim.optimizer import State
from chainrule.tensor import Tensor

__all__ = ["AdamW"]


@dataclass(frozen=True)
class AdamW(Adam):
    """p <- p - lr weight_decay p, then Adam's step along g alone. Loshchilov and Hutter (2019).

    Args:
        weight_decay: the share of p that a step size of 1 would take away.

    >>> from chainrule import variable
    >>> p, adamw = variable(1.0), AdamW(0.1)
    >>> adamw.update(p, variable(2.0), adamw.init(p), variable(0))[0]  # 1 - 0.1 * 0.01 - 0.1
    Tensor(0.8990)
    """

    weight_decay: float = field(default=0.01, kw_only=True)

    def update(self, p: Tensor, g: Tensor, state: State, step: Tensor) -> tuple[Tensor, State]:
        p = p - self.rate(p, step) * self.weight_decay * p
        return Adam(self.lr, self.b1, self.b2, self.eps).update(p, g, state, step)
