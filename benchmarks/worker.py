"""A process of its own for one contender, so that libraries' threads and memory do not meet.

It reads commands from its standard input, one a line, and answers each by one line of JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from typing import Any


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
        run = prepare()
        began, began_cpu = time.perf_counter(), time.process_time()
        loss = run()
        seconds, cpu = time.perf_counter() - began, time.process_time() - began_cpu
        answer({"seconds": seconds, "cpu": cpu, "loss": loss})


def _contender(row_name: str, contender: str, part: int) -> Any:
    from benchmarks.rows import find

    row = find(row_name)
    makers = {"ours": row.ours, **row.floors, **row.peers}
    work = row.work()
    return makers[contender](work.part(part) if part > 1 else work)


if __name__ == "__main__":
    importlib.import_module("benchmarks.worker").main()
