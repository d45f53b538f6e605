"""Random graphs for the tests of the compiler's stages."""

from __future__ import annotations

import numpy as np

import chainrule as cr
from chainrule.autodiff import gradient
from chainrule.compiler.carried import Loop
from chainrule.compiler.kernels import Schedule
from chainrule.compiler.schedule import schedule
from chainrule.compiler.simplify import without_repeats

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


def trained_step() -> tuple[Schedule, Loop]:
    """A step of three layers on a single row: the last weights are updated before the errors of the others are known.

    Those are made with the old ones.
    """
    x = cr.Input((1, 6), name="x")
    weights = [cr.Input(shape, name=f"w{shape[1]}") for shape in ((6, 12), (12, 20), (20, 9))]
    y = x
    for w in weights:
        y = cr.tanh(y @ w)
    moved = [w - 0.1 * gradient((y * y).sum(), [w])[0] for w in reversed(weights)]
    same = without_repeats(moved, {*weights, x})
    return schedule([*weights, x], [same[y] for y in moved]), Loop(carried=((0, 2), (1, 1), (2, 0)))
