"""What is stored and what is computed where it is read, and which matrix products read a copy of an operand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chainrule.compiler.tiles import pays
from chainrule.formula import WRITTEN_OUT, Reshaped, Stores
from chainrule.graph import Node
from chainrule.primitives.contraction import parse

__all__ = ["MatrixProduct", "by_loops", "is_free", "is_read_often", "lower_of", "product", "renames", "stored_nodes"]

_LARGEST_INLINE = 400  # operations of one element's formula
_MANY_ROWS = 16  # that read an operand of a product, for a copy of it to pay
_LONG_ENOUGH = 8  # its own axes, for the copy to be made of whole vectors
_DEEPEST_INLINE = 100  # bounds the recursion over formulas
_TRANSPARENT = frozenset(("alias", "stop_gradient", "custom"))


@dataclass(frozen=True, eq=False)
class MatrixProduct:
    """(m, k) by (k, n): the operands as they lie in memory; a flag says that one lies transposed.

    Attributes:
        sizes: m, n, k.
    """

    sizes: tuple[int, int, int]
    a: tuple[Node, bool]
    b: tuple[Node, bool]


def stored_nodes(order: Sequence[Node], inputs: set[Node], outputs: Sequence[Node]) -> set[Node]:
    """The nodes that get a buffer: decided from the last to the first, since it depends on the readers.

    Stored is what is asked for, what is written rather than read, what several readers share, what one reader would
    compute more than once an element, and what a reshape renames; the rest is computed where it is read.
    """
    stored = {node for node in outputs if not node.is_leaf} | _cuts(order, inputs)
    reads: dict[Node, int] = dict.fromkeys(order, 0)
    repeated: set[Node] = set()
    for node in reversed(order):
        if node.is_leaf or node in inputs:
            continue
        free = is_free(node)
        again = node in repeated and not _is_narrow(node)
        if isinstance(lower_of(node), Stores) or (not free and (reads[node] > 1 or again)):
            stored.add(node)
        fused = node not in stored
        for i, x in enumerate(node.inputs):
            reads[x] += reads[node] if fused else 1
            if _repeats(node) or (fused and node in repeated):
                repeated.add(x)
            if not x.is_leaf and (renames(node) or (i == 1 and _name(node) in ("gather", "scatter_add"))):
                stored.add(x)
    return stored


def _cuts(order: Sequence[Node], inputs: set[Node]) -> set[Node]:
    """Nodes stored only to keep the formulas of what is fused short."""
    found: set[Node] = set()
    size: dict[Node, int] = {}
    depth: dict[Node, int] = {}
    for node in order:
        if node.is_leaf or node in inputs:
            size[node] = depth[node] = 1
            continue
        size[node] = _width(node) + sum(size[x] for x in node.inputs)
        depth[node] = _terms(node) % (WRITTEN_OUT + 1) + max(depth[x] for x in node.inputs)
        if size[node] > _LARGEST_INLINE or depth[node] > _DEEPEST_INLINE:
            found.add(node)
            size[node] = depth[node] = 1
    return found


def product(node: Node, leaves: set[Node]) -> MatrixProduct | None:
    """What a node multiplies, if it is a matrix product; None for anything else."""
    if node.is_leaf or node in leaves or _name(node) != "contract":
        return None
    a, b, out = parse(node.attrs["spec"])
    if not (len(a) == len(b) == len(out) == 2 and len({*a, *b}) == 3):
        return None
    (x, a), (y, b) = (_behind_transposes(x, labels) for x, labels in zip(node.inputs, (a, b), strict=True))
    if out[0] not in a:
        (x, a), (y, b) = (y, b), (x, a)
    inner = next(label for label in a if label not in out)
    sizes = dict(zip(a + b, x.shape + y.shape, strict=True))
    m, n, k = sizes[out[0]], sizes[out[1]], sizes[inner]
    flip_a, flip_b = a == inner + out[0], b == out[1] + inner
    return MatrixProduct((m, n, k), (x, flip_a), (y, flip_b))


def by_loops(found: MatrixProduct, node: Node) -> bool:
    """Whether a product is not so large that it is computed in tiles."""
    return not pays(*found.sizes, node.dtype)


def is_read_often(found: MatrixProduct) -> bool:
    """Whether a product reads its operands so often that a copy of one that lies badly pays."""
    m, n, k = found.sizes
    return m >= _MANY_ROWS and min(n, k) >= _LONG_ENOUGH


def _behind_transposes(x: Node, labels: str) -> tuple[Node, str]:
    while not x.is_leaf and _name(x) == "transpose":
        labels = "".join(labels[x.attrs["axes"].index(i)] for i in range(len(labels)))
        x = x.inputs[0]
    return x, labels


def _width(node: Node) -> int:
    """How many terms a formula gets from a node: those of a written-out sum, for each element of a short row."""
    if not _is_narrow(node):
        return 1
    return max(1, math.prod(node.shape) // max((1, *node.shape))) * _terms(node)


def _terms(node: Node) -> int:
    """How many terms one element of a sum has."""
    if _name(node) == "contract":
        labels, _, out = parse(node.attrs["spec"])
        return math.prod(n for label, n in zip(labels, node.inputs[0].shape, strict=True) if label not in out)
    return math.prod(node.inputs[0].shape[a] for a in node.attrs["axes"]) if _name(node) in ("sum", "max") else 1


def _is_narrow(node: Node) -> bool:
    """Whether it has many short rows: then a sum over a row is written out, and what it reads need not be stored."""
    rows = max((1, *node.shape))
    return math.prod(node.shape) <= rows * WRITTEN_OUT and rows > WRITTEN_OUT and _terms(node) <= WRITTEN_OUT


def renames(node: Node) -> bool:
    """Whether it is a reshape that does more than add or drop axes of size 1."""
    return isinstance(lower_of(node), Reshaped) and not _only_units(node)


def _only_units(node: Node) -> bool:
    return [n for n in node.shape if n != 1] == [n for n in node.inputs[0].shape if n != 1]


def _repeats(node: Node) -> bool:
    """Whether it reads an element of its inputs more than once."""
    return _name(node) in ("expand", "contract", "gather")


def is_free(node: Node) -> bool:
    """Whether reading it costs as much as reading its input."""
    moves = _name(node) in ("expand", "transpose", "flip", "slice", *_TRANSPARENT)
    return moves or isinstance(lower_of(node), Reshaped)


def _name(node: Node) -> str:
    assert node.primitive is not None
    return node.primitive.name


def lower_of(node: Node) -> Any:
    """How an operation says its loop body (`Primitive.lower`)."""
    assert node.primitive is not None
    return node.primitive.lower
