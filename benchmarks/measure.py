"""Runs a row's contenders in turns (A B C A B C ...), each in its own process, and judges the times."""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.row import Row

__all__ = ["fresh", "fresh_code", "judged", "measure", "spread"]

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 8.0  # seconds that one contender may take in all; it then makes fewer runs, at least 3 (slow peers: 1)


def measure(row: Row, rounds: int | None = None) -> dict[str, Any]:
    """The row's result; with several numbers of threads, the last one's, the others beside it."""
    found = [_at_threads(row, threads, rounds or row.rounds) for threads in row.threads]
    result = found[-1]
    for threads, other in zip(row.threads[:-1], found[:-1], strict=True):
        result[f"at_{threads}_thread" + ("s" if threads != 1 else "")] = other
    if None in (answers := [one["met"] for one in found]):
        result["met"] = False if False in answers else None
    else:
        result["met"] = all(answers)
    return result


def fresh(module: str, *arguments: str) -> str:
    """What `python -m module arguments` prints, in a process of its own."""
    return _said(["-m", module, *arguments])


def fresh_code(code: str) -> str:
    """What a line of Python prints, in a process of its own."""
    return _said(["-c", code])


def _said(arguments: list[str]) -> str:
    found = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=_environment(None))
    if found.returncode:
        raise RuntimeError(found.stderr.strip().splitlines()[-1])
    return found.stdout.strip()


def _environment(threads: int | None) -> dict[str, str]:
    count = str(threads or len(os.sched_getaffinity(0)))
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    numbers = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), count)
    return os.environ | numbers | {"PYTHONPATH": path, "OMP_WAIT_POLICY": "PASSIVE", "JAX_PLATFORMS": "cpu"}


def spread(times: list[float]) -> list[float]:
    """The least and the greatest time."""
    return [min(times), max(times)]


def judged(
    row: str, bar: Any, ours: list[float], floors: Mapping[str, list[float]], peers: Mapping[str, list[float] | None]
) -> dict[str, Any]:
    """The line of the table for these times; a peer without times is absent (None)."""
    ours_s = statistics.median(ours)
    floor = min((statistics.median(times), name) for name, times in floors.items()) if floors else None
    peers_s = {name: None if times is None else statistics.median(times) for name, times in peers.items()}
    present = [seconds for seconds in peers_s.values() if seconds is not None]
    floor_s = floor[0] if floor else None
    return {
        "row": row,
        "ours_s": ours_s,
        "ours_spread": spread(ours),
        "floor_s": floor_s,
        "floor_spread": spread(floors[floor[1]]) if floor else None,
        "floor": floor[1] if floor else None,
        "peers_s": peers_s,
        "peers_spread": {name: None if times is None else spread(times) for name, times in peers.items()},
        "ratio_to_floor": ours_s / floor_s if floor_s else None,
        "ratio_of_least": min(ours) / min(floors[floor[1]]) if floor else None,
        "best_peer_ratio": min(present) / ours_s if present else None,
        "bar": str(bar),
        "met": bar.met(ours_s, floor_s, peers_s),
    }


def _at_threads(row: Row, threads: int | None, rounds: int) -> dict[str, Any]:
    workers = {name: _Worker(row, name, threads) for name in ("ours", *row.floors, *row.peers)}
    try:
        for worker in workers.values():
            worker.run(keep=False)  # each is warm before any is timed, and its first process-wide costs are paid
        for _ in range(rounds):
            for worker in workers.values():
                if worker.has_time():
                    worker.run()
        notes = _compared(row, workers, threads)
    finally:
        for worker in workers.values():
            worker.close()
    found = judged(
        row.name, row.bar, workers["ours"].times, {name: workers[name].times for name in row.floors},
        {name: None if workers[name].absent else workers[name].times for name in row.peers},
    )  # fmt: skip
    cpu = {name: statistics.median(worker.cpu) for name, worker in workers.items() if worker.cpu}
    return found | {"cpu_s": cpu, "workload": row.about, "threads": threads, "losses_agree": True, "notes": notes}


def _compared(row: Row, workers: Mapping[str, _Worker], threads: int | None) -> list[str]:
    """Asserts that all end at our loss; returns what is to be said of the peers."""
    notes, own = [], {1: workers["ours"].loss}
    for name, worker in workers.items():
        if worker.absent:
            notes.append(f"{name} is absent: {worker.absent}")
            assert name not in ("ours", *row.floors), f"{row.name}: {name} does not run: {worker.absent}"
            continue
        if worker.part not in own:
            shorter = _Worker(row, "ours", threads, worker.part)
            shorter.run()
            shorter.close()
            assert not shorter.absent, f"{row.name}: ours does not run: {shorter.absent}"
            own[worker.part] = shorter.loss
        if worker.part > 1:
            notes.append(f"{name}: 1/{worker.part} of the steps, its time multiplied by {worker.part}")
        if not math.isnan(worker.loss):
            off = abs(worker.loss - own[worker.part]) / max(abs(own[worker.part]), 1e-12)
            told = f"{row.name}: {name} ends at the loss {worker.loss}, ours at {own[worker.part]}"
            assert off <= row.tolerance, told
    return notes


class _Worker:
    """One contender's process and its times."""

    def __init__(self, row: Row, name: str, threads: int | None, part: int | None = None):
        self.part = row.parts.get(name, 1) if part is None else part
        self.times: list[float] = []
        self.cpu: list[float] = []
        self.loss = math.nan
        self.spent = 0.0
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed by `close`
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", row.name, name, str(self.part), str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
            env=_environment(threads),
        )  # fmt: skip
        self.absent: str | None = self._answer().get("absent")

    def has_time(self) -> bool:
        least = 1 if self.part > 1 else 3
        return not self.absent and (len(self.times) < least or self.spent < PATIENCE)

    def run(self, keep: bool = True) -> None:
        if self.absent:
            return
        print("run", file=self.process.stdin, flush=True)
        found = self._answer()
        if "absent" in found:
            self.absent = found["absent"]
            return
        self.loss = found["loss"]
        self.spent += found["spent"]
        if keep:
            self.times.append(found["seconds"] * self.part)
            self.cpu.append(found["cpu"] * self.part)

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()
        self.errors.close()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line:
            found: dict[str, Any] = json.loads(line)
            return found
        self.errors.seek(0)
        return {"absent": "its process ended: " + " | ".join(self.errors.read().strip().splitlines()[-1:])}
