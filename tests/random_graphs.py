"""Random acyclic graphs: parameters and data in, one number out, every operation chosen by a seed.

Operations with kinks are only put where their inputs are well away from one, so that differences can be taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.graph import walk

SHAPES = [(), (1,), (3,), (2, 3), (3, 2), (3, 3), (2, 1), (2, 3, 2)]
MARGIN = 0.05


@dataclass(frozen=True)
class RandomGraph:
    """The leaves (parameters, then data inputs; all hold values), the output, and how many nodes there are."""

    parameters: list[cr.Tensor]
    data: list[cr.Tensor]
    output: cr.Tensor
    size: int


def random_graph(seed: int, largest: int = 200) -> RandomGraph:
    """A graph of up to `largest` nodes, drawn from `seed`."""
    rng = np.random.default_rng(seed)
    parameters = [cr.Parameter(_values(rng), f"p{i}") for i in range(rng.integers(1, 5))]
    data = [cr.variable(_values(rng), f"x{i}") for i in range(rng.integers(1, 5))]
    nodes: list[cr.Tensor] = [*parameters, *data]
    size = int(rng.integers(8, largest + 1))
    used: set[cr.Tensor] = set()
    # each result that no operation uses takes up to 4 nodes at the end
    while len(nodes) * 1.5 + 4 * (len(nodes) - len(used)) < size or len(nodes) < 3:
        inputs, made = _step(rng, nodes)
        used.update(inputs)
        nodes.append(_tamed(made))
        if len(walk(nodes)) + 4 * len([x for x in nodes if x not in used]) > size:
            break
    output = cr.as_tensor(0.0)
    for x in (x for x in nodes if x not in used):
        output = output + (x.mean() if x.ndim else x)
    return RandomGraph(list(parameters), data, output, len(walk([output])))


def _values(rng: Any) -> np.ndarray:
    values: np.ndarray = rng.normal(size=SHAPES[rng.integers(len(SHAPES))])
    return values


def _tamed(x: cr.Tensor) -> cr.Tensor:
    """Large values brought back, so that neither values nor slopes grow from node to node."""
    return cr.tanh(x) if np.abs(x.numpy()).max(initial=0) > 2 else x


def _step(rng: Any, nodes: list[cr.Tensor]) -> tuple[list[cr.Tensor], cr.Tensor]:
    """One operation on random nodes, later ones more often: its inputs and its result."""
    while True:
        a, b = (nodes[int(len(nodes) * rng.random() ** 0.5)] for _ in range(2))
        name = NAMES[rng.integers(len(NAMES))]
        if name in UNARY:
            return [a], UNARY[name](a)
        if name in KINKED:
            if np.abs(a.numpy()).min(initial=1) > MARGIN:
                return [a], KINKED[name](a)
        elif name in BINARY:
            if _broadcast(a, b) and (name != "maximum" or np.abs(a.numpy() - b.numpy()).min() > MARGIN):
                return [a, b], BINARY[name](a, b)
        elif name in AXIS:
            if a.ndim and (name != "max" or _apart(a)):
                return [a], AXIS[name](a, int(rng.integers(-a.ndim, a.ndim)))
        elif a.ndim == b.ndim == 2 and a.shape[1] == b.shape[0]:
            return [a, b], cr.einsum("ij,jk->ik", a, b) / 2 if name == "einsum" else (a @ b) / 2


def _broadcast(a: cr.Tensor, b: cr.Tensor) -> bool:
    try:
        return int(np.prod(np.broadcast_shapes(a.shape, b.shape))) <= 24
    except ValueError:
        return False


def _apart(x: cr.Tensor) -> bool:
    values = np.sort(x.numpy(), axis=None)
    return bool((np.diff(values) > MARGIN).all())


UNARY: dict[str, Callable[[cr.Tensor], cr.Tensor]] = {
    "tanh": cr.tanh,
    "sin": cr.sin,
    "cos": cr.cos,
    "sigmoid": cr.sigmoid,
    "softplus": lambda x: cr.softplus(x) / 2,
    "gelu": cr.gelu,
    "exp": lambda x: cr.exp(-x * x),
    "log1p": lambda x: cr.log1p(x * x) / 2,
    "erf": cr.erf,
    "square": lambda x: cr.square(x) / 3,
    "sqrt": lambda x: cr.sqrt(1 + x * x),
    "transpose": lambda x: x.T,
    "reshape": lambda x: x.reshape(-1),
    "reverse": lambda x: x[::-1] if x.ndim else -x,
    "sum": lambda x: x.sum() / max(x.size, 1),
    "pad": lambda x: cr.pad(x, 1)[..., 1:] if x.size < 9 and x.ndim == 1 else x * 0.5,
}
KINKED: dict[str, Callable[[cr.Tensor], cr.Tensor]] = {
    "relu": cr.relu,
    "abs": cr.abs,
    "leaky_relu": cr.leaky_relu,
    "where": lambda x: cr.where(x > 0, x, x * x),
}
BINARY: dict[str, Callable[[cr.Tensor, cr.Tensor], cr.Tensor]] = {
    "add": lambda a, b: (a + b) / 2,
    "subtract": lambda a, b: (a - b) / 2,
    "multiply": lambda a, b: a * b / 2,
    "divide": lambda a, b: a / (2 + b * b),
    "maximum": cr.maximum,
    "concatenate": lambda a, b: cr.concatenate([a.reshape(-1)[:3], b.reshape(-1)[:3]]),
    "power": lambda a, b: (1 + a * a) ** (cr.tanh(b) / 2),
}
AXIS: dict[str, Callable[[cr.Tensor, int], cr.Tensor]] = {
    "mean": lambda x, axis: x.mean(axis),
    "sum of an axis": lambda x, axis: x.sum(axis, keepdims=True) / x.shape[axis],
    "max": lambda x, axis: x.max(axis),
    "softmax": cr.softmax,
    "logsumexp": lambda x, axis: cr.logsumexp(x, axis) / 2,
    "cumsum": lambda x, axis: cr.cumsum(x, axis) / x.shape[axis],
    "take": lambda x, axis: cr.take(x, [-1, 0], axis),
    "split": lambda x, axis: cr.split(x, [1], axis)[0],
    "expand_dims": lambda x, axis: cr.expand_dims(x, axis) if x.ndim < 3 else x.mean(axis),
    "prod": lambda x, axis: cr.prod(cr.sigmoid(x), axis),
    "var": lambda x, axis: cr.var(x, axis) / 2,
}
NAMES = [*UNARY, *KINKED, *BINARY, *AXIS, "matmul", "einsum"]
