"""Modules: what holds parameters and composes. A forward pass is ordinary Python."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from html import escape
from typing import Any, TypeVar

from chainrule.dtypes import DType
from chainrule.errors import DTypeError, explain
from chainrule.graph import exchange, module_scope, user_line
from chainrule.nn.initializers import Initialized, float_dtype
from chainrule.nn.state import check_state
from chainrule.nn.summary import Summary, summary
from chainrule.tensor import Parameter, as_tensor

__all__ = ["Module", "output_range"]

Self = TypeVar("Self", bound="Module")

# Of the outermost module that is being called: every module's path; and the path of the innermost that is being called.
_paths: ContextVar[Mapping[Module, str] | None] = ContextVar("paths", default=None)
_inside: ContextVar[str] = ContextVar("inside", default="")


class Module:
    """A function of tensors that owns parameters. Subclasses set attributes in `__init__` and define `forward`.

    Parameters and modules are found in attributes, and in lists, tuples and dicts there, in the order of definition.
    Their paths are PyTorch's: `"hidden.weight"`, `"layers.0.bias"`. A parameter that stands in two places is one.

    >>> from chainrule import nn
    >>> class Residual(nn.Module):
    ...     def __init__(self, width):
    ...         self.inner = nn.Linear(width, width)
    ...
    ...     def forward(self, x):
    ...         return x + self.inner(x)
    >>> list(Residual(3).named_parameters())
    ['inner.weight', 'inner.bias']
    """

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The output for these inputs; calling the module calls it."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward()")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        paths, outer = _paths.get(), _inside.get()
        if paths is None or self not in paths:  # the outermost, or one that the outermost does not hold
            paths, outer = {module: path for path, module in self.named_modules().items()}, ""
        path = paths[self]
        tokens = _paths.set(paths), _inside.set(path)
        try:
            with module_scope(path.removeprefix(outer + ".") or type(self).__name__):
                return self._returned(self.forward(*args, **kwargs))
        finally:
            _paths.reset(tokens[0])
            _inside.reset(tokens[1])

    def _returned(self, y: Any) -> Any:
        if y is None:
            repair = "Add the `return` that is missing at the end of what it computes."
            raise DTypeError(explain(self.called(), "forward returned None", "a module gives its output", repair))
        return y

    # What it holds
    def children(self) -> Iterator[tuple[str, Parameter | Module]]:
        """The parameters and modules that stand in its own attributes, with their names there."""
        for name, value in vars(self).items():
            yield from held(name, value)

    def named_modules(self) -> dict[str, Module]:
        """This module (its path is empty) and all below it, by dotted path; each once."""
        found: dict[Module, str] = {}
        ahead: list[tuple[str, Module]] = [("", self)]
        while ahead:
            path, module = ahead.pop()
            if module not in found:
                found[module] = path
                below = [(_join(path, name), child) for name, child in module.children() if isinstance(child, Module)]
                ahead.extend(reversed(below))
        return {path: module for module, path in found.items()}

    def modules(self) -> list[Module]:
        """This module and all below it, each once."""
        return list(self.named_modules().values())

    def named_parameters(self, *, trainable_only: bool = False) -> dict[str, Parameter]:
        """Its parameters and those of all modules below, by dotted path; each once, under the first path."""
        found: dict[Parameter, str] = {}
        for path, module in self.named_modules().items():
            for name, child in module.children():
                if isinstance(child, Parameter) and child not in found:
                    found[child] = _join(path, name)
        return {path: p for p, path in found.items() if p.trainable or not trainable_only}

    def parameters(self) -> list[Parameter]:
        """The parameters that optimizers move, each once."""
        return list(self.named_parameters(trainable_only=True).values())

    # What its parameters hold
    def state_dict(self) -> dict[str, Any]:
        """The value of every parameter, as a read-only array, by dotted path."""
        return {path: p.value for path, p in self.named_parameters().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set every parameter to its value in `state`, which must name exactly those of `state_dict()`.

        Raises OptionError for names, ShapeError for shapes and DTypeError for dtypes that do not fit; then nothing has
        been changed.
        """
        own = self.named_parameters()
        values = check_state(own, state)
        for path, p in own.items():
            p.value = values[path].numpy()

    def initialize(self: Self, seed: int) -> Self:
        """Draw every parameter again by its own initializer, from `seed`; returns the module itself.

        A `Parameter` made of values, without an initializer, keeps what it holds.
        """
        for position, p in enumerate(self.named_parameters().values()):
            if isinstance(p, Initialized):
                p.value = p.draw(seed, position).numpy()
        return self

    def astype(self: Self, dtype: DType | str) -> Self:
        """Give all parameters another float dtype; returns the module itself.

        A parameter's dtype is fixed, so these are new parameters: hand the optimizer's groups over after this.
        """
        wanted = float_dtype(dtype)
        new = {p: _retyped(p, wanted) for p in self.named_parameters().values() if p.dtype != wanted}
        for module in self.modules():
            for name, value in vars(module).items():
                setattr(module, name, _replaced(value, new))
        exchange()
        return self

    # What it says of itself
    def output_range(self) -> tuple[float, float]:
        """The smallest and the largest output that its last layer allows; without bounds unless a subclass knows."""
        return -math.inf, math.inf

    def summary(self, *x: Any, t: Any = None, loss: Callable[..., Any] | None = None) -> Summary:
        """A table of every layer: the shapes of its input, output, weights and of both gradients, without arithmetic.

        Args:
            x: one for each argument of the model: data, or only a shape.
            t: targets for `loss`, or their shape.
            loss: the loss whose gradients are shown; None: the sum of the outputs.

        Raises ShapeError, naming the layer, both shapes and the user's line, where a layer does not fit what it gets.
        """
        return summary(self, *x, t=t, loss=loss)

    def called(self) -> str:
        """The layer, its path in the model and the user's line, as its error messages begin."""
        path, line = _inside.get(), user_line()
        return type(self).__name__ + (f' "{path}"' if path else "") + (f" at {line}" if line else "")

    def extra_repr(self) -> str:
        """What stands in the parentheses of its `repr`: its options."""
        return ""

    def __repr__(self) -> str:
        below = [f"({name}): {child!r}" for name, child in self.children() if isinstance(child, Module)]
        inside = "\n" + textwrap.indent("\n".join(below), "  ") + "\n" if below else self.extra_repr()
        return f"{type(self).__name__}({inside})"

    def _repr_html_(self) -> str:
        """The tree of its modules with the number of their parameters."""
        below = [(name, child) for name, child in self.children() if isinstance(child, Module)]
        count = sum(p.size for p in self.named_parameters().values())
        head = f"<b>{type(self).__name__}</b>({escape(self.extra_repr())}) {count:,} parameters"
        if not below:
            return head
        items = "".join(f"<li>{escape(name)}: {child._repr_html_()}</li>" for name, child in below)
        return f'{head}<ul style="margin:0">{items}</ul>'


