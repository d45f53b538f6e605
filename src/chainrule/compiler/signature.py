"""What makes two graphs the same to the compiler: structure and names, without the values that a call hands over."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from chainrule.compiler.kernels import Rows
from chainrule.compiler.schedule import uniform
from chainrule.graph import Node, walk

__all__ = ["frozen_attrs", "signature"]


def signature(
    inputs: Sequence[Node], outputs: Sequence[Node], rows: Rows | None = None, order: Sequence[Node] | None = None
) -> Hashable:
    """A key that is equal for two graphs only if they have the same machine code, which is shown in the same names.

    `order` is their walk.
    """
    order = walk(outputs) if order is None else order
    number = {node: i for i, node in enumerate(order)}
    extra = [x for x in inputs if x not in number]
    number |= {node: len(order) + i for i, node in enumerate(extra)}
    nodes = tuple([_described(node, number) for node in (*order, *extra)])
    ends = tuple([number[x] for x in inputs]), tuple([number[y] for y in outputs])
    if rows is None:
        return nodes, ends
    links = [
        tuple((number.get(a), number[b], number[c]) for a, (b, c) in pairs.items())  # a leaf may be unused
        for pairs in (rows.read, rows.written)
    ]
    return nodes, ends, *links


def _described(node: Node, number: dict[Node, int]) -> Hashable:
    if node.primitive is None:
        number_in_code = uniform(node)
        return node.shape, node.dtype, node.label, None if number_in_code is None else repr(number_in_code.data)
    operation = node.primitive.name, frozen_attrs(node), tuple([number[x] for x in node.inputs])
    return *operation, node.shape, node.dtype, node.name, node.path


def frozen_attrs(node: Node) -> Hashable:
    """A node's attributes as a key."""
    return tuple([(name, _frozen(value)) for name, value in node.attrs.items()])


def _frozen(value: Any) -> Hashable:
    return (type(value), repr(value)) if isinstance(value, int | float) else value  # 0.0 is not -0.0, nor 1 1.0
