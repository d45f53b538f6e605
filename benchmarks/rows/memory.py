"""The memory that training takes beyond the data and the first weights: the growth of the process's peak.

A first run also compiles, and reads libraries; it is told besides, the bar is for one like it that comes after.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import json
import statistics
import sys
from collections.abc import Callable
from typing import Any

from benchmarks.measure import fresh, spread
from benchmarks.rows import classifier
from benchmarks.rows.perceptron import network

CASES = ("mlp-784", "mlp-2048")
RUNS = 3


def measure() -> dict[str, Any]:
    names = ["ours", *(["torch"] if importlib.util.find_spec("torch") else [])]
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    reported: dict[str, float | None] = {}
    for case in CASES:
        found[case] = {name: {"first": [], "again": []} for name in names}
        for _ in range(RUNS):
            for name in names:
                first, again, told = json.loads(fresh("benchmarks.rows.memory", name, case))
                found[case][name]["first"].append(first)
                found[case][name]["again"].append(again)
                if name == "ours":
                    reported[case] = told
    medians = _each(found, statistics.median)
    answers: list[bool | None] = []
    for case in CASES:
        took, told = {name: runs["again"] for name, runs in medians[case].items()}, reported[case]
        answers.append(None if "torch" not in took else took["ours"] <= took["torch"])
        answers.append(None if told is None else abs(told - took["ours"]) <= 0.05 * took["ours"])
    ratios = [m["torch"]["again"] / m["ours"]["again"] for m in medians.values() if "torch" in m]
    return {
        "row": "memory", "ours_s": None, "floor_s": None, "peers_s": {}, "ratio_to_floor": None,
        "best_peer_ratio": min(ratios, default=None),
        "bar": "of runs that compile nothing: reported peak within 5 % of measured; at most PyTorch's",
        "met": False if False in answers else None if None in answers else True, "peak_bytes": medians,
        "peak_spread": _each(found, spread), "reported_bytes": reported,
    }  # fmt: skip


def _each(found: dict[str, dict[str, dict[str, list[float]]]], of: Callable[[list[float]], Any]) -> dict[str, Any]:
    return {
        case: {name: {run: of(values) for run, values in runs.items()} for name, runs in by.items()}
        for case, by in found.items()
    }


def _grown(name: str, case: str) -> tuple[float, float, float | None]:
    """The growth of the peak in a run of a few steps: the first, and one more of new weights; what `report` says of it.

    A small run has loaded and set up everything before.
    """
    small = classifier.work((8, 8, 8, 2), 64, 3, 8)
    _train(name, small)()()
    found = classifier.ROWS[case].work().part(4)
    first, again = _growth(_train(name, found)()), _growth(_train(name, found)())
    return first, again, _reported(found) if name == "ours" else None


def _growth(run: Callable[[], float]) -> float:
    """The peak of a run beyond what the process has when it begins, without memory that is free but not given back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak starts anew here
    before = _status("VmRSS")
    run()
    return _status("VmHWM") - before


def _train(name: str, work: Any) -> Any:
    return getattr(classifier, name)(work)


def _reported(work: Any) -> float:
    """What the library says of its peak: in another run, since the measured one keeps no history."""
    import chainrule as cr

    history = cr.fit(
        network(work.sizes, "float32"), cr.losses.softmax_cross_entropy, cr.optim.Adam(work.rate), work.x, work.t,
        steps=1, batch_size=work.drawn.shape[1], sampling=work.drawn[:1], record_every=0, engine="compiled",
    )  # fmt: skip
    return float(history.compiled.report().peak_bytes)


def _status(field: str) -> float:
    with open("/proc/self/status") as file:
        return next(1024.0 * int(line.split()[1]) for line in file if line.startswith(field))


ROWS = {"memory": measure}

if __name__ == "__main__":
    print(json.dumps(_grown(*sys.argv[1:3])))
