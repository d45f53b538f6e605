"""Stopping once a recorded loss no longer gets better."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from chainrule.errors import OptionError, explain

__all__ = ["EarlyStopping", "Watch"]


@dataclass(frozen=True)
class EarlyStopping:
    """Stop after `patience` records in a row that are not better than the best one. Prechelt (1998).

    Attributes:
        patience: records without an improvement before it stops; at least 1.
        monitor: whose loss: "validation", "train" or a name in `record_on`.
        min_delta: an improvement is more than this; not negative.
        restore_best: whether the parameters (and the optimizer's state) of the best record are put back at the end.

    Raises OptionError for a patience below 1 or a negative or NaN `min_delta`.

    >>> EarlyStopping(patience=5).monitor
    'validation'
    """

    patience: int
    monitor: str = "validation"
    min_delta: float = 0.0
    restore_best: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.patience, bool) or not isinstance(self.patience, int) or self.patience < 1:
            raise OptionError(explain("EarlyStopping", f"patience={self.patience!r}", "it is an int of at least 1"))
        if not 0 <= self.min_delta < math.inf:
            raise OptionError(explain("EarlyStopping", f"min_delta={self.min_delta!r}", "it is a number >= 0"))


@dataclass
class Watch:
    """The memory of an early stopping: the best value, the step it was recorded at, and the records since."""

    rule: EarlyStopping
    best: float = math.inf
    step: int = 0
    waited: int = 0
    last: int = -1

    def better(self, value: float) -> bool:
        """Whether `value` is an improvement."""
        return value < self.best - (self.rule.min_delta if math.isfinite(self.best) else 0.0)

    def see(self, value: float, step: int) -> bool:
        """Take one record; whether it is the best so far. A resumed run may show the last one again."""
        if step <= self.last:
            return False
        self.last = step
        if self.better(value):
            self.best, self.step, self.waited = value, step, 0
            return True
        self.waited += 1
        return False

    @property
    def done(self) -> bool:
        """Whether patience has run out."""
        return self.waited >= self.rule.patience

    def memory(self) -> Mapping[str, float]:
        """What a resumed run needs."""
        return {"best": self.best, "step": self.step, "waited": self.waited, "last": self.last}
