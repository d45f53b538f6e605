"""Whether a model is being trained: an explicit context, so that there is no switch to forget."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from chainrule.random import LAYERS
from chainrule.tensor import Parameter, Tensor

__all__ = ["Training", "current", "training"]


@dataclass
class Training:
    """What layers need to know while a model is trained.

    Attributes:
        seed: which run; an int or an int64 placeholder.
        step: when; an int or an int64 placeholder. The same seed and step give the same masks.
        updates: the new values of parameters that no optimizer moves (running means and variances).
    """

    seed: int | Tensor = 0
    step: int | Tensor = 0
    updates: dict[Parameter, Tensor] = field(default_factory=dict)
    _drawn: int = 0

    def stream(self) -> int:
        """The random stream for the next layer that draws, in the order of the calls."""
        self._drawn += 1
        return LAYERS + self._drawn - 1


_current: ContextVar[Training | None] = ContextVar("training", default=None)


def current() -> Training | None:
    """The training that is going on here, or None: evaluation, the default."""
    return _current.get()


@contextmanager
def training(seed: int | Tensor = 0, step: int | Tensor = 0, *, write: bool = True) -> Iterator[Training]:
    """While it is open, `Dropout` drops and `BatchNorm` uses the batch's own statistics.

    Args:
        seed: which run.
        step: when.
        write: whether, at the end, the `updates` that hold values are written to their parameters. An error inside
            leaves all parameters as they were.

    >>> from chainrule import nn
    >>> with nn.training(seed=0, step=3):
    ...     y = nn.Dropout(0.5)([1.0, 1.0, 1.0, 1.0])
    >>> y
    Tensor([2., 2., 0., 2.])
    """
    opened = Training(seed, step)
    token = _current.set(opened)
    try:
        yield opened
    finally:
        _current.reset(token)
    if write:
        for parameter, new in opened.updates.items():
            if new.value is not None:
                parameter.value = new.value
