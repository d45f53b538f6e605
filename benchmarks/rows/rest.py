"""Adam where nothing is left to learn, against the same steps while it learns: its averages fade away to denormals."""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import Any

import numpy as np

from benchmarks.measure import fresh, spread

STEPS = 20_000  # the first average is denormal after 830 of them
TURNS = 9
SLOWER = 1.1


def measure() -> dict[str, Any]:
    found = json.loads(fresh("benchmarks.rows.rest"))
    busy, rest = (statistics.median(found[name]) for name in ("busy", "rest"))
    return {
        "row": "rest", "ours_s": rest, "ours_spread": spread(found["rest"]), "floor_s": busy,
        "floor_spread": spread(found["busy"]), "peers_s": {}, "ratio_to_floor": rest / busy, "best_peer_ratio": None,
        "bar": f"at rest <= {SLOWER} x the time while it learns", "met": rest / busy <= SLOWER,
    }  # fmt: skip


def _all() -> dict[str, list[float]]:
    """Seconds of runs on rows 0 and 1, which contradict one another, and of runs that go on with zeros: row 2."""
    import chainrule as cr

    model = cr.nn.Linear(64, 64, bias=False, seed=0)
    x = np.outer([1, 1, 0], np.linspace(-1, 1, 64)).astype("float32")
    t = np.outer([1, -1, 0], np.ones(64)).astype("float32")
    turns = np.arange(STEPS) % 2
    drawn = {"busy": turns, "rest": np.where(np.arange(STEPS) < 6, turns, 2)}
    times: dict[str, list[float]] = {name: [] for name in drawn}
    for _ in range(TURNS):
        for name, rows in drawn.items():
            model.initialize(0)
            began = time.perf_counter()
            cr.fit(model, cr.losses.squared, cr.optim.Adam(1e-4), x, t, sampling=rows, record_every=0)
            times[name].append(time.perf_counter() - began)
    return {name: found[1:] for name, found in times.items()}  # the first is compiled


ROWS = {"rest": measure}

if __name__ == "__main__":
    sys.stdout.write(json.dumps(_all()))
