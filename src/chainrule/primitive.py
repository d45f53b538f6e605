"""The record that states an operation once, and the three ways to state a derivative.

A primitive says its derivative **once**; forward mode (`push`) and reverse mode (`pull`) both follow from it:

- `Smooth`: element-wise, the partial derivative for each input;
- `Linear`: the operation is its own forward derivative, the rule is its transpose;
- `Multilinear`: linear in each input by itself (products), one transpose an input;
- `Selecting`: a reduction along axes that weighs its elements (max, min);
- `Flat`: the derivative is zero wherever it exists, and it is said why.

In rules `g` is the incoming gradient, `y` the output, `x`, `a`, `b` the inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np

from chainrule.dtypes import DType
from chainrule.errors import DTypeError, GradientError, ShapeError, explain
from chainrule.formula import Reshaped, Stores, elementwise
from chainrule.graph import READ, Node, Shape, origin_of

__all__ = [
    "REGISTRY", "Derivative", "Flat", "Linear", "Multilinear", "Primitive", "Selecting", "Smooth", "constant",
    "linear", "multilinear", "smooth",
]  # fmt: skip

Rule: TypeAlias = Callable[..., Any]
REGISTRY: dict[str, Primitive] = {}


class Derivative(Protocol):
    """Both modes of differentiation of one operation."""

    def pull(self, node: Node, g: Node, wanted: Sequence[int]) -> list[Node | None]:
        """The contribution of `node`, whose gradient is `g`, to each of its inputs `wanted` (None: exactly zero)."""
        ...

    def push(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        """The tangent of `node`, given its inputs' (None: exactly zero)."""
        ...


@dataclass(frozen=True, eq=False)
class Primitive:
    """One operation: everything that is to be known about it.

    Attributes:
        name: what messages and pictures call it.
        shape: (input shapes, **attrs) -> output shape, or a ShapeError that names them.
        evaluate: (arrays, **attrs) -> array, in NumPy: the definition.
        derivative: the rule, one of the classes above.
        batch: (n, **attrs) -> attrs of the same operation once every input has one more axis, of n, in front;
            None if it has no such form.
        dtype: (input dtypes, **attrs) -> output dtype; by default all inputs have one dtype and so has the output.
        lower: the loop body: (operands, index, **attrs) -> the element of the result at `index`, a `formula.Expr`; or,
            where the result is better said by what is written where, a `formula.Stores`.
    """

    name: str
    shape: Callable[..., Shape]
    evaluate: Callable[..., Any]
    derivative: Derivative
    batch: Callable[..., dict[str, Any]] | None
    dtype: Callable[..., DType]
    lower: Rule | Stores | Reshaped

    def __post_init__(self) -> None:
        if self.name in REGISTRY:
            raise ValueError(f"there are two primitives called {self.name!r}")
        REGISTRY[self.name] = self

    def __call__(self, *inputs: Node, **attrs: Any) -> Any:
        """A node of this operation, computed at once where all inputs hold values."""
        shape = self.shape(*[x.shape for x in inputs], **attrs)
        dtype = self.dtype(*[x.dtype for x in inputs], **attrs)
        arrays: list[np.ndarray] = []
        tracked = False
        for x in inputs:
            tracked = tracked or x.tracked
            array = x.value
            if array is not None:
                arrays.append(array)
        value = None
        if len(arrays) == len(inputs):
            with np.errstate(all="ignore"):
                value = frozen(self.evaluate(*arrays, **attrs))
        family = inputs[0].family
        if tracked:
            return family(self, inputs, attrs, shape, dtype, value, tracked=True)
        return family(None, (), _read_for(inputs), shape, dtype, value, tracked=False)

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"


def _read_for(constants: Sequence[Node]) -> Mapping[str, Any]:
    """What a constant made of these has to say of machine code that read parameters for it."""
    told = [x.attrs[READ] for x in constants if x.attrs]
    return {READ: tuple(dict.fromkeys(node for read in told for node in read))} if told else {}


def frozen(value: Any) -> np.ndarray:
    """`value` as a read-only array: what a node holds is never changed under the graph."""
    array = np.asarray(value)
    array.setflags(write=False)
    return array


def constant(like: Node, value: Any) -> Any:
    """A leaf of the same family as `like` without history."""
    array = frozen(value)
    return like.family(None, (), {}, array.shape, array.dtype, array, tracked=False)


def same_dtype(*dtypes: DType) -> DType:
    """The one dtype of all inputs."""
    if len(set(dtypes)) > 1:
        raise DTypeError(
            explain("primitive", ", ".join(map(str, dtypes)), "the dtypes differ", "Cast them to one dtype first.")
        )
    return dtypes[0]


def same_shape(*shapes: Shape) -> Shape:
    """The one shape of all inputs."""
    if len(set(shapes)) > 1:
        raise ShapeError(
            explain(
                "primitive",
                ", ".join(map(str, shapes)),
                "the shapes differ",
                "Expand them to one shape first.",
            )
        )
    return shapes[0]


