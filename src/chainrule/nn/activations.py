"""Activations as modules: one line each. Formulas and papers stand with the functions they call."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any, ClassVar

from chainrule import functions
from chainrule.nn.module import Module
from chainrule.tensor import Tensor, TensorLike

__all__ = [
    "ELU", "GELU", "Activation", "LeakyReLU", "LogSoftmax", "ReLU", "SiLU", "Sigmoid", "Softmax", "Softplus", "Tanh",
]  # fmt: skip


class Activation(Module):
    """A function without parameters as a module; its options are the function's own, by name.

    >>> LeakyReLU(slope=0.1)([-1.0, 2.0])
    Tensor([-0.1,  2. ])
    """

    function: ClassVar[Callable[..., Tensor]]
    bounds: ClassVar[tuple[float, float]]

    def __init__(self, **options: Any):
        inspect.signature(self.function).bind(0.0, **options)  # a TypeError names an option that there is not
        self.options = options

    def forward(self, x: TensorLike) -> Tensor:
        return self.function(x, **self.options)

    def output_range(self) -> tuple[float, float]:
        return self.bounds

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.options.items())


def _activation(name: str, function: Callable[..., Tensor], low: float = -math.inf, high: float = math.inf) -> Any:
    formula = (function.__doc__ or "").splitlines()[0]
    doc = f"`chainrule.{function.__name__}` as a module: {formula}"
    members = {"function": staticmethod(function), "bounds": (low, high), "__doc__": doc, "__module__": __name__}
    return type(name, (Activation,), members)


ReLU = _activation("ReLU", functions.relu, 0.0)
LeakyReLU = _activation("LeakyReLU", functions.leaky_relu)
ELU = _activation("ELU", functions.elu)
GELU = _activation("GELU", functions.gelu)
SiLU = _activation("SiLU", functions.silu)
Softplus = _activation("Softplus", functions.softplus, 0.0)
Tanh = _activation("Tanh", functions.tanh, -1.0, 1.0)
Sigmoid = _activation("Sigmoid", functions.sigmoid, 0.0, 1.0)
Softmax = _activation("Softmax", functions.softmax, 0.0, 1.0)
LogSoftmax = _activation("LogSoftmax", functions.log_softmax, high=0.0)
