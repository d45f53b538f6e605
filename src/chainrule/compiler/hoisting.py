"""Loop-invariant code motion: what no step changes is computed before the steps. Graph in, graph out."""

from __future__ import annotations

import math
from collections.abc import Sequence

from chainrule.compiler.fusion import is_free
from chainrule.compiler.simplify import again
from chainrule.graph import Node, dependents, walk

__all__ = ["hoisted"]

_LEAST = 2**10  # elements: less is computed in every step sooner than it is fetched from elsewhere


def hoisted(inputs: Sequence[Node], outputs: Sequence[Node]) -> tuple[dict[Node, Node], list[Node]]:
    """The nodes that depend on none of `inputs`, each with a leaf that stands for it, and the outputs made of those.

    Such are the parameters of a model that is not trained in the dtype of the data. Of nodes that only move elements
    the one that they move is taken. There are none if they are small in all.
    """
    order = walk(outputs)
    varying = dependents(order, inputs)
    computed = [node for node in order if node not in varying and not (node.is_leaf or is_free(node))]
    if sum(math.prod(x.shape) for node in computed for x in (node, *node.inputs)) < _LEAST:
        return {}, list(outputs)
    wanted = {*outputs, *(x for node in order if node in varying for x in node.inputs)}
    found: dict[Node, Node] = {}
    for node in reversed(order):
        if node in wanted and node not in varying and not node.is_leaf:
            if is_free(node):
                wanted |= {*node.inputs}
            else:
                found[node] = _leaf(node)
    made: dict[Node, Node] = {}
    for node in order:
        changed = any(made[x] is not x for x in node.inputs)
        rest = again(node, [made[x] for x in node.inputs]) if changed else node
        made[node] = found.get(node, rest)
    return found, [made[y] for y in outputs]


def _leaf(node: Node) -> Node:
    """A leaf that stands for `node`; what only changes the dtype keeps the name of what it reads."""
    is_cast = node.primitive is not None and node.primitive.name == "cast"
    name = node.inputs[0].label if is_cast else node.label
    leaf = node.family(None, (), {}, node.shape, node.dtype, None, tracked=True, name=name)
    leaf.path = node.path
    return leaf
