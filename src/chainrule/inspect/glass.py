"""The glass box: for one run of a graph, what stands on every edge.

On the edge from `x` to `y` stand x's value, the local derivative dy/dx, the adjoint that comes in from above (the
gradient of y), and their product, the contribution to x's gradient. A node's gradient is the sum of the contributions
on the edges that leave it. All numbers come from the rules that the derivatives of the library are made of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from chainrule.autodiff import tangent
from chainrule.dtypes import is_float
from chainrule.errors import GradientError, OptionError, explain
from chainrule.evaluate import Program
from chainrule.graph import Node, dependents, walk
from chainrule.inspect import show
from chainrule.primitive import Smooth, pull
from chainrule.primitives.elementwise import alias, ones_like
from chainrule.tensor import Input, Parameter, Tensor, TensorLike, as_tensor, cast_to

__all__ = ["Cost", "EdgeRun", "NodeRun", "Trace", "trace"]

Arrays = dict[Node, np.ndarray]


@dataclass(frozen=True, eq=False)
class NodeRun:
    """One node in one run.

    Attributes:
        node: the node of the graph.
        label: its name, else its operation (numbered where several are alike).
        operation: what computes it; for a leaf what kind of leaf it is.
        value: its value in this run.
        gradient: the derivative of the output for it: the sum of the contributions on its edges; None for what nothing
            was asked for (constants, integers).
    """

    node: Node
    label: str
    operation: str
    value: np.ndarray
    gradient: np.ndarray | None

    @property
    def line(self) -> str:
        """The user's line that made it."""
        return str(self.node.source or "")


@dataclass(frozen=True, eq=False)
class EdgeRun:
    """One edge in one run: `source` is input number `place` of `target`.

    Attributes:
        value: the value of `source`.
        local: the local derivative d target / d source of an element-wise operation, of the value's shape; None for
            other operations, whose `jacobian()` is made on request.
        adjoint: the gradient of `target`.
        contribution: what `source` gets of it; None where nothing flows.
    """

    source: NodeRun
    target: NodeRun
    place: int
    value: np.ndarray
    local: np.ndarray | None
    adjoint: np.ndarray | None
    contribution: np.ndarray | None
    _operation: Node
    _values: Mapping[Node, np.ndarray]

    def jacobian(self, limit: int = 1_000_000) -> np.ndarray:
        """Every local derivative: shape (*target shape, *source shape).

        Raises OptionError if it has more than `limit` elements.
        """
        y, x = self._operation, self._operation.inputs[self.place]
        size = int(np.prod(y.shape)) * int(np.prod(x.shape))
        if size > limit:
            raise OptionError(
                explain("jacobian()", f"{y.describe()} for {x.describe()}", f"it has {size} elements, over {limit}")
            )
        seed = Input(y.shape, y.dtype)
        (part,) = pull(y, seed, [self.place])
        if part is None:
            return np.zeros((*y.shape, *x.shape))
        known = [y, *dict.fromkeys(y.inputs)]
        program = Program([seed, *known], [part])
        rows = [program(row, *(self._values[node] for node in known))[0] for row in _basis(y)]
        return np.reshape(rows, (*y.shape, *x.shape))


@dataclass(frozen=True)
class Cost:
    """What one mode of differentiation costs.

    Attributes:
        passes: how many times it goes through the graph.
        operations: operations applied in all passes together, the value's own not counted.
    """

    passes: int
    operations: int

    def __str__(self) -> str:
        return f"{self.passes} pass{'' if self.passes == 1 else 'es'}, {self.operations} operations"


