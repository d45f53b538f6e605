"""How the time grows: the exponent fitted over doublings, beside that of the arithmetic; for nodes, of a first call."""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.measure import fresh
from benchmarks.rows import classifier, first_call
from benchmarks.workload import exponent

SLACK = 0.1  # by so much an exponent may lie above the arithmetic's
Sizes = tuple[int, ...]


def _width(n: int) -> tuple[Sizes, int, int]:
    return (n, n, n, 10), 64, 1


def _depth(n: int) -> tuple[Sizes, int, int]:
    return (64,) * (n + 1) + (10,), 64, 1


def _batch(n: int) -> tuple[Sizes, int, int]:
    return (64, 64, 64, 10), n, 1


# axis -> the values, and the sizes, batch of each
AXES: dict[str, tuple[tuple[int, ...], Callable[[int], tuple[Sizes, int, int]]]] = {
    "width": ((64, 128, 256, 512), _width),
    "depth": ((2, 4, 8, 16), _depth),
    "batch": ((32, 64, 128, 256), _batch),
}
ROWS_SEEN = (2000, 4000, 8000, 16000)


def measure() -> dict[str, Any]:
    found = json.loads(fresh("benchmarks.rows.scaling"))
    met = all(one["exponent"] <= one["arithmetic"] + SLACK for one in found.values())
    return {
        "row": "scaling", "ours_s": None, "floor_s": None, "peers_s": {}, "ratio_to_floor": None,
        "best_peer_ratio": None, "bar": f"each exponent at most the arithmetic's + {SLACK}", "met": met, "axes": found,
    }  # fmt: skip


def _all() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for axis, (values, shape) in AXES.items():
        seconds = [_step(*shape(n)[:2]) for n in values]
        work = [_flops(*shape(n)[:2]) for n in values]
        found[axis] = _fitted(values, seconds, work)
    seconds = [_evaluation(n) for n in ROWS_SEEN]
    found["rows"] = _fitted(ROWS_SEEN, seconds, [float(n) for n in ROWS_SEEN])
    seconds = [float(fresh("benchmarks.rows.first_call", "ours", f"nodes-{n}")) for n in first_call.NODES]
    found["nodes"] = _fitted(first_call.NODES, seconds, [float(n) for n in first_call.NODES])
    return found


def _fitted(values: Any, seconds: list[float], work: list[float]) -> dict[str, Any]:
    return {
        "at": list(values), "seconds": seconds, "exponent": exponent(list(zip(values, seconds, strict=True))),
        "arithmetic": exponent(list(zip(values, work, strict=True))),
    }  # fmt: skip


def _flops(sizes: Sizes, batch: int) -> float:
    return float(sum(6 * batch * n * m for n, m in itertools.pairwise(sizes)))


def _step(sizes: Sizes, batch: int) -> float:
    """Seconds a step: the difference of a longer and a shorter run, so that what a call costs once drops out."""
    extra = int(np.clip(2e9 / _flops(sizes, batch), 20, 2000))
    work = classifier.work(sizes, 1024, 2 * extra, batch)
    short = replace(work, drawn=work.drawn[:extra].copy())
    return (_best(classifier.ours(work)) - _best(classifier.ours(short))) / extra


def _evaluation(rows: int) -> float:
    """Seconds a full evaluation over so many rows takes."""
    import chainrule as cr
    from benchmarks.rows.perceptron import network

    x = np.random.default_rng(0).standard_normal((rows, 2))
    t = x[:, 0]
    model = network((2, 5, 5, 1), "float64")

    def fit(every: int) -> Callable[[], Callable[[], Any]]:
        return lambda: lambda: cr.fit(
            model, cr.losses.squared, cr.optim.SGD(1e-3), x, t, steps=400, batch_size=1, record_every=every,
            engine="compiled",
        )  # fmt: skip

    return (_best(fit(1)) - _best(fit(200))) / 398


def _best(prepare: Any, runs: int = 4) -> float:
    times = []
    for _ in range(runs):
        run = prepare()
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return min(times)


ROWS = {"scaling": measure}

if __name__ == "__main__":
    sys.stdout.write(json.dumps(_all()))
