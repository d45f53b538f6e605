"""What `import chainrule` takes beyond `import numpy`, each in fresh processes."""

from __future__ import annotations

import resource
import statistics
import time
from typing import Any

from benchmarks.measure import fresh_code, spread

RUNS = 15
LIMIT = 0.150
LATE = ("llvmlite", "matplotlib", "scipy", "pandas", "sklearn")


def measure() -> dict[str, Any]:
    ours: list[float] = []
    floor: list[float] = []
    cpu: dict[str, list[float]] = {"import chainrule": [], "import numpy": []}
    for _ in range(RUNS):
        for times, code in ((ours, "import chainrule"), (floor, "import numpy")):
            began, began_cpu = time.perf_counter(), _children()
            fresh_code(code)
            times.append(time.perf_counter() - began)
            cpu[code].append(_children() - began_cpu)
    early = fresh_code(f"import chainrule, sys; print(*[m for m in {LATE!r} if m in sys.modules])").split()
    more = statistics.median(a - b for a, b in zip(ours, floor, strict=True))
    return {
        "row": "import", "ours_s": statistics.median(ours), "ours_spread": spread(ours),
        "floor_s": statistics.median(floor), "floor_spread": spread(floor), "peers_s": {},
        "ratio_to_floor": statistics.median(ours) / statistics.median(floor), "best_peer_ratio": None,
        "bar": "<= 150 ms more than import numpy; " + ", ".join(LATE) + " not imported",
        "met": more <= LIMIT and not early, "more_than_numpy_s": more, "imported_early": early,
        "cpu_s": {code: statistics.median(found) for code, found in cpu.items()},
    }  # fmt: skip


def _children() -> float:
    """CPU seconds of all processes that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


ROWS = {"import": measure}