@dataclass(frozen=True, eq=False)
class Trace:
    """One run of a graph with every number in it. Printed it is two tables; in a notebook a picture as well.

    Attributes:
        output: the node that was differentiated.
        wrt: the leaves it was differentiated for.
        nodes: every node, inputs before users.
        edges: every edge, in the order of the nodes they lead to.

    >>> from chainrule.tensor import variable
    >>> x = variable(3.0, "x")
    >>> seen = trace((x * x).named("y"))
    >>> float(seen["x"].gradient), [float(edge.contribution) for edge in seen.edges], str(seen.reverse_cost)
    (6.0, [3.0, 3.0], '1 pass, 3 operations')
    """

    output: NodeRun
    wrt: tuple[Node, ...]
    nodes: tuple[NodeRun, ...]
    edges: tuple[EdgeRun, ...]

    def __getitem__(self, key: str | Node) -> NodeRun:
        """The node with this label, or this node of the graph."""
        for run in self.nodes:
            if run.node is key or (isinstance(key, str) and run.label == key):
                return run
        wanted = key if isinstance(key, str) else key.describe()
        raise KeyError(f"no node {wanted}; there are {', '.join(run.label for run in self.nodes)}")

    def edge(self, source: str | Node, target: str | Node, place: int | None = None) -> EdgeRun:
        """The edge between two nodes; `place` is needed where there are several (x * x)."""
        a, b = self[source], self[target]
        found = [e for e in self.edges if e.source is a and e.target is b and place in (None, e.place)]
        if len(found) != 1:
            raise KeyError(f"{len(found)} edges from {a.label} to {b.label}; their places: {[e.place for e in found]}")
        return found[0]

    @property
    def value_cost(self) -> int:
        """Operations applied to compute the value."""
        return sum(map(_counts, walk([self.output.node])))

    @property
    def reverse_cost(self) -> Cost:
        """Reverse mode: one pass, whatever the number of inputs."""
        y = self.output.node
        gradients, _ = _flows(y, walk([y]), self.wrt, Input(y.shape, y.dtype))
        return Cost(1, _new([gradients[x] for x in self.wrt if x in gradients], y))

    @property
    def forward_cost(self) -> Cost:
        """Forward mode: one pass for every number that is differentiated for."""
        y, passes, operations = self.output.node, 0, 0
        for x in self.wrt:
            count = int(np.prod(x.shape))
            passes += count
            operations += count * _new(tangent([y], {x: Input(x.shape, x.dtype)}), y)  # type: ignore[list-item, dict-item]
        return Cost(passes, operations)

    def __str__(self) -> str:
        return show.text(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return show.html(self)


def trace(
    output: Tensor,
    wrt: Sequence[Tensor] | None = None,
    *,
    feed: Mapping[Tensor, TensorLike] | None = None,
    seed: TensorLike | None = None,
) -> Trace:
    """One run of the graph of `output`, with the numbers on every node and edge.

    Args:
        output: a number (shape ()), unless `seed` is given.
        wrt: with respect to which nodes; None: every parameter, variable and float placeholder.
        feed: a value for every placeholder. Parameters hold the value they have now.
        seed: the gradient of `output` itself; None: 1.

    Raises GradientError when `output` is no float, or no number and there is no `seed`; OptionError for a placeholder
    without a value.

    >>> from chainrule.tensor import variable
    >>> x, y, z = variable(-2.0, "x"), variable(5.0, "y"), variable(-4.0, "z")
    >>> q = (x + y).named("q")
    >>> f = (q * z).named("f")
    >>> seen = trace(f)
    >>> float(seen["q"].value), float(seen["f"].value), float(seen.edge("z", "f").local)
    (3.0, -12.0, 3.0)
    """
    order = walk([output])
    leaves = tuple(wrt) if wrt is not None else tuple(x for x in order if x.is_leaf and x.tracked and is_float(x.dtype))
    gradients, parts = _flows(output, order, leaves, _seed(output, seed))
    locals_ = {key: found for key in parts if (found := _local(*key)) is not None}
    flows = [part for part in parts.values() if part is not None]
    values = _evaluated([*order, *gradients.values(), *flows, *locals_.values()], feed)
    return _assembled(output, leaves, order, gradients, parts, locals_, values)


Flows = tuple[dict[Node, Node], dict[tuple[Node, int], "Node | None"]]


def _flows(output: Node, order: Sequence[Node], leaves: Sequence[Node], seed: Node) -> Flows:
    """The gradient of every node, and the contribution on every edge (target, place), as in `gradient`."""
    active = dependents(order, leaves)
    gradients: dict[Node, Node] = {output: seed}
    parts: dict[tuple[Node, int], Node | None] = {}
    for node in reversed(order):
        places = [i for i, x in enumerate(node.inputs) if x in active and is_float(x.dtype)]
        if not places or node not in gradients:
            continue
        for i, part in zip(places, pull(node, gradients[node], places), strict=True):
            parts[node, i] = part
            if part is not None:
                x = node.inputs[i]
                gradients[x] = gradients[x] + part if x in gradients else part  # type: ignore[operator]
    return gradients, parts


def _seed(output: Tensor, seed: TensorLike | None) -> Tensor:
    if seed is not None:
        return cast_to(as_tensor(seed), output.dtype)
    if output.shape != () or not is_float(output.dtype):
        raise GradientError(
            explain(
                f"trace of {output.describe()}",
                f"its shape is {output.shape}, its dtype {output.dtype}",
                "a gradient is that of one float",
                "Take its sum or mean, or give a seed.",
            )
        )
    return ones_like(output)


def _local(node: Node, place: int) -> Node | None:
    """The local derivative of an element-wise operation, of its value's shape."""
    rule = node.primitive.derivative if node.primitive else None
    if not isinstance(rule, Smooth):
        return None
    partial = rule.partial(node, place)
    return partial if isinstance(partial, Node) else as_tensor(np.full(node.shape, partial, node.dtype))


def _evaluated(nodes: Sequence[Node], feed: Mapping[Tensor, TensorLike] | None) -> Arrays:
    given = feed or {}
    wanted = list(dict.fromkeys(nodes))
    arrays = [np.asarray(as_tensor(value).value, dtype=x.dtype) for x, value in given.items()]
    for x, array in zip(given, arrays, strict=True):
        if array.shape != x.shape:
            raise OptionError(explain("trace", f"the value of {x.describe()} is {array.shape}", "the shapes differ"))
    return dict(zip(wanted, Program(list(given), wanted)(*arrays), strict=True))


def _assembled(
    output: Node, wrt: tuple[Node, ...], order: Sequence[Node], gradients: dict[Node, Node],
    parts: Mapping[tuple[Node, int], Node | None], locals_: Mapping[tuple[Node, int], Node], values: Arrays,
) -> Trace:  # fmt: skip
    stand_in = _renamed(order)
    made_by = {name: node for node, name in stand_in.items()}
    shown = [node for node in order if node not in stand_in]
    gradients = {node: gradients.get(node, gradients.get(stand_in.get(node, node))) for node in order}  # type: ignore
    runs = {}
    for node, label in zip(shown, _labels(shown, values), strict=True):
        g = gradients.get(node)
        operation = _operation(made_by.get(node, node))
        runs[node] = NodeRun(node, label, operation, values[node], None if g is None else values[g])
    edges = []
    for node in order:
        target = runs[stand_in.get(node, node)]
        for i, x in enumerate(node.inputs if node not in made_by else ()):
            part, local = parts.get((node, i)), locals_.get((node, i))
            adjoint = gradients.get(node) if (node, i) in parts else None
            l, a, c = (None if found is None else values[found] for found in (local, adjoint, part))
            source = runs[stand_in.get(x, x)]
            edges.append(EdgeRun(source, target, i, values[x], l, a, c, node, values))
    return Trace(runs[output], wrt, tuple(runs.values()), tuple(edges))


def _renamed(order: Sequence[Node]) -> dict[Node, Node]:
    """Nodes that exist only to be given a name: {the unnamed operation: the node that names it}, shown as one."""
    uses = Counter(x for node in order for x in node.inputs)
    found = {}
    for node in order:
        if node.primitive is alias and node.name:
            (x,) = node.inputs
            if not x.is_leaf and not x.name and uses[x] == 1:
                found[x] = node
    return found


def _operation(node: Node) -> str:
    if node.primitive:
        return node.primitive.name
    if not node.tracked:
        return "constant"
    return "variable" if type(node) is Tensor else "input" if isinstance(node, Input) else "parameter"


def _labels(nodes: Sequence[Node], values: Arrays) -> list[str]:
    """A label for every node, no two alike but those of constants, which are called by their value."""
    homes: dict[Node, tuple[str, ...]] = {
        x: node.path for node in reversed(nodes) for x in node.inputs if isinstance(x, Parameter)
    }
    wanted = []
    for node in nodes:
        # the outermost module is the model itself, as in the paths of its parameters
        path = homes.get(node, node.path if not node.name else ())[1:]
        wanted.append(".".join([*path, node.name or _operation(node)]))
    count, seen, found = Counter(wanted), Counter[str](), []
    for node, label in zip(nodes, wanted, strict=True):
        seen[label] += 1
        if node.is_leaf and not node.tracked and not node.name:
            found.append(show.constant_label(values[node]))
        else:
            found.append(f"{label} {seen[label]}" if count[label] > 1 else label)
    return found


def _new(nodes: Sequence[Node], known: Node) -> int:
    """How many operations `nodes` take beyond those that `known` has taken."""
    had = set(walk([known]))
    return sum(_counts(node) and node not in had for node in walk(nodes))


def _counts(node: Node) -> bool:
    """Whether a node is work: neither a leaf nor another name for one."""
    return not node.is_leaf and node.primitive is not alias


def _basis(y: Node) -> list[np.ndarray]:
    size = int(np.prod(y.shape))
    return [np.eye(1, size, i, dtype=y.dtype).reshape(y.shape) for i in range(size)]
