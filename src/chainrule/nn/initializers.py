"""First values of parameters. An initializer is a function (shape, seed, stream, dtype) -> tensor.

A weight's shape is (inputs, outputs). The scale that keeps a signal's variance from layer to layer depends on the
activation: Xavier's for tanh and sigmoid, He's for ReLU.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

from chainrule import random
from chainrule.dtypes import DType, checked, is_float
from chainrule.errors import DTypeError, OptionError, explain
from chainrule.functions import broadcast_to
from chainrule.graph import Shape
from chainrule.random import INITIALIZING
from chainrule.tensor import Parameter, Tensor, as_tensor

__all__ = [
    "Initialized", "Initializer", "constant", "he_normal", "he_uniform", "normal", "ones", "uniform", "xavier_normal",
    "xavier_uniform", "zeros",
]  # fmt: skip

#: (shape, seed, stream, dtype) -> the first values, a tensor.
Initializer: TypeAlias = Callable[[Shape, int, int, DType], Tensor]


class Initialized(Parameter):
    """A parameter that knows its initializer, so that `Module.initialize` can draw it again.

    Args:
        initializer: what draws its values.
        shape: its shape.
        seed: which run.
        offset: the position among its module's parameters; no two there share a stream.
        dtype: float32 or float64.
        name: what messages call it.
        trainable: whether optimizers move it.

    >>> Initialized(ones, (2,), name="scale")
    Initialized([1., 1.], dtype=float32)
    """

    __slots__ = ("initializer",)

    def __init__(
        self, initializer: Initializer, shape: Shape, *, seed: int = 0, offset: int = 0,
        dtype: DType | str = "float32", name: str | None = None, trainable: bool = True,
    ):  # fmt: skip
        kind = float_dtype(dtype)
        super().__init__(initializer(shape, seed, INITIALIZING + offset, kind).numpy(), name, trainable=trainable)
        self.initializer = initializer

    def draw(self, seed: int, position: int) -> Tensor:
        """Fresh values, for the parameter at `position` of a whole model."""
        return self.initializer(self.shape, seed, INITIALIZING + position, self.dtype)


def float_dtype(dtype: DType | str) -> DType:
    """`dtype`, if parameters can have it."""
    found = checked(dtype, "parameters")
    if not is_float(found):
        raise DTypeError(explain("parameters", f"the dtype is {found}", "they are float32 or float64"))
    return found


def constant(value: float) -> Initializer:
    """Every element is `value`.

    >>> from chainrule.nn import Linear
    >>> Linear(2, 1, init=constant(0.5)).weight
    Initialized([[0.5],
                 [0.5]], dtype=float32)
    """
    return lambda shape, seed, stream, dtype: broadcast_to(as_tensor(value, dtype), shape)


#: Every element is 0.
zeros = constant(0.0)
#: Every element is 1.
ones = constant(1.0)


def normal(std: float = 1.0, mean: float = 0.0) -> Initializer:
    """Normally distributed.

    >>> from chainrule import std
    >>> float(std(normal(std=0.5)((100, 100), seed=0, stream=0, dtype="float64")))
    0.50
    """
    _check_scale("normal", "std", std)
    return lambda shape, seed, stream, dtype: random.normal(seed, shape, mean, std, stream=stream, dtype=dtype)


def uniform(bound: float) -> Initializer:
    """Evenly spread from -bound to bound.

    >>> float(abs(uniform(0.5)((100, 100), seed=0, stream=0, dtype="float64")).max())
    0.500
    """
    _check_scale("uniform", "bound", bound)
    return lambda shape, seed, stream, dtype: random.uniform(seed, shape, -bound, bound, stream=stream, dtype=dtype)


def xavier_uniform(shape: Shape, seed: int, stream: int, dtype: DType) -> Tensor:
    """Evenly spread up to sqrt(6 / (inputs + outputs)). Glorot and Bengio (2010).

    >>> float(abs(xavier_uniform((100, 50), seed=0, stream=0, dtype="float64")).max())  # sqrt(6 / 150)
    0.200
    """
    return uniform(math.sqrt(6 / sum(_fans(shape))))(shape, seed, stream, dtype)


def xavier_normal(shape: Shape, seed: int, stream: int, dtype: DType) -> Tensor:
    """Normal with the variance 2 / (inputs + outputs). Glorot and Bengio (2010).

    >>> from chainrule import std
    >>> float(std(xavier_normal((150, 50), seed=0, stream=0, dtype="float64")))  # sqrt(2 / 200)
    0.10
    """
    return normal(math.sqrt(2 / sum(_fans(shape))))(shape, seed, stream, dtype)


def he_uniform(shape: Shape, seed: int, stream: int, dtype: DType) -> Tensor:
    """Evenly spread up to sqrt(6 / inputs). He et al. (2015).

    >>> float(abs(he_uniform((150, 50), seed=0, stream=0, dtype="float64")).max())  # sqrt(6 / 150)
    0.200
    """
    return uniform(math.sqrt(6 / _fans(shape)[0]))(shape, seed, stream, dtype)


def he_normal(shape: Shape, seed: int, stream: int, dtype: DType) -> Tensor:
    """Normal with the variance 2 / inputs. He et al. (2015).

    >>> from chainrule import std
    >>> float(std(he_normal((200, 50), seed=0, stream=0, dtype="float64")))  # sqrt(2 / 200)
    0.10
    """
    return normal(math.sqrt(2 / _fans(shape)[0]))(shape, seed, stream, dtype)


def _fans(shape: Shape) -> tuple[int, int]:
    """How many inputs and outputs a weight of this shape joins; one of (n,) scales n inputs one by one."""
    return (shape[0], math.prod(shape[1:])) if len(shape) > 1 else (1, 1)


def _check_scale(called: str, name: str, value: float) -> None:
    if not (0 <= value < math.inf):
        raise OptionError(explain(f"initializers.{called}", f"{name} = {value!r}", "it is finite and not negative"))
