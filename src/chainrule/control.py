"""Operations that hold other functions: a derivative given by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import numpy as np

from chainrule.autodiff import gradient
from chainrule.dtypes import is_float
from chainrule.errors import GradientError, explain
from chainrule.graph import Node
from chainrule.primitive import Primitive
from chainrule.primitives.elementwise import stop_gradient
from chainrule.shaping import call_site
from chainrule.tensor import Tensor, TensorLike, as_tensor, variable
from chainrule.vectorize import vmap

__all__ = ["custom"]


def custom(derivative: Callable[..., Any]) -> Callable[[Callable[..., TensorLike]], Callable[..., Tensor]]:
    """A new operation: the function that is decorated, with its derivative given by hand.

    Args:
        derivative: (g, y, *inputs) -> the gradient of each input (a tensor, or a tuple with one for each; None: zero),
            where g is the gradient of the result y. Written in chainrule's functions and linear in g; forward mode and
            higher orders follow from it.

    The decorated function takes tensors and is written in chainrule's functions too. Parameters that it uses without
    taking them as arguments get no gradient through it.

    Raises GradientError when the rule gives too few gradients, or one of another shape or dtype than its input.

    >>> @custom(derivative=lambda g, y, x: g)
    ... def straight_through(x):
    ...     return floor(x)
    >>> from chainrule.functions import floor
    >>> from chainrule.autodiff import grad
    >>> straight_through(2.7), grad(straight_through)(2.7)
    (Tensor(2.0), Tensor(1.0))
    """

    def decorate(forward: Callable[..., TensorLike]) -> Callable[..., Tensor]:
        @wraps(forward)
        def operation(*inputs: TensorLike) -> Tensor:
            tensors = [as_tensor(x) for x in inputs]
            y = stop_gradient(as_tensor(forward(*tensors)))
            node: Tensor = _custom(y, *tensors, name=forward.__name__, derivative=derivative)
            return node

        return operation

    return decorate


@dataclass(frozen=True)
class _ByHand:
    """The user's rule. The first input is the value itself, through which nothing flows."""

    def pull(self, node: Node, g: Node, wanted: Sequence[int]) -> list[Node | None]:
        inputs = node.inputs[1:]
        found = node.attrs["derivative"](g, node, *inputs)
        gradients = found if isinstance(found, tuple) else (found,)
        if len(gradients) != len(inputs):
            raise GradientError(
                explain(
                    call_site(f"the derivative of {node.attrs['name']}", *inputs),
                    f"{len(gradients)} gradients",
                    f"there are {len(inputs)} inputs",
                    "Return a tuple with one for each input, None where it is zero.",
                )
            )
        tensors = [None if part is None else as_tensor(part) for part in gradients]
        return [None if i == 0 else _fitting(node, i - 1, tensors[i - 1]) for i in wanted]

    def push(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        """The transpose of the rule, which is linear in g: d/dg of sum(gradient * tangent)."""
        g = variable(np.zeros(node.shape, node.dtype))
        wanted = [i for i, t in enumerate(tangents) if i and t is not None and is_float(node.inputs[i].dtype)]
        total: Any = None
        for i, part in zip(wanted, self.pull(node, g, wanted), strict=True):
            if part is not None:
                term = (part * tangents[i]).sum()  # type: ignore[operator]
                total = term if total is None else total + term
        return None if total is None else gradient(total, [g])[0]


def _fitting(node: Node, i: int, g: Tensor | None) -> Tensor | None:
    """The gradient of the user's input `i`, or the error for one that does not fit it."""
    x = node.inputs[i + 1]
    if g is None or (g.shape == x.shape and g.dtype == x.dtype):
        return g
    raise GradientError(
        explain(
            f"the derivative of {node.attrs['name']}" + (f" at {node.source}" if node.source else ""),
            f"for input {i} (counted from 0), {x.describe()} of {x.dtype}, it gave {g.shape} of {g.dtype}",
            "a gradient has the shape and dtype of its input",
            "Let every element of the input get its own: sum over the axes along which it was broadcast."
            if g.shape != x.shape
            else f"Cast it: .astype('{x.dtype}').",
        )
    )


_custom = Primitive(
    "custom",
    shape=lambda y, *inputs, **_: y,
    evaluate=lambda y, *inputs, **_: y,
    derivative=_ByHand(),
    batch=lambda n, *, name, derivative: {"name": name, "derivative": vmap(derivative)},
    dtype=lambda y, *inputs, **_: y,
    lower=lambda operands, index, **_: operands[0][index],
)
