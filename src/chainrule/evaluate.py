"""The reference evaluator: one NumPy call a node. It defines what is right."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from chainrule.errors import OptionError, explain
from chainrule.graph import Node, walk

__all__ = ["Program"]


class Program:
    """A graph made ready to be evaluated many times.

    Args:
        inputs: the leaves that get an array at every call. Other leaves keep the value they hold at that call.
        outputs: the nodes to compute.

    Raises OptionError for a placeholder that is not among `inputs`.

    >>> from chainrule.tensor import Input
    >>> x = Input((2,))
    >>> Program([x], [2 * x, x.sum()])(np.array([1.0, 2.0]))
    [array([2., 4.]), array(3.)]
    """

    def __init__(self, inputs: Sequence[Node], outputs: Sequence[Node]):
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        order = walk(outputs)
        given = set(inputs)
        place = {node: i for i, node in enumerate([*inputs, *(node for node in order if node not in given)])}
        self._held = [(place[node], node) for node in order if node.is_leaf and node not in given]
        self._steps = [_step(node, place) for node in order if not node.is_leaf and node not in given]
        self._results = [place[node] for node in outputs]
        self._dead = _last_uses(self._steps, {*self._results})
        self._size = len(place)
        for _, node in self._held:
            if node.value is None:
                raise OptionError(
                    explain(
                        "evaluate",
                        node.describe(),
                        "this placeholder is given no value",
                        "List it as an input.",
                    )
                )

    def __call__(self, *arrays: Any) -> list[np.ndarray]:
        """The outputs for these inputs."""
        values = self._start(arrays)
        with np.errstate(all="ignore"):
            for (call, sources, target), dead in zip(self._steps, self._dead, strict=True):
                values[target] = call(*[values[i] for i in sources])
                for i in dead:
                    values[i] = None
        return [np.asarray(values[i]) for i in self._results]

    def trace(self, *arrays: Any) -> Mapping[Node, np.ndarray]:
        """The value of every node for these inputs."""
        values = self._start(arrays)
        with np.errstate(all="ignore"):
            for call, sources, target in self._steps:
                values[target] = call(*[values[i] for i in sources])
        nodes = [*self.inputs, *(node for node in walk(self.outputs) if node not in set(self.inputs))]
        return {node: np.asarray(value) for node, value in zip(nodes, values, strict=True)}

    def _start(self, arrays: Sequence[Any]) -> list[Any]:
        if len(arrays) != len(self.inputs):
            raise OptionError(explain("evaluate", f"{len(arrays)} arrays", f"there are {len(self.inputs)} inputs"))
        values: list[Any] = [None] * self._size
        values[: len(arrays)] = arrays
        for i, node in self._held:
            values[i] = node.value
        return values


Step = tuple[Callable[..., Any], tuple[int, ...], int]


def _step(node: Node, place: Mapping[Node, int]) -> Step:
    assert node.primitive is not None
    evaluate = node.primitive.evaluate
    call = partial(evaluate, **node.attrs) if node.attrs else evaluate
    return call, tuple(place[x] for x in node.inputs), place[node]


def _last_uses(steps: Sequence[Step], kept: set[int]) -> list[tuple[int, ...]]:
    """For every step the places that no later step reads."""
    found: list[tuple[int, ...]] = []
    seen = set(kept)
    for _, sources, _ in reversed(steps):
        dead = tuple({i for i in sources if i not in seen})
        seen.update(dead)
        found.append(dead)
    return found[::-1]
