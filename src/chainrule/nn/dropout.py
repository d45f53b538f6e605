"""Dropout."""

from __future__ import annotations

from chainrule.errors import OptionError, explain
from chainrule.functions import where, zeros_like
from chainrule.nn.mode import current
from chainrule.nn.sequential import Identity
from chainrule.random import uniform
from chainrule.tensor import Tensor, TensorLike, as_float

__all__ = ["Dropout"]


class Dropout(Identity):
    """In training each element is 0 with the probability `rate`, else x / (1 - rate); in evaluation y = x.

    What is dropped is a function of the seed and the step of `nn.training` and of how many layers drew before, so any
    step can be replayed. Srivastava et al. (2014), inverted.

    Args:
        rate: from 0 to less than 1.

    >>> Dropout(0.5)([1.0, 2.0])
    Tensor([1., 2.])
    """

    def __init__(self, rate: float = 0.5):
        if not 0 <= rate < 1:
            raise OptionError(explain("Dropout", f"rate = {rate!r}", "it is from 0 to less than 1"))
        self.rate = float(rate)

    def forward(self, x: TensorLike) -> Tensor:
        x, training = as_float(x), current()
        if training is None or self.rate == 0:
            return x
        drawn = uniform(training.seed, x.shape, stream=training.stream(), step=training.step, dtype="float32")
        return where(drawn >= self.rate, x / (1 - self.rate), zeros_like(x))

    def extra_repr(self) -> str:
        return f"rate={self.rate}"
