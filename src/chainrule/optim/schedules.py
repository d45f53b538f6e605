"""Schedules: step sizes that are functions of the step. Any function of the step, in tensor operations, is one.

Steps count from 0. A schedule that takes a `Rate` takes a number or another schedule.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from chainrule.errors import OptionError, explain
from chainrule.functions import cos, floor, minimum, where
from chainrule.optim.optimizer import Rate, check_number, is_number, rate_at
from chainrule.tensor import Tensor

__all__ = ["CosineDecay", "ExponentialDecay", "Piecewise", "StepDecay", "Warmup"]


@dataclass(frozen=True)
class StepDecay:
    """lr factor^floor(step / every): times `factor` after every `every` steps.

    >>> from chainrule import as_tensor
    >>> StepDecay(0.1, every=10, factor=0.5)(as_tensor(25))
    Tensor(0.025)
    """

    lr: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        check_number(self, "lr")
        check_number(self, "every", above=True)
        check_number(self, "factor")

    def __call__(self, step: Tensor) -> Tensor:
        return self.lr * self.factor ** floor(step / self.every)


@dataclass(frozen=True)
class ExponentialDecay:
    """lr factor^(step / every): smoothly times `factor` in every `every` steps.

    >>> from chainrule import as_tensor
    >>> ExponentialDecay(0.1, every=10, factor=0.5)(as_tensor(10))
    Tensor(0.05)
    """

    lr: float
    factor: float
    every: int = 1

    def __post_init__(self) -> None:
        check_number(self, "lr")
        check_number(self, "every", above=True)
        check_number(self, "factor", above=True)

    def __call__(self, step: Tensor) -> Tensor:
        return self.lr * self.factor ** (step / self.every)


@dataclass(frozen=True)
class CosineDecay:
    """From lr down to `final` along half a cosine in `steps` steps, then `final`. Loshchilov and Hutter (2017).

    >>> from chainrule import as_tensor
    >>> CosineDecay(0.1, steps=10)(as_tensor(5))
    Tensor(0.05)
    """

    lr: float
    steps: int
    final: float = 0.0

    def __post_init__(self) -> None:
        check_number(self, "lr")
        check_number(self, "steps", above=True)
        check_number(self, "final")

    def __call__(self, step: Tensor) -> Tensor:
        share = minimum(step / self.steps, 1.0)
        return self.final + (self.lr - self.final) * (1 + cos(math.pi * share)) / 2


@dataclass(frozen=True)
class Warmup:
    """`rate` times (step + 1) / steps, until that is 1. Goyal et al. (2017).

    >>> from chainrule import as_tensor
    >>> Warmup(0.1, steps=10)(as_tensor(4))
    Tensor(0.05)
    """

    rate: Rate
    steps: int

    def __post_init__(self) -> None:
        check_number(self, "steps", above=True)
        if not callable(self.rate):
            check_number(self, "rate")

    def __call__(self, step: Tensor) -> Tensor:
        return rate_at(self.rate, step) * minimum((step + 1) / self.steps, 1.0)


@dataclass(frozen=True)
class Piecewise:
    """`rates[i]` from step `boundaries[i - 1]` until `boundaries[i]`; a schedule there counts its own steps from 0.

    >>> from chainrule import as_tensor
    >>> [float(Piecewise((2,), (0.1, 0.01))(as_tensor(i))) for i in range(4)]
    [0.1, 0.1, 0.01, 0.01]
    """

    boundaries: tuple[int, ...]
    rates: tuple[Rate, ...]

    def __post_init__(self) -> None:
        ordered = [0, *self.boundaries]
        if len(self.rates) != len(ordered) or ordered != sorted(set(ordered)):
            got = f"boundaries {self.boundaries} and {len(self.rates)} rates"
            rule = "boundaries are positive and ascend, and there is one rate more"
            raise OptionError(explain("Piecewise", got, rule))
        for rate in self.rates:
            if not callable(rate) and not (is_number(rate) and 0 <= rate < math.inf):
                raise OptionError(explain("Piecewise", f"a rate of {rate!r}", "it is finite and at least 0"))

    def __call__(self, step: Tensor) -> Tensor:
        found = rate_at(self.rates[0], step)
        for start, rate in zip(self.boundaries, self.rates[1:], strict=True):
            found = where(step < start, found, rate_at(rate, step - start))
        return found
