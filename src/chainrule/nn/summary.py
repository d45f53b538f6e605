"""What every layer of a model takes, holds and gives, and the shapes of both of its gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chainrule.autodiff import gradient
from chainrule.dtypes import is_float
from chainrule.graph import Node, Shape, walk
from chainrule.tables import html_table, text_table
from chainrule.tensor import Input, Parameter, Tensor, as_tensor

if TYPE_CHECKING:
    from chainrule.nn.module import Module

__all__ = ["Layer", "Summary", "summary"]

HEADER = ("layer", "kind", "input", "output", "weights", "dL/dinput", "dL/dweights", "parameters", "dtype")
PASSED_ON = "passed on"


@dataclass(frozen=True)
class Layer:
    """One row: shapes of a layer's inputs, outputs and parameters, and of the gradients of the loss for them.

    A layer that computes nothing (`Identity`, `Dropout` in evaluation) has no inputs and outputs of its own.
    `input_gradients` holds None for an input that has no derivative (integers).
    """

    path: str
    kind: str
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    weights: dict[str, Shape]
    input_gradients: tuple[Shape | None, ...]
    weight_gradients: dict[str, Shape]
    parameters: int
    dtype: str

    def cells(self) -> tuple[str, ...]:
        """The row as text, in the order of the header."""
        return (
            self.path or "(model)", self.kind, _shapes(self.inputs) or PASSED_ON, _shapes(self.outputs) or PASSED_ON,
            _named(self.weights), _shapes(self.input_gradients), _named(self.weight_gradients),
            f"{self.parameters:,}", self.dtype,
        )  # fmt: skip


@dataclass(frozen=True)
class Summary:
    """The layers of a model in order, and how many numbers its parameters hold, shared ones counted once."""

    layers: tuple[Layer, ...]
    parameters: int
    trainable: int

    def __str__(self) -> str:
        return f"{text_table(HEADER, [layer.cells() for layer in self.layers])}\n{self._total()}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"{html_table(HEADER, [layer.cells() for layer in self.layers])}<p>{self._total()}</p>"

    def _total(self) -> str:
        return f"{self.parameters:,} parameters, {self.trainable:,} trainable"


def summary(model: Module, *x: Any, t: Any = None, loss: Callable[..., Any] | None = None) -> Summary:
    """Every layer of `model` on data of the shape of `x`: a graph is traced, no arithmetic is done on data.

    Args:
        model: any module.
        x: one for each argument of the model: data, a placeholder, or only a shape such as `(32, 2)`.
        t: targets (or their shape) for `loss`.
        loss: the loss whose gradients' shapes are shown; None: the sum of the outputs.

    Raises ShapeError, naming the layer, both shapes and the user's line, where a layer does not fit what it gets.

    >>> from chainrule import nn
    >>> table = summary(nn.Sequential(nn.Linear(2, 3), nn.Tanh()), (32, 2))
    >>> [(layer.path, layer.outputs) for layer in table.layers], table.parameters
    ([('0', ((32, 3),)), ('1', ((32, 3),))], 9)
    """
    placeholders = [_placeholder(value, f"x{i}" if len(x) > 1 else "x") for i, value in enumerate(x)]
    y = model(*placeholders)
    outputs = [item for item in (y if isinstance(y, tuple | list) else (y,)) if isinstance(item, Tensor)]
    order = walk(outputs)
    total = _number(outputs) if loss is None else loss(y, *([] if t is None else [_placeholder(t, "t")])).mean()
    modules = model.named_modules()
    own = {path: {n: p for n, p in m.children() if isinstance(p, Parameter)} for path, m in modules.items()}
    ends = {path: _ends(path, order, outputs) for path in modules}
    wanted = list(dict.fromkeys([*(p for held in own.values() for p in held.values()), *_sources(ends.values())]))
    wanted = [node for node in wanted if is_float(node.dtype)]
    # the seed is a placeholder too, so that no gradient is computed
    slopes = gradient(total, wanted, Input((), total.dtype))
    shapes = {node: g.shape for node, g in zip(wanted, slopes, strict=True)}
    exact = {".".join(node.path[1:]) for node in order if not node.is_leaf and node.path}
    rows = [
        _row(path, module, own[path], ends[path], shapes)
        for path, module in modules.items()
        if own[path] or path in exact or len(module.modules()) == 1
    ]
    parameters = model.named_parameters().values()
    trainable = sum(p.size for p in parameters if p.trainable)
    return Summary(tuple(rows), sum(p.size for p in parameters), trainable)


Ends = tuple[list[Any], list[Any]]


def _ends(path: str, order: Sequence[Node], outputs: Sequence[Node]) -> Ends:
    """The nodes that enter a module from outside, and those of its own that leave it."""

    def belongs(node: Node) -> bool:
        home = ".".join(node.path[1:])
        return bool(node.path) and (not path or home == path or home.startswith(path + "."))

    inside = {node for node in order if not node.is_leaf and belongs(node)}
    inputs = dict.fromkeys(
        x for node in order if node in inside for x in node.inputs
        if x not in inside and x.tracked and not isinstance(x, Parameter)
    )  # fmt: skip
    left = {x for node in order if node not in inside for x in node.inputs} | set(outputs)
    return list(inputs), [node for node in order if node in inside and node in left]


def _sources(ends: Any) -> list[Any]:
    return [x for inputs, _ in ends for x in inputs]


def _row(path: str, module: Module, own: dict[str, Parameter], ends: Ends, gradients: dict[Any, Shape]) -> Layer:
    inputs, outputs = ends
    dtypes = dict.fromkeys(str(x.dtype) for x in (*own.values(), *outputs))
    return Layer(
        path=path,
        kind=type(module).__name__,
        inputs=tuple(x.shape for x in inputs),
        outputs=tuple(x.shape for x in outputs),
        weights={name: p.shape for name, p in own.items()},
        input_gradients=tuple(gradients.get(x) for x in inputs),
        weight_gradients={name: gradients[p] for name, p in own.items() if p.trainable},
        parameters=sum(p.size for p in own.values()),
        dtype=" → ".join(dtypes),
    )


def _placeholder(value: Any, name: str) -> Tensor:
    if isinstance(value, tuple) and all(isinstance(n, int) for n in value):
        return Input(value, name=name)
    given = value if hasattr(value, "shape") and hasattr(value, "dtype") else as_tensor(value)
    return Input(given.shape, given.dtype, name=name)


def _number(outputs: Sequence[Tensor]) -> Tensor:
    found = [y.sum() for y in outputs if is_float(y.dtype)]
    total = found[0]
    for part in found[1:]:
        total = total + part
    return total


def _shapes(shapes: Sequence[Shape | None]) -> str:
    return ", ".join("none" if shape is None else str(shape) for shape in shapes)


def _named(shapes: dict[str, Shape]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items())
