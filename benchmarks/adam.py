"""Training by Adam on softmax cross-entropy in JAX and PyTorch, each at its best idiom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.workload import Workload

__all__ = ["jax_training", "torch_training"]

Prepare = Callable[[], Callable[[], float]]
B1, B2, EPS = 0.9, 0.999, 1e-8


def jax_training(forward: Callable[[Any, Any], Any], work: Workload) -> Prepare:
    """All steps in one compiled scan. Returns the norm of the first weights."""
    import jax as j
    import jax.numpy as jnp

    def value(weights: Any, x: Any, t: Any) -> Any:
        y = forward(weights, x)
        return jnp.mean(j.nn.logsumexp(y, 1) - jnp.take_along_axis(y, t[:, None], 1)[:, 0])

    x, t, drawn = jnp.array(work.x), jnp.array(work.t), jnp.array(work.drawn)

    def step(carry: Any, now: Any) -> Any:
        w, m, v = carry
        k, i = now
        found, g = j.value_and_grad(value)(w, x[i], t[i])
        m = j.tree.map(lambda m, g: B1 * m + (1 - B1) * g, m, g)
        v = j.tree.map(lambda v, g: B2 * v + (1 - B2) * g * g, v, g)
        a, b = 1 / (1 - B1**k), 1 / (1 - B2**k)
        w = j.tree.map(lambda w, m, v: w - work.rate * (m * a) / (jnp.sqrt(v * b) + EPS), w, m, v)
        return (w, m, v), found

    @j.jit
    def whole(w: Any) -> Any:
        zeros = j.tree.map(jnp.zeros_like, w)
        numbers = jnp.arange(1, work.steps + 1, dtype=jnp.float32)
        (w, _, _), losses = j.lax.scan(step, (w, zeros, zeros), (numbers, drawn))
        return w, losses

    first = tuple(map(jnp.array, work.weights))
    j.block_until_ready(whole(first))
    return lambda: lambda: float(np.linalg.norm(j.block_until_ready(whole(first))[0][0]))


def torch_training(model: Any, work: Workload, compiled: bool) -> Prepare:
    """One Python loop over steps; `compiled`: forward and loss through torch.compile, the update fused either way."""
    import torch as pt

    x, t, drawn = pt.from_numpy(work.x), pt.from_numpy(work.t), pt.from_numpy(work.drawn)
    loss = pt.nn.CrossEntropyLoss()

    def value(i: Any) -> Any:
        return loss(model(x[i]), t[i])

    forward: Any = pt.compile(value) if compiled else value

    def train() -> float:
        optimizer = pt.optim.Adam(model.parameters(), lr=work.rate, eps=EPS, fused=True)
        for i in drawn:
            optimizer.zero_grad()
            forward(i).backward()
            optimizer.step()
        return float(next(iter(model.parameters())).detach().norm())

    def prepare() -> Callable[[], float]:
        for p, w in zip(model.parameters(), work.weights, strict=True):
            p.data.copy_(pt.from_numpy(w.T))
        return train

    return prepare
