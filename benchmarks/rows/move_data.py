"""The data moves: hinge loss of a fixed linear classifier, 500 000 draws, 100 full evaluations."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.ccode import address, library
from benchmarks.row import Bar, Row
from benchmarks.workload import Workload, batches, canonical

Prepare = Callable[[], Callable[[], float]]


def work() -> Workload:
    """The classifier is close to the one that row `linear-hinge` ends at."""
    x, t = canonical()
    return Workload(x, t, batches(2000, 500_000), 5000, 0.05, (np.array([[0.7], [0.7]]), np.array([-2.1])))


def ours(work: Workload) -> Prepare:
    import chainrule as cr

    model = cr.nn.Linear(2, 1, dtype="float64", seed=0)
    model.load_state_dict(dict(zip(("weight", "bias"), work.weights, strict=True)))

    def move() -> float:
        history = cr.fit_data(
            model, cr.losses.hinge, cr.optim.SGD(work.rate), work.x, work.t, steps=work.steps, batch_size=1,
            sampling=work.drawn, record_every=work.every, engine="compiled",
        )  # fmt: skip
        return _sum(history.data)

    return lambda: move


def c(work: Workload) -> Prepare:
    move = library("move_data").move
    losses, records = np.empty(work.steps), np.empty(-(-work.steps // work.every) + 1)
    w = np.concatenate([np.ravel(value) for value in work.weights])

    def run() -> float:
        x = work.x.copy()
        move(
            address(x), address(work.t), ctypes.c_int64(len(x)), address(work.drawn), ctypes.c_int64(work.steps),
            ctypes.c_int64(work.every), ctypes.c_double(work.rate), address(w), address(losses), address(records),
        )  # fmt: skip
        return _sum(x)

    return lambda: run


def jax(work: Workload) -> Prepare:
    import jax as j
    import jax.numpy as jnp

    j.config.update("jax_enable_x64", True)
    w, b = jnp.array(work.weights[0][:, 0]), jnp.array(work.weights[1][0])
    first, t, drawn = jnp.array(work.x), jnp.array(work.t), jnp.array(work.drawn.reshape(-1, work.every))

    def value(x: Any, t: Any) -> Any:
        return jnp.mean(jnp.maximum(0, 1 - t * (x @ w + b)))

    def step(x: Any, i: Any) -> Any:
        found, g = j.value_and_grad(value)(x[i], t[i])
        return x.at[i].add(-work.rate * g), found

    def chunk(x: Any, numbers: Any) -> Any:
        before = value(x, t)
        x, losses = j.lax.scan(step, x, numbers)
        return x, (before, losses)

    @j.jit
    def whole(x: Any) -> Any:
        x, recorded = j.lax.scan(chunk, x, drawn)
        return x, value(x, t), recorded

    j.block_until_ready(whole(first))
    return lambda: lambda: _sum(np.asarray(j.block_until_ready(whole(first))[0]))


def _sum(x: Any) -> float:
    """All coordinates together: the loss ends at 0, which tells nothing."""
    return float(np.sum(x))


ROWS = {
    "move-data": Row(
        "move-data",
        "hinge, 500k draws, 100 full evaluations of 2000 rows, float64",
        work,
        ours,
        {"c": c},
        {"jax": jax},
        Bar(floor=1.25),
    )
}
