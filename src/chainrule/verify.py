"""Both engines compared operation by operation: the first node that differs is named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.compiler import CompiledProgram
from chainrule.errors import VerificationError, explain
from chainrule.evaluate import Program
from chainrule.graph import Node, walk
from chainrule.primitive import Linear, Multilinear
from chainrule.tensor import Input

__all__ = ["Verifier"]


class Verifier:
    """Compares the engines on one graph.

    Every operation by itself is given the reference's values and must agree to a few roundings of its own; then the
    whole graph, as it is fused, must agree to half of the digits.

    Args:
        inputs: the leaves that get an array at every check.
        outputs: the nodes to compute.
    """

    def __init__(self, inputs: Sequence[Node], outputs: Sequence[Node]):
        given = set(inputs)
        self._inputs, self._outputs = tuple(inputs), tuple(outputs)
        self._nodes = [node for node in walk(outputs) if not node.is_leaf and node not in given]
        self._eps = _coarsest(walk(outputs))
        self._leaves: dict[Node, Node] = {}
        alone = [self._alone(node) for node in self._nodes]
        self._reference = Program(inputs, outputs)
        self._single = CompiledProgram(list(self._leaves.values()), alone)
        self._fused = CompiledProgram(inputs, outputs)

    def check(self, arrays: Sequence[Any]) -> None:
        """Compares both for these inputs; raises VerificationError."""
        values = dict(self._reference.trace(*arrays))
        found = self._single(*(values[x] for x in self._leaves))
        for node, array in zip(self._nodes, found, strict=True):
            _compare("by itself", node, array, values[node], _rounding(node, values))
        for node, array in zip(self._outputs, self._fused(*arrays), strict=True):
            if not _close(array, values[node], self._half(node, values)):
                self._blame(arrays, values)
                _compare("fused", node, array, values[node], self._half(node, values))

    def _alone(self, node: Node) -> Node:
        """The same operation on leaves, one for each value; constants stay."""
        assert node.primitive is not None
        inputs = [x if x.is_leaf and not x.tracked else self._leaf(x) for x in node.inputs]
        found: Node = node.primitive(*inputs, **node.attrs)
        return found

    def _leaf(self, x: Node) -> Node:
        if x not in self._leaves:
            self._leaves[x] = Input(x.shape, x.dtype, name=x.label)
        return self._leaves[x]

    def _blame(self, arrays: Sequence[Any], values: dict[Node, np.ndarray]) -> None:
        """The first node that is wrong when what leads to it is fused."""
        for node in self._nodes:
            (array,) = CompiledProgram(self._inputs, [node])(*arrays)
            _compare("fused with what leads to it", node, array, values[node], self._half(node, values))

    def _half(self, node: Node, values: dict[Node, np.ndarray]) -> Any:
        """Half of the digits, of the coarsest dtype that leads to it, of the largest element."""
        if node.dtype.kind != "f":
            return 0
        finite = values[node][np.isfinite(values[node])]
        return np.sqrt(self._eps[node]) * max(1.0, float(np.abs(finite).max(initial=0)))


def _coarsest(order: Sequence[Node]) -> dict[Node, float]:
    """The largest rounding on the way to each node: that of float32, if it was once a float32."""
    found: dict[Node, float] = {}
    for node in order:
        own = float(np.finfo(node.dtype).eps) if node.dtype.kind == "f" else 0.0
        found[node] = max([own, *(found[x] for x in node.inputs)])
    return found


def _compare(how: str, node: Node, found: np.ndarray, wanted: np.ndarray, bound: Any) -> None:
    if _close(found, wanted, bound):
        return
    off = ~_agreeing(found, wanted, bound)
    at = tuple(int(i) for i in np.argwhere(off)[0])
    element = f"element {at}" if at else "it"
    count = f"{int(off.sum())} of {off.size} differ"
    got = f"{element} is {found[at]!s} compiled and {wanted[at]!s} on the reference ({count})"
    called = f"verify: {node.describe()}, {how}"
    raise VerificationError(explain(called, got, "the engines agree to rounding", "The operation's `lower` is wrong."))


def _close(found: np.ndarray, wanted: np.ndarray, bound: Any) -> bool:
    return bool(_agreeing(found, wanted, bound).all())


def _agreeing(found: np.ndarray, wanted: np.ndarray, bound: Any) -> Any:
    if wanted.dtype.kind != "f":
        return found == wanted
    with np.errstate(all="ignore"):
        near = np.abs(found - wanted) <= bound
    return near | (found == wanted) | (np.isnan(found) & np.isnan(wanted))


def _rounding(node: Node, values: dict[Node, np.ndarray]) -> Any:
    """What an operation's own rounding may come to: of a sum, as a part of the sum of its terms' sizes."""
    if node.dtype.kind != "f":
        return 0
    assert node.primitive is not None
    info = np.finfo(node.dtype)
    arrays = [values[x] if x in values else np.asarray(x.value) for x in node.inputs]
    size, terms = np.abs(values[node]), 1
    if isinstance(node.primitive.derivative, Linear | Multilinear) and all(a.dtype.kind == "f" for a in arrays):
        terms = max((a.size for a in arrays), default=1)
        with np.errstate(all="ignore"):
            size = np.abs(node.primitive.evaluate(*map(np.abs, arrays), **node.attrs))
    return info.eps * (32 + 4 * np.sqrt(terms)) * size + 4 * info.smallest_subnormal