def output_range(model: Any) -> tuple[float, float]:
    """The smallest and the largest output of `model` as far as its last layer tells; a plain function has no bounds.

    >>> from chainrule import nn
    >>> output_range(nn.Sequential(nn.Linear(2, 1), nn.ReLU()))
    (0.0, inf)
    """
    return model.output_range() if isinstance(model, Module) else (-math.inf, math.inf)


def held(name: str, value: Any) -> Iterator[tuple[str, Parameter | Module]]:
    """The parameters and modules in an attribute, or in the lists, tuples and dicts it is made of, with their names."""
    if isinstance(value, Parameter | Module):
        yield name, value
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from held(f"{name}.{i}", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from held(f"{name}.{key}", item)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _retyped(p: Parameter, dtype: DType) -> Parameter:
    value = as_tensor(p.value, dtype).numpy()
    if not isinstance(p, Initialized):
        return Parameter(value, p.name, trainable=p.trainable)
    new = Initialized(p.initializer, p.shape, dtype=dtype, name=p.name, trainable=p.trainable)
    new.value = value
    return new


def _replaced(value: Any, new: Mapping[Parameter, Parameter]) -> Any:
    """`value` with the parameters in it, and in its lists, tuples and dicts, exchanged."""
    if isinstance(value, Parameter):
        return new.get(value, value)
    if type(value) in (list, tuple):
        return type(value)(_replaced(item, new) for item in value)
    if type(value) is dict:
        return {key: _replaced(item, new) for key, item in value.items()}
    return value
