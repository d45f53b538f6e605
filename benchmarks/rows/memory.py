"""The memory that training takes beyond the data and the first weights: the growth of the process's peak."""

from __future__ import annotations

import importlib.util
import json
import statistics
import sys
from typing import Any

from benchmarks.measure import fresh, spread
from benchmarks.rows import classifier
from benchmarks.rows.perceptron import network

CASES = ("mlp-784", "mlp-2048")
RUNS = 3


def measure() -> dict[str, Any]:
    names = ["ours", *(["torch"] if importlib.util.find_spec("torch") else [])]
    found: dict[str, dict[str, list[float]]] = {case: {name: [] for name in names} for case in CASES}
    reported: dict[str, float | None] = {}
    for case in CASES:
        for _ in range(RUNS):
            for name in names:
                grown, told = json.loads(fresh("benchmarks.rows.memory", name, case))
                found[case][name].append(grown)
                if name == "ours":
                    reported[case] = told
    medians = {case: {name: statistics.median(v) for name, v in by.items()} for case, by in found.items()}
    answers: list[bool | None] = []
    for case in CASES:
        mine, theirs, told = medians[case]["ours"], medians[case].get("torch"), reported[case]
        answers.append(None if theirs is None else mine <= theirs)
        answers.append(None if told is None else abs(told - mine) <= 0.05 * mine)
    return {
        "row": "memory", "ours_s": None, "floor_s": None, "peers_s": {}, "ratio_to_floor": None,
        "best_peer_ratio": min((m["torch"] / m["ours"] for m in medians.values() if "torch" in m), default=None),
        "bar": "reported peak within 5 % of measured; at most PyTorch's",
        "met": False if False in answers else None if None in answers else True, "peak_bytes": medians,
        "peak_spread": {case: {name: spread(v) for name, v in by.items()} for case, by in found.items()},
        "reported_bytes": reported,
    }  # fmt: skip


def _grown(name: str, case: str) -> tuple[float, float | None]:
    """The growth of the peak in a run of a few steps, and what `report` says of it.

    A small run has loaded and set up everything before.
    """
    small = classifier.work((8, 8, 8, 2), 64, 3, 8)
    _train(name, small)()()
    found = classifier.ROWS[case].work().part(4)
    run = _train(name, found)()
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak starts anew here
    before = _status("VmRSS")
    run()
    grown = _status("VmHWM") - before
    return grown, _reported(found) if name == "ours" else None


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
