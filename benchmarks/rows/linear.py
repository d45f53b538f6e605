"""A linear model of two inputs, 100 000 single-row steps, 100 full evaluations: squared and hinge loss."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.ccode import address, library
from benchmarks.row import Bar, Contender, Row
from benchmarks.workload import Workload, batches, canonical

Prepare = Callable[[], Callable[[], float]]


def work() -> Workload:
    x, t = canonical()
    return Workload(x, t, batches(2000, 100_000), 1000, 1e-3, (np.zeros((2, 1)), np.zeros(1)))


def ours(loss: str, work: Workload) -> Prepare:
    import chainrule as cr

    model, function = cr.nn.Linear(2, 1, dtype="float64", seed=0), getattr(cr.losses, loss)

    def train() -> float:
        return cr.fit(
            model, function, cr.optim.SGD(work.rate), work.x, work.t, steps=work.steps, batch_size=1,
            sampling=work.drawn, record_every=work.every, engine="compiled",
        ).final  # fmt: skip

    def prepare() -> Callable[[], float]:
        model.load_state_dict(dict(zip(("weight", "bias"), work.weights, strict=True)))
        return train

    return prepare


def c(loss: str, work: Workload) -> Prepare:
    train = getattr(library("linear"), loss)
    losses, records = np.empty(work.steps), np.empty(-(-work.steps // work.every) + 1)

    def prepare() -> Callable[[], float]:
        w = np.zeros(3)

        def run() -> float:
            train(
                address(work.x), address(work.t), ctypes.c_int64(len(work.x)), address(work.drawn),
                ctypes.c_int64(work.steps), ctypes.c_int64(work.every), ctypes.c_double(work.rate), address(w),
                address(losses), address(records),
            )  # fmt: skip
            return float(records[-1])

        return run

    return prepare


def jax(loss: str, work: Workload) -> Prepare:
    """The whole loop is one compiled scan over chunks of steps, each begun by an evaluation."""
    import jax as j
    import jax.numpy as jnp

    j.config.update("jax_enable_x64", True)

    def value(w: Any, x: Any, t: Any) -> Any:
        y = x @ w[0] + w[1]
        return jnp.mean((t - y) ** 2 if loss == "squared" else jnp.maximum(0, 1 - t * y))

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

    first = jnp.zeros(2), jnp.zeros(())
    whole(first)[0].block_until_ready()
    return lambda: lambda: float(j.block_until_ready(whole(first))[0])


def torch(loss: str, work: Workload) -> Prepare:
    import torch as pt

    pt.set_num_threads(1)  # faster than two for work as small as this
    x, t, drawn = pt.from_numpy(work.x), pt.from_numpy(work.t), work.drawn.tolist()
    x_rows, t_rows = x.unbind(), t.unbind()  # a list's item costs less than a tensor's
    model = pt.nn.Linear(2, 1, dtype=pt.float64)

    def value(y: Any, t: Any) -> Any:
        return ((t - y) ** 2 if loss == "squared" else (1 - t * y).clamp(min=0)).mean()

    def train() -> float:
        optimizer = pt.optim.SGD(model.parameters(), lr=work.rate)
        for k, i in enumerate(drawn):
            if k % work.every == 0:
                with pt.no_grad():
                    value(model(x)[:, 0], t).item()
            optimizer.zero_grad()
            value(model(x_rows[i])[0], t_rows[i]).backward()
            optimizer.step()
        with pt.no_grad():
            return float(value(model(x)[:, 0], t).item())

    def prepare() -> Callable[[], float]:
        for p in model.parameters():
            p.data.zero_()
        return train

    return prepare


def sklearn(loss: str, work: Workload) -> Prepare:
    """Its inner loop over the drawn rows; it has half the squared loss, hence twice the rate."""
    from sklearn.linear_model import SGDClassifier, SGDRegressor

    options = {
        "alpha": 0.0, "learning_rate": "constant", "shuffle": False, "max_iter": 1, "tol": None, "penalty": None,
    }  # fmt: skip
    if loss == "squared":
        make = partial(SGDRegressor, eta0=2 * work.rate, **options)
    else:
        make = partial(SGDClassifier, loss="hinge", eta0=work.rate, **options)
    chunks = work.drawn.reshape(-1, work.every)

    def train(model: Any) -> float:
        def score() -> float:
            y = work.x @ model.coef_.ravel() + model.intercept_
            error = (work.t - y) ** 2 if loss == "squared" else np.maximum(0, 1 - work.t * y)
            return float(error.mean())

        for numbers in chunks:
            if hasattr(model, "coef_"):
                score()
            known = {"classes": [-1.0, 1.0]} if loss == "hinge" else {}
            model.partial_fit(work.x[numbers], work.t[numbers], **known)
        return score()

    return lambda: partial(train, make())


def _row(loss: str) -> Row:
    def of(contender: Callable[[str, Workload], Prepare]) -> Contender:
        return partial(contender, loss)

    return Row(
        f"linear-{loss}", "2-1, 100k single-row SGD steps, 100 full evaluations of 2000 rows, float64", work, of(ours),
        {"c": of(c)}, {"jax": of(jax), "torch": of(torch), "sklearn": of(sklearn)}, Bar(floor=1.25),
        parts={"torch": 50},
    )  # fmt: skip


ROWS = {f"linear-{loss}": _row(loss) for loss in ("squared", "hinge")}
