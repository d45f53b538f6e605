"""Nodes that compute the same are computed once (value numbering): graph in, graph out."""

from __future__ import annotations

from collections.abc import Container, Hashable, Sequence

from chainrule.compiler.schedule import uniform
from chainrule.compiler.signature import frozen_attrs
from chainrule.graph import Node, walk

__all__ = ["again", "without_repeats"]


def without_repeats(outputs: Sequence[Node], kept: Container[Node] = ()) -> dict[Node, Node]:
    """For every node that `outputs` are computed from, the node that stands for it.

    An operation with the attributes and inputs of an earlier one is that one, and equal numbers are one leaf. What is
    to be `kept` stands for itself alone, and so does what the user named, so that it can be found.
    """
    made: dict[Node, Node] = {}
    known: dict[Hashable, Node] = {}
    for node in walk(outputs):
        inputs = tuple(made[x] for x in node.inputs)
        key = None if node in kept else _key(node, inputs)
        same = known.get(key) if key is not None else None
        if same is None:
            changed = any(a is not b for a, b in zip(inputs, node.inputs, strict=True))
            same = again(node, inputs) if changed else node
            if key is not None:
                known[key] = same
        made[node] = same
    return made


def _key(node: Node, inputs: Sequence[Node]) -> Hashable:
    """Equal for nodes that are the same number or operation; None for any other."""
    if node.primitive is None:
        number = uniform(node)
        return None if number is None else ("", node.shape, node.dtype, repr(number.data))
    if node.name:
        return None
    return node.primitive.name, frozen_attrs(node), tuple(id(x) for x in inputs), node.shape, node.dtype


def again(node: Node, inputs: Sequence[Node]) -> Node:
    """The same operation on other inputs."""
    made = node.family(
        node.primitive, inputs, node.attrs, node.shape, node.dtype, None, tracked=node.tracked, name=node.name
    )
    made.path, made.source = node.path, node.source
    return made
