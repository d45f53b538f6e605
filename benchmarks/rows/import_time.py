"""What `import chainrule` takes beyond `import numpy`, each in fresh processes."""

from __future__ import annotations

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
    for _ in range(RUNS):
        for times, code in ((ours, "import chainrule"), (floor, "import numpy")):
            began = time.perf_counter()
            fresh_code(code)
            times.append(time.perf_counter() - began)
    early = fresh_code(f"import chainrule, sys; print(*[m for m in {LATE!r} if m in sys.modules])").split()
    more = statistics.median(a - b for a, b in zip(ours, floor, strict=True))
    return {
        "row": "import", "ours_s": statistics.median(ours), "ours_spread": spread(ours),
        "floor_s": statistics.median(floor), "floor_spread": spread(floor), "peers_s": {},
        "ratio_to_floor": statistics.median(ours) / statistics.median(floor), "best_peer_ratio": None,
        "bar": "<= 150 ms more than import numpy; " + ", ".join(LATE) + " not imported",
        "met": more <= LIMIT and not early, "more_than_numpy_s": more, "imported_early": early,
    }  # fmt: skip


ROWS = {"import": measure}
