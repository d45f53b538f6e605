"""Twenty blocks of two 64-wide layers with a skip each, then a linear head; Adam, batch 64, float32."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.adam import jax_training, torch_training
from benchmarks.row import Bar, Row
from benchmarks.rows.classifier import FLOORS, our_training
from benchmarks.rows.classifier import work as classification
from benchmarks.workload import Workload

Prepare = Callable[[], Callable[[], float]]
BLOCKS, WIDTH = 20, 64
SIZES = (*[WIDTH] * (2 * BLOCKS + 1), 10)


def work() -> Workload:
    found = classification(SIZES, 2048, 300, 64)
    for w in found.weights[:-2]:
        w *= np.float32(0.3)  # a sum over 20 blocks stays of the order of its input
    return found


def ours(work: Workload) -> Prepare:
    from chainrule import nn, relu

    class Block(nn.Module):
        def __init__(self) -> None:
            self.first = nn.Linear(WIDTH, WIDTH, seed=0)
            self.second = nn.Linear(WIDTH, WIDTH, seed=0)

        def forward(self, x: Any) -> Any:
            return x + self.second(relu(self.first(x)))

    model = nn.Sequential(*(Block() for _ in range(BLOCKS)), nn.Linear(WIDTH, 10, seed=0))
    return our_training(model, work, dict(zip(model.named_parameters(), work.weights, strict=True)))


def jax(work: Workload) -> Prepare:
    import jax.numpy as jnp

    def forward(weights: Any, x: Any) -> Any:
        for k in range(0, 4 * BLOCKS, 4):
            w, b, w2, b2 = weights[k : k + 4]
            x = x + jnp.maximum(x @ w + b, 0) @ w2 + b2
        return x @ weights[-2] + weights[-1]

    return jax_training(forward, work)


def torch(work: Workload, compiled: bool = False) -> Prepare:
    import torch as pt

    class Block(pt.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = pt.nn.Linear(WIDTH, WIDTH), pt.nn.Linear(WIDTH, WIDTH)

        def forward(self, x: Any) -> Any:
            return x + self.second(pt.relu(self.first(x)))

    model = pt.nn.Sequential(*(Block() for _ in range(BLOCKS)), pt.nn.Linear(WIDTH, 10))
    return torch_training(model, work, compiled)


ROWS = {
    "residual": Row(
        "residual",
        "20 x (64-64-64 + skip) - 10, float32, softmax cross-entropy, Adam, batch 64, 300 steps",
        work,
        ours,
        FLOORS,
        {"jax": jax, "torch": torch, "torch-compiled": partial(torch, compiled=True)},
        Bar(1.25, {"*": 1.5}),
        tolerance=1e-2,
    )
}
