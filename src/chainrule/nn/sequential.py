"""Modules one after another, and those that only pass on or reshape."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any

from chainrule.errors import OptionError, ShapeError, explain
from chainrule.graph import exchange
from chainrule.nn.module import Module, held
from chainrule.tensor import Parameter, Tensor, TensorLike, as_tensor

__all__ = ["Flatten", "Identity", "Lambda", "Sequential"]


class Sequential(Module):
    """Layers one after another: each gets the output of the one before.

    Args:
        layers: modules, or plain functions of tensors; or one dict of them, whose keys then name the layers.

    Indexing gives a layer, a slice gives a `Sequential` of the same layers.

    >>> from chainrule import nn
    >>> nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 1))
    Sequential(
      (0): Linear(inputs=2, outputs=5)
      (1): ReLU()
      (2): Linear(inputs=5, outputs=1)
    )
    """

    def __init__(self, *layers: Any):
        named = layers[0].items() if len(layers) == 1 and isinstance(layers[0], Mapping) else enumerate(layers)
        self.layers = {str(name): _as_module(layer) for name, layer in named}

    def forward(self, x: Any) -> Any:
        for layer in self.layers.values():
            x = layer(x)
        return x

    def append(self, layer: Any) -> Sequential:
        """Put `layer` at the end; returns the module itself."""
        free = next(name for name in map(str, count(len(self))) if name not in self.layers)
        self.layers[free] = _as_module(layer)
        exchange()
        return self

    def children(self) -> Iterator[tuple[str, Parameter | Module]]:
        yield from self.layers.items()
        for name, value in vars(self).items():  # what a subclass adds
            if name != "layers":
                yield from held(name, value)

    def output_range(self) -> tuple[float, float]:
        """That of the last layer that is not one of those which only pass values on."""
        bounding = [layer for layer in self if not isinstance(layer, Identity)]
        return bounding[-1].output_range() if bounding else super().output_range()

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return Sequential(dict(list(self.layers.items())[key]))
        return self.layers[key] if isinstance(key, str) else list(self)[key]

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Module]:
        return iter(self.layers.values())


def _as_module(layer: Any) -> Module:
    if not isinstance(layer, Module) and (isinstance(layer, type) or not callable(layer)):
        rule = "a layer is a module or a function of tensors"
        raise OptionError(explain("Sequential", repr(layer), rule, "Write nn.ReLU(), with parentheses."))
    return layer if isinstance(layer, Module) else Lambda(layer)


class Lambda(Module):
    """A plain function of tensors as a module.

    >>> Lambda(lambda x: 2 * x)(as_tensor([1.0, 2.0]))
    Tensor([2., 4.])
    """

    def __init__(self, function: Callable[..., Any]):
        self.function = function

    def forward(self, *args: Any) -> Any:
        return self.function(*args)

    def extra_repr(self) -> str:
        return getattr(self.function, "__name__", repr(self.function))


class Identity(Module):
    """y = x."""

    def forward(self, x: TensorLike) -> Tensor:
        return as_tensor(x)


class Flatten(Identity):
    """All axes but the first as one: (n, a, b, ...) -> (n, a b ...).

    >>> Flatten()(as_tensor([[[1.0, 2.0], [3.0, 4.0]]])).shape
    (1, 4)
    """

    def forward(self, x: TensorLike) -> Tensor:
        x = as_tensor(x)
        if not x.shape:
            raise ShapeError(explain(self.called(), f"{x.label} is a number", "it must have an axis of rows"))
        return x.reshape((x.shape[0], math.prod(x.shape[1:])))
