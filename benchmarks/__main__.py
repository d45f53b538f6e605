"""`python -m benchmarks [ROW ...] [--json]`: the rows named, or all, as a table or as one JSON object a line."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from benchmarks.rows import PLACES, result

HEAD = ("row", "ours", "floor", "ours / floor", "best peer / ours", "peers", "bar", "met")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", choices=[*PLACES, []], help=", ".join(PLACES))
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--rounds", type=int, help="how often each contender is timed")
    options = parser.parse_args()
    if not options.json:
        print("| " + " | ".join(HEAD) + " |\n|" + "---|" * len(HEAD), flush=True)
    failed = False
    for name in options.rows or PLACES:
        try:
            found = result(name, options.rounds)
        except Exception as error:
            found = {"row": name, "met": False, "error": f"{type(error).__name__}: {error}"}
            failed = True
        print(json.dumps(found) if options.json else _line(found), flush=True)
    return failed


def _line(found: dict[str, Any]) -> str:
    if "error" in found:
        return f"| {found['row']} | {found['error']} |" + " |" * (len(HEAD) - 2)
    peers = ", ".join(f"{name} {_time(seconds)}" for name, seconds in found["peers_s"].items())
    met = {True: "yes", False: "no", None: "?"}[found["met"]]
    cells = (
        found["row"], _time(found["ours_s"], "-"), _time(found["floor_s"], "-"), _ratio(found["ratio_to_floor"]),
        _ratio(found["best_peer_ratio"]), peers, found["bar"], met,
    )  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def _time(seconds: float | None, none: str = "absent") -> str:
    if seconds is None:
        return none
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def _ratio(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.3g}"


if __name__ == "__main__":
    sys.exit(main())
