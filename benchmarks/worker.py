"""A process of its own for one contender, so that libraries' threads and memory do not meet.

It reads commands from its standard input, one a line, and answers each by one line of JSON.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

TURN = 0.02  # seconds: a single run that takes less says more of the moment than of what is run
Clock = Callable[[], float]


def main() -> None:
    row_name, contender, part, threads = sys.argv[1:5]
    answers, sys.stdout = sys.stdout, sys.stderr  # what libraries print must not mix with the answers
    if threads != "None":
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(threads)])

    def answer(found: dict[str, Any]) -> None:
        print(json.dumps(found), file=answers, flush=True)

    try:
        prepare = _contender(row_name, contender, int(part))
    except ImportError as error:
        answer({"absent": str(error)})
        return
    except Exception as error:  # a peer that is broken here is absent here, and says why
        answer({"absent": f"{type(error).__name__}: {error}"})
        return
    answer({"ready": True})
    for _ in sys.stdin:
        answer(turn(prepare))


def turn(
    prepare: Callable[[], Callable[[], float]], clock: Clock = time.perf_counter, cpu_clock: Clock = time.process_time
) -> dict[str, float]:
    """One run, or as many as fill a turn: their median, what they took together, the last one's loss."""
    seconds: list[float] = []
    cpu: list[float] = []
    loss = math.nan
    while sum(seconds) < TURN:
        run = prepare()
        began, began_cpu = clock(), cpu_clock()
        loss = run()
        seconds.append(clock() - began)
        cpu.append(cpu_clock() - began_cpu)
    return {
        "seconds": statistics.median(seconds), "cpu": statistics.median(cpu), "spent": sum(seconds), "loss": loss,
    }  # fmt: skip


def _contender(row_name: str, contender: str, part: int) -> Any:
    from benchmarks.rows import find

    row = find(row_name)
    makers = {"ours": row.ours, **row.floors, **row.peers}
    work = row.work()
    return makers[contender](work.part(part) if part > 1 else work)


if __name__ == "__main__":
    importlib.import_module("benchmarks.worker").main()
