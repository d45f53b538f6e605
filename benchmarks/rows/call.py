"""One call from Python of a compiled 2-5-5-1 forward pass on one row, float64."""

from __future__ import annotations

import importlib.util
import itertools
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.measure import fresh, spread
from benchmarks.workload import canonical, net_weights

SIZES = (2, 5, 5, 1)
CALLS, RUNS = 20_000, 7
LIMIT = 5e-6


def measure() -> dict[str, Any]:
    names = ["ours", *(name for name in ("jax", "torch") if importlib.util.find_spec(name))]
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(RUNS):
        for name in names:
            times[name].append(float(fresh("benchmarks.rows.call", name)))
    medians = {name: statistics.median(found) for name, found in times.items()}
    peers = {name: medians.get(name) for name in ("jax", "torch")}
    best = min((s for s in peers.values() if s is not None), default=None)
    return {
        "row": "call", "ours_s": medians["ours"], "ours_spread": spread(times["ours"]), "floor_s": None,
        "peers_s": peers, "peers_spread": {name: spread(times[name]) for name in names[1:]}, "ratio_to_floor": None,
        "best_peer_ratio": best / medians["ours"] if best else None, "bar": "<= 5 us",
        "met": medians["ours"] <= LIMIT, "function": fresh("benchmarks.rows.call", "which"),
    }  # fmt: skip


def _time(call: Callable[[], Any]) -> float:
    for _ in range(1000):
        call()
    began = time.perf_counter()
    for _ in range(CALLS):
        call()
    return (time.perf_counter() - began) / CALLS


def _ours() -> float:
    import chainrule as cr
    from benchmarks.rows.perceptron import network

    model, x = network(SIZES, "float64"), canonical()[0][:1].copy()
    if hasattr(cr, "compile"):
        call: Any = cr.compile(model)
        return _time(lambda: call(x))
    from chainrule.compiler.runtime import CompiledProgram

    row = cr.Input((1, 2), "float64", name="x")
    program = CompiledProgram([row], [model(row)])
    return _time(lambda: program(x))


def _which() -> str:
    import chainrule as cr

    return "chainrule.compile" if hasattr(cr, "compile") else "CompiledProgram (there is no chainrule.compile yet)"


def _jax() -> float:
    import jax

    jax.config.update("jax_enable_x64", True)
    weights = [jax.numpy.array(w) for w in net_weights(SIZES, "float64")]
    x = jax.numpy.array(canonical()[0][:1])

    @jax.jit
    def forward(weights: Any, x: Any) -> Any:
        for k in range(0, len(weights), 2):
            x = (jax.numpy.maximum(x, 0) if k else x) @ weights[k] + weights[k + 1]
        return x

    return _time(lambda: forward(weights, x).block_until_ready())


def _torch() -> float:
    import torch as pt

    pt.set_num_threads(1)
    layers: list[Any] = []
    for n, m in itertools.pairwise(SIZES):
        layers += [pt.nn.Linear(n, m, dtype=pt.float64), pt.nn.ReLU()]
    model, x = pt.nn.Sequential(*layers[:-1]), pt.from_numpy(canonical()[0][:1])
    with pt.inference_mode():
        return _time(lambda: model(x))


ROWS = {"call": measure}

if __name__ == "__main__":
    print({"ours": _ours, "jax": _jax, "torch": _torch, "which": _which}[sys.argv[1]]())
