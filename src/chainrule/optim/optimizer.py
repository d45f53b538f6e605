"""What an optimizer is: a pure update rule written in tensor operations."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from chainrule.errors import OptionError, explain
from chainrule.tensor import Tensor, TensorLike, as_tensor

__all__ = ["Optimizer", "Rate", "State", "check_number", "is_number", "rate_at"]

#: A step size: a number, or a schedule, a function of the step (which counts from 0).
Rate: TypeAlias = "float | Callable[[Tensor], TensorLike]"
#: What an optimizer remembers of one parameter, by the names of its formula.
State: TypeAlias = dict[str, Tensor]


@dataclass(frozen=True)
class Optimizer:
    """(p, g, state, step) -> (new p, new state). It holds options only; whoever calls it keeps the state.

    Args:
        lr: the step size: a number, or a schedule, a function of the step.
        weight_decay: so much of p is added to its gradient g (an L2 penalty of half that weight).

    A subclass states `update`, and `init` if it has a state. All is done in p's dtype. `step` counts from 0.

    Raises OptionError for a step size that is negative, infinite or NaN.

    >>> from chainrule import sign, variable
    >>> class SignDescent(Optimizer):
    ...     def update(self, p, g, state, step):
    ...         return p - self.rate(p, step) * sign(g), state
    >>> SignDescent(0.1).update(variable(1.0), variable(-7.0), {}, variable(0))
    (Tensor(1.1), {})
    """

    lr: Rate
    weight_decay: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        check_number(self, "weight_decay")
        if not callable(self.lr):
            check_number(self, "lr")

    def init(self, p: Tensor) -> State:
        """The state before the first step, by the names of the formula."""
        return {}

    def update(self, p: Tensor, g: Tensor, state: State, step: Tensor) -> tuple[Tensor, State]:
        """The new parameter and the new state after one step along the gradient `g`."""
        raise NotImplementedError(f"{type(self).__name__} defines no update()")

    def rate(self, p: Tensor, step: Tensor) -> Tensor:
        """The step size at `step`, in p's dtype."""
        return rate_at(self.lr, step).astype(p.dtype)

    def decayed(self, p: Tensor, g: Tensor) -> Tensor:
        """g + weight_decay p."""
        return g + self.weight_decay * p if self.weight_decay else g


def rate_at(rate: Rate, step: Tensor) -> Tensor:
    """The value of a step size, number or schedule, at `step`."""
    return as_tensor(rate(step) if callable(rate) else float(rate))


def is_number(value: object) -> bool:
    """Whether `value` is a number of Python's or NumPy's, and not a boolean."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def check_number(options: object, name: str, low: float = 0.0, below: float = math.inf, *, above: bool = False) -> None:
    """Raise OptionError unless the option `name` is a number from `low` (with `above`: more than it) and < `below`.

    A number of NumPy's becomes Python's, which leaves the dtype of what it is multiplied with.
    """
    value = getattr(options, name)
    if not is_number(value) or not (low < value < below if above else low <= value < below):
        floor = f"more than {low:g}" if above else f"at least {low:g}"
        ceiling = "finite" if below == math.inf else f"less than {below:g}"
        raise OptionError(
            explain(type(options).__name__, f"{name} = {value!r}", f"it is a number, {floor} and {ceiling}")
        )
    if type(value) not in (int, float):
        object.__setattr__(options, name, int(value) if isinstance(value, numbers.Integral) else float(value))
