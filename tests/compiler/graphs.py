"""Random graphs for the tests of the compiler's stages."""

from __future__ import annotations

import numpy as np

import chainrule as cr

ONE = (
    cr.tanh,
    cr.relu,
    cr.exp,
    cr.sigmoid,
    lambda x: -x,
    lambda x: x.sum(axis=0),
    lambda x: x[::-1] * 2,
    lambda x: x.T,
)
TWO = (lambda a, b: a + b, lambda a, b: a * b, cr.maximum, lambda a, b: a @ b, lambda a, b: cr.where(a > b, a, b))


def random_graph(seed: int, nodes: int = 12, n: int = 5) -> tuple[list[cr.Tensor], list[cr.Tensor]]:
    """Two inputs of (n, n), and some outputs of a graph of about `nodes` operations; branches split and join."""
    rng = np.random.default_rng(seed)
    inputs = [cr.Input((n, n), "float64", name=name) for name in ("x", "y")]
    made: list[cr.Tensor] = [cr.tanh(x) for x in inputs]
    for _ in range(nodes):
        if rng.random() < 0.5:
            node = ONE[rng.integers(len(ONE))](made[rng.integers(len(made))])
        else:
            node = TWO[rng.integers(len(TWO))](*(made[i] for i in rng.integers(len(made), size=2)))
        made.append(cr.tanh(cr.functions.broadcast_to(node, (n, n))))
    return inputs, [made[-1], made[rng.integers(len(made))].sum()]
