"""Which node a graph cannot be compiled for."""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.compiler.program import assemble
from chainrule.compiler.schedule import schedule, uniform
from chainrule.graph import Node, walk

__all__ = ["culprit"]


def culprit(inputs: Sequence[Node], outputs: Sequence[Node]) -> tuple[Node, Exception] | None:
    """The first node that cannot be compiled by itself, and why; None if each of them can."""
    given = set(inputs)
    for node in walk(outputs):
        if node.is_leaf or node in given:
            continue
        try:
            alone, leaves = _alone(node)
            assemble(schedule(leaves, [alone]))
        except Exception as error:
            return node, error
    return None


def _alone(node: Node) -> tuple[Node, list[Node]]:
    """The same operation on leaves of its own (but for constants that stand in the code)."""
    inputs = [x if x.is_leaf and uniform(x) is not None else _leaf(x) for x in node.inputs]
    alone = Node(node.primitive, inputs, node.attrs, node.shape, node.dtype, None, tracked=True)
    return alone, [x for x, y in zip(inputs, node.inputs, strict=True) if x is not y]


def _leaf(x: Node) -> Node:
    return Node(None, (), {}, x.shape, x.dtype, None, tracked=True, name=x.label)
