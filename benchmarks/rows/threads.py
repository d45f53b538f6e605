"""Two threads against one, by turns, at sizes around those from which work is shared: it is never to cost anything."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from typing import Any

import numpy as np

from benchmarks.measure import fresh
from benchmarks.rows import classifier

WIDTHS, BATCHES = (48, 64, 96, 128, 192, 256), (32, 64, 128, 256)
SECONDS = 0.03  # that a run takes, about
TURNS = 9
SLOWER = 1.05  # the most that two threads may take of the time of one


def measure() -> dict[str, Any]:
    found = json.loads(fresh("benchmarks.rows.threads"))
    worst = max(found, key=lambda size: found[size]["ratio"])
    return {
        "row": "threads", "ours_s": found[worst]["two_s"], "floor_s": found[worst]["one_s"], "peers_s": {},
        "ratio_to_floor": found[worst]["ratio"], "best_peer_ratio": None,
        "bar": f"2 threads / 1 <= {SLOWER} at each size; worst: {worst}", "met": found[worst]["ratio"] <= SLOWER,
        "sizes": found,
    }  # fmt: skip


def _all() -> dict[str, Any]:
    return {f"{width} columns, {batch} rows": _size(width, batch) for width in WIDTHS for batch in BATCHES}


def _size(width: int, batch: int) -> dict[str, float]:
    """Seconds a step with one thread and with two, and the median of the turns' ratios."""
    flops = 12.0 * batch * width * width
    work = classifier.work((width, width, width, 10), 1024, int(np.clip(SECONDS * 6e10 / flops, 20, 5000)), batch)
    prepare = classifier.ours(work)
    times: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(TURNS + 2):  # in the first two it is compiled, and helpers are tried
        for threads, found in times.items():
            os.environ["CHAINRULE_THREADS"] = str(threads)
            run = prepare()
            began = time.perf_counter()
            run()
            if turn > 1:
                found.append((time.perf_counter() - began) / work.steps)
    ratio = statistics.median(two / one for one, two in zip(times[1], times[2], strict=True))
    return {"one_s": statistics.median(times[1]), "two_s": statistics.median(times[2]), "ratio": ratio}


ROWS = {"threads": measure}

if __name__ == "__main__":
    sys.stdout.write(json.dumps(_all()))
