"""The two multilayer perceptrons of SPEC rows 15 and 16: single-row SGD, squared loss, float64."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.ccode import address, library
from benchmarks.row import Bar, Row
from benchmarks.workload import Workload, batches, canonical, net_weights

Prepare = Callable[[], Callable[[], float]]


def work(sizes: tuple[int, ...], steps: int, every: int) -> Workload:
    x, t = canonical()
    return Workload(x, t, batches(2000, steps), every, 1e-3, net_weights(sizes, "float64"), sizes)


def ours(work: Workload) -> Prepare:
    import chainrule as cr

    model = network(work.sizes, "float64")

    def train() -> float:
        return cr.fit(
            model, cr.losses.squared, cr.optim.SGD(work.rate), work.x, work.t, steps=work.steps, batch_size=1,
            sampling=work.drawn, record_every=work.every, engine="compiled",
        ).final  # fmt: skip

    def prepare() -> Callable[[], float]:
        model.load_state_dict(work.state())
        return train

    return prepare


def network(sizes: tuple[int, ...], dtype: str) -> Any:
    """Ours: dense layers with ReLU between them."""
    from chainrule import nn

    layers: list[Any] = []
    for n, m in itertools.pairwise(sizes):
        layers += [nn.Linear(n, m, dtype=dtype, seed=0), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def c(work: Workload) -> Prepare:
    sizes = work.sizes
    macros = {"SIZES": ",".join(map(str, sizes)), "LAYERS": len(sizes) - 1, "WIDEST": max(sizes)}
    train = library("mlp", macros).train
    losses, records = np.empty(work.steps), np.empty(-(-work.steps // work.every) + 1)

    def prepare() -> Callable[[], float]:
        weights = [value.copy() for value in work.weights]
        table = (ctypes.c_void_p * len(weights))(*(value.ctypes.data for value in weights))

        def run() -> float:
            train(
                address(work.x), address(work.t), ctypes.c_int64(len(work.x)), address(work.drawn),
                ctypes.c_int64(work.steps), ctypes.c_int64(work.every), ctypes.c_double(work.rate), table,
                address(losses), address(records),
            )  # fmt: skip
            assert weights
            return float(records[-1])

        return run

    return prepare


def jax(work: Workload) -> Prepare:
    """The whole loop is one compiled scan over chunks of steps, each begun by an evaluation."""
    import jax as j
    import jax.numpy as jnp

    j.config.update("jax_enable_x64", True)

    def value(weights: Any, x: Any, t: Any) -> Any:
        for k in range(0, len(weights), 2):
            x = (jnp.maximum(x, 0) if k else x) @ weights[k] + weights[k + 1]
        return jnp.mean((t - x[..., 0]) ** 2)

    x, t, drawn = jnp.array(work.x), jnp.array(work.t), jnp.array(work.drawn.reshape(-1, work.every))

    def step(w: Any, i: Any) -> Any:
        found, g = j.value_and_grad(value)(w, x[i], t[i])
        return j.tree.map(lambda p, d: p - work.rate * d, w, g), found

    def chunk(w: Any, numbers: Any) -> Any:
        before = value(w, x, t)
        w, losses = j.lax.scan(step, w, numbers)
        return w, (before, losses)

    @j.jit
    def whole(w: Any) -> Any:
        w, recorded = j.lax.scan(chunk, w, drawn)
        return value(w, x, t), w, recorded

    first = tuple(map(jnp.array, work.weights))
    j.block_until_ready(whole(first))
    return lambda: lambda: float(j.block_until_ready(whole(first))[0])


def torch(work: Workload) -> Prepare:
    import torch as pt

    pt.set_num_threads(1)  # faster than two for work as small as this
    x, t, drawn = pt.from_numpy(work.x), pt.from_numpy(work.t)[:, None], work.drawn.tolist()
    x_rows, t_rows = x.unbind(), t.unbind()  # a list's item costs less than a tensor's
    layers: list[Any] = []
    for n, m in zip(work.sizes, work.sizes[1:], strict=False):
        layers += [pt.nn.Linear(n, m, dtype=pt.float64), pt.nn.ReLU()]
    model = pt.nn.Sequential(*layers[:-1])
    loss = pt.nn.MSELoss()

    def train() -> float:
        optimizer = pt.optim.SGD(model.parameters(), lr=work.rate)
        for k, i in enumerate(drawn):
            if k % work.every == 0:
                with pt.no_grad():
                    loss(model(x), t).item()
            optimizer.zero_grad()
            loss(model(x_rows[i]), t_rows[i]).backward()
            optimizer.step()
        with pt.no_grad():
            return float(loss(model(x), t).item())

    def prepare() -> Callable[[], float]:
        for p, value in zip(model.parameters(), work.weights, strict=True):
            p.data.copy_(pt.from_numpy(value.T))
        return train

    return prepare


def sklearn(work: Workload) -> Prepare:
    """Its `partial_fit` is one step; it has half the squared loss, hence twice the rate."""
    from sklearn.neural_network import MLPRegressor

    chosen, x, t = work.drawn[:, None], work.x, work.t

    def prepare() -> Callable[[], float]:
        model = MLPRegressor(
            hidden_layer_sizes=work.sizes[1:-1], solver="sgd", alpha=0.0, learning_rate_init=2 * work.rate,
            momentum=0.0, batch_size=1,
        )  # fmt: skip
        model.partial_fit(x[:1], t[:1])  # makes its weights, which are then replaced
        model.coefs_[:] = [value.copy() for value in work.weights[::2]]
        model.intercepts_[:] = [value.copy() for value in work.weights[1::2]]

        def train() -> float:
            for k, i in enumerate(chosen):
                if k % work.every == 0:
                    np.mean((t - model.predict(x)) ** 2)
                model.partial_fit(x[i], t[i])
            return float(np.mean((t - model.predict(x)) ** 2))

        return train

    return prepare


ROWS = {
    "mlp-5-5": Row(
        "mlp-5-5", "2-5-5-1, 100k single-row SGD steps, 1000 full evaluations of 2000 rows, float64",
        partial(work, (2, 5, 5, 1), 100_000, 100), ours, {"c": c}, {"jax": jax, "torch": torch, "sklearn": sklearn},
        Bar(floor=0.85, peers={"jax": 12, "torch": 1000}), parts={"torch": 50, "sklearn": 50},
    ),
    "mlp-10-100-30-10": Row(
        "mlp-10-100-30-10", "2-10-100-30-10-1, 10k single-row SGD steps, 10 full evaluations, float64",
        partial(work, (2, 10, 100, 30, 10, 1), 10_000, 1000), ours, {"c": c},
        {"jax": jax, "torch": torch, "sklearn": sklearn}, Bar(floor=0.8, peers={"jax": 5}),
        parts={"torch": 10, "sklearn": 10},
    ),
}  # fmt: skip
