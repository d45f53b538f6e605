"""Dense networks with softmax cross-entropy and Adam, float32, in batches; no evaluations while training."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.adam import jax_training, torch_training
from benchmarks.products import cython_blas, numpy_blas
from benchmarks.row import Bar, Row
from benchmarks.rows.perceptron import network
from benchmarks.workload import Workload, batches, net_weights

Prepare = Callable[[], Callable[[], float]]


def work(sizes: tuple[int, ...], rows: int, steps: int, batch: int) -> Workload:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, sizes[0])).astype("float32")
    t = (x @ rng.standard_normal((sizes[0], sizes[-1])).astype("float32")).argmax(1)
    return Workload(x, t, batches(rows, steps, batch), 0, 1e-3, net_weights(sizes, "float32"), sizes)


def ours(work: Workload) -> Prepare:
    return our_training(network(work.sizes, "float32"), work, work.state())


def our_training(model: Any, work: Workload, state: dict[str, Any]) -> Prepare:
    import chainrule as cr

    def train() -> cr.History:
        return cr.fit(
            model, cr.losses.softmax_cross_entropy, cr.optim.Adam(work.rate), work.x, work.t, steps=work.steps,
            batch_size=work.drawn.shape[1], sampling=work.drawn, record_every=0, engine="compiled",
        )  # fmt: skip

    def prepare() -> Callable[[], float]:
        model.load_state_dict(state)

        def run() -> float:
            train()
            return float(np.linalg.norm(model.state_dict()[next(iter(state))]))

        return run

    return prepare


def jax(work: Workload) -> Prepare:
    import jax.numpy as jnp

    def forward(weights: Any, x: Any) -> Any:
        for k in range(0, len(weights), 2):
            x = (jnp.maximum(x, 0) if k else x) @ weights[k] + weights[k + 1]
        return x

    return jax_training(forward, work)


def torch(work: Workload, compiled: bool = False) -> Prepare:
    import torch as pt

    layers: list[Any] = []
    for n, m in zip(work.sizes, work.sizes[1:], strict=False):
        layers += [pt.nn.Linear(n, m), pt.nn.ReLU()]
    return torch_training(pt.nn.Sequential(*layers[:-1]), work, compiled)


FLOORS = {"numpy-blas": numpy_blas, "scipy-blas": cython_blas}
PEERS = {"jax": jax, "torch": torch, "torch-compiled": partial(torch, compiled=True)}

ROWS = {
    "mlp-64": Row(
        "mlp-64", "64-32-32-10, float32, softmax cross-entropy, Adam, batch 32, 2000 steps",
        partial(work, (64, 32, 32, 10), 2000, 2000, 32), ours, FLOORS, PEERS, Bar(peers={"jax": 8, "torch": 30}),
        parts={"torch": 4, "torch-compiled": 4}, tolerance=1e-3,
    ),
    "mlp-784": Row(
        "mlp-784", "784-256-128-10, float32, softmax cross-entropy, Adam, batch 128, 500 steps",
        partial(work, (784, 256, 128, 10), 4096, 500, 128), ours, FLOORS, PEERS, Bar(1.05, {"*": 1}),
        threads=(1, 2), tolerance=1e-2,
    ),
    "mlp-2048": Row(
        "mlp-2048", "2048-2048-2048-10, float32, softmax cross-entropy, Adam, batch 256, 12 steps",
        partial(work, (2048, 2048, 2048, 10), 1024, 12, 256), ours, FLOORS, PEERS, Bar(1.05, {"*": 1}),
        threads=(2,), rounds=5, tolerance=1e-2,
    ),
}  # fmt: skip