@dataclass(frozen=True)
class Smooth:
    """Element-wise: `partials[i](y, *inputs)` is dy/dx_i, a tensor or a number; None where it is zero everywhere."""

    partials: tuple[Rule | None, ...]

    def pull(self, node: Node, g: Node, wanted: Sequence[int]) -> list[Node | None]:
        return [self._times(g, node, i) for i in wanted]

    def push(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        return _total([self._times(t, node, i) for i, t in enumerate(tangents) if t is not None])

    def partial(self, node: Node, i: int) -> Any:
        """The local derivative of `node` with respect to its input `i`."""
        rule = self.partials[i]
        return 0 if rule is None else rule(node, *node.inputs, **node.attrs)

    def _times(self, flow: Any, node: Node, i: int) -> Node | None:
        p = self.partial(node, i)
        if isinstance(p, int | float):
            return None if p == 0 else flow if p == 1 else -flow if p == -1 else flow * p
        return flow * p


@dataclass(frozen=True)
class Linear:
    """Linear in the inputs `operands` together: `transpose(g, *inputs)` is a gradient for each of those, in order."""

    transpose: Rule
    operands: tuple[int, ...] | None = None  # None: all

    def pull(self, node: Node, g: Node, wanted: Sequence[int]) -> list[Node | None]:
        found = self.transpose(g, *node.inputs, **node.attrs)
        gradients = dict(zip(self._operands(node), found if isinstance(found, tuple) else (found,), strict=True))
        return [gradients.get(i) for i in wanted]

    def push(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        if all(tangents[i] is None for i in self._operands(node)):
            return None
        inputs = list(node.inputs)
        for i in self._operands(node):
            x, t = inputs[i], tangents[i]
            inputs[i] = constant(x, np.zeros(x.shape, x.dtype)) if t is None else t
        assert node.primitive is not None
        return node.primitive(*inputs, **node.attrs)

    def _operands(self, node: Node) -> tuple[int, ...]:
        return self.operands if self.operands is not None else tuple(range(len(node.inputs)))


@dataclass(frozen=True)
class Multilinear:
    """Linear in every input by itself: `transposes[i](g, *inputs)` is the gradient of input `i`."""

    transposes: tuple[Rule, ...]

    def pull(self, node: Node, g: Node, wanted: Sequence[int]) -> list[Node | None]:
        return [self.transposes[i](g, *node.inputs, **node.attrs) for i in wanted]

    def push(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        assert node.primitive is not None
        terms = []
        for i, t in enumerate(tangents):
            if t is not None:
                inputs = [*node.inputs[:i], t, *node.inputs[i + 1 :]]
                terms.append(node.primitive(*inputs, **node.attrs))
        return _total(terms)


@dataclass(frozen=True)
class Selecting:
    """A reduction over `axes` with dy = sum(w dx): `weights(y, x, axes)` is w; `total` and `expand` are that sum's."""

    weights: Rule
    expand: Rule
    total: Rule

    def pull(self, node: Node, g: Node, wanted: Sequence[int]) -> list[Node | None]:
        (x,), axes = node.inputs, node.attrs["axes"]
        return [self.expand(g, shape=x.shape, axes=axes) * self.weights(node, x, axes)]

    def push(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        (x,), (t,), axes = node.inputs, tangents, node.attrs["axes"]
        return None if t is None else self.total(t * self.weights(node, x, axes), axes=axes)


@dataclass(frozen=True)
class Flat:
    """No derivative flows: the operation is constant wherever it has one. `why` is shown to who asks."""

    why: str

    def pull(self, node: Node, g: Node, wanted: Sequence[int]) -> list[Node | None]:
        return [None for _ in wanted]

    def push(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        return None


def _total(terms: Sequence[Any]) -> Any:
    found = [term for term in terms if term is not None]
    if not found:
        return None
    total = found[0]
    for term in found[1:]:
        total = total + term
    return total


def smooth(
    name: str, evaluate: Rule, *partials: Rule | None, dtype: Rule = lambda *d, **_: same_dtype(*d)
) -> Primitive:
    """An element-wise primitive by its value and its partial derivatives (with none given it is flat)."""
    derivative = Smooth(partials) if partials else Flat(f"{name} is piecewise constant")
    lower = elementwise(evaluate)
    return Primitive(name, lambda *s, **_: same_shape(*s), evaluate, derivative, lambda n, **attrs: attrs, dtype, lower)


def linear(
    name: str, *, shape: Rule, evaluate: Rule, transpose: Rule, batch: Rule | None, lower: Rule | Stores | Reshaped,
    operands: tuple[int, ...] | None = None, dtype: Rule = lambda *d, **_: same_dtype(*d),
) -> Primitive:  # fmt: skip
    """A primitive that is linear in its inputs (or those at `operands`) together, by its transpose."""
    return Primitive(name, shape, evaluate, Linear(transpose, operands), batch, dtype, lower)


def multilinear(
    name: str, *, shape: Rule, evaluate: Rule, transposes: tuple[Rule, ...], batch: Rule | None, lower: Rule
) -> Primitive:
    """A primitive that is linear in each of its inputs, by one transpose for each."""
    return Primitive(name, shape, evaluate, Multilinear(transposes), batch, lambda *d, **_: same_dtype(*d), lower)


def pull(node: Node, g: Node, wanted: Sequence[int]) -> list[Node | None]:
    """`Derivative.pull`, with the one check every rule gets: a gradient has the shape and dtype of its input."""
    assert node.primitive is not None
    with origin_of(node):
        found = node.primitive.derivative.pull(node, g, wanted)
    for i, gradient in zip(wanted, found, strict=True):
        x = node.inputs[i]
        if gradient is not None and (gradient.shape != x.shape or gradient.dtype != x.dtype):
            raise GradientError(
                explain(
                    f"the derivative of {node.describe()}",
                    f"for input {i}, {x.describe()} of {x.dtype}, it gave {gradient.shape} of {gradient.dtype}",
                    "a gradient has the shape and dtype of its input",
                )
            )
    return found


def push(node: Node, tangents: Sequence[Node | None]) -> Node | None:
    """`Derivative.push`, made at the user's line of `node`."""
    assert node.primitive is not None
    with origin_of(node):
        return node.primitive.derivative.push(node, tangents)
