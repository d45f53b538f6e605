"""From `fit(...)` to the first step done, in a fresh process with llvmlite imported; and over the number of nodes."""

from __future__ import annotations

import importlib.util
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from benchmarks.measure import fresh, spread
from benchmarks.rows import classifier, perceptron
from benchmarks.workload import Workload, exponent

NODES = (250, 500, 1000, 2000)
BARS = {"mlp-5-5": 0.1, "mlp-784": 0.25, "nodes-1000": 2.0}
RUNS = 5
Prepare = Callable[[], Callable[[], float]]


def measure() -> dict[str, Any]:
    cases = ["mlp-5-5", "mlp-784", *(f"nodes-{n}" for n in NODES)]
    times: dict[str, list[float]] = {case: [] for case in cases}
    peers: dict[str, list[float]] = {"mlp-5-5": [], "mlp-784": []}
    jax = importlib.util.find_spec("jax") is not None
    for _ in range(RUNS):
        for case in cases:
            times[case].append(float(fresh("benchmarks.rows.first_call", "ours", case)))
            if jax and case in peers:
                peers[case].append(float(fresh("benchmarks.rows.first_call", "jax", case)))
    medians = {case: statistics.median(found) for case, found in times.items()}
    jax_s = {case: statistics.median(found) if found else None for case, found in peers.items()}
    power = exponent([(n, medians[f"nodes-{n}"]) for n in NODES])
    met = all(medians[case] <= limit for case, limit in BARS.items()) and power <= 1.15
    first = jax_s["mlp-5-5"]
    return {
        "row": "first-call", "ours_s": medians["mlp-5-5"], "ours_spread": spread(times["mlp-5-5"]), "floor_s": None,
        "peers_s": {"jax": first}, "ratio_to_floor": None,
        "best_peer_ratio": first / medians["mlp-5-5"] if first else None,
        "bar": "mlp-5-5 <= 100 ms, mlp-784 <= 250 ms, 1000 nodes <= 2 s, linear in nodes (exponent <= 1.15)",
        "met": met, "cases_s": medians, "cases_spread": {case: spread(found) for case, found in times.items()},
        "cases_jax_s": jax_s, "exponent_in_nodes": power,
    }  # fmt: skip


def _ours(case: str) -> float:
    import llvmlite.binding  # noqa: F401  the bar counts from here

    import chainrule as cr

    if case.startswith("nodes"):
        x = perceptron.canonical()[0]
        model: Any = _chain(int(case.split("-")[1]))
        began = time.perf_counter()
        cr.fit(
            model, cr.losses.squared, cr.optim.SGD(1e-3), x, x, steps=1, batch_size=1, record_every=0, engine="compiled"
        )
        return time.perf_counter() - began
    maker, work = _case(case)
    run = maker(work)()
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def _chain(nodes: int) -> Any:
    """A model of about `nodes` operations: sums, products, tanh and relu in a long chain with skips."""
    from chainrule import Parameter, relu, tanh

    w = Parameter([0.5, -0.5], name="w")

    def model(x: Any) -> Any:
        y = x
        for k in range(nodes // 4):
            y = (tanh(y * w) + x) if k % 2 else (relu(y - x) * w + y)
            y = y * 0.5
        return y

    return model


def _jax(case: str) -> float:
    import jax

    jax.numpy.zeros(3).block_until_ready()
    maker, work = _case(case, "jax")
    began = time.perf_counter()
    maker(work)()()
    return time.perf_counter() - began


def _case(case: str, who: str = "ours") -> tuple[Callable[[Workload], Prepare], Workload]:
    module: Any = perceptron if case == "mlp-5-5" else classifier
    work = module.ROWS[case].work()
    every = 1 if work.every else 0
    return getattr(module, who), replace(work, drawn=work.drawn[:1].copy(), every=every)


ROWS = {"first-call": measure}

if __name__ == "__main__":
    print({"ours": _ours, "jax": _jax}[sys.argv[1]](sys.argv[2]))
