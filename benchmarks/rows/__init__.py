"""The rows of the table, in its order; each is imported when it is asked for, by the process that runs it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from benchmarks.measure import measure
from benchmarks.row import Row

__all__ = ["PLACES", "find", "result"]

# row -> the module that holds it, as `ROWS[row]`: a Row, or a function that measures and returns the result
PLACES = {
    "linear-squared": "linear",
    "linear-hinge": "linear",
    "move-data": "move_data",
    "mlp-5-5": "perceptron",
    "mlp-10-100-30-10": "perceptron",
    "mlp-64": "classifier",
    "mlp-784": "classifier",
    "mlp-2048": "classifier",
    "residual": "residual",
    "first-call": "first_call",
    "import": "import_time",
    "call": "call",
    "memory": "memory",
    "scaling": "scaling",
    "threads": "threads",
    "rest": "rest",
}


def find(name: str) -> Any:
    """The Row, or the function, of this name."""
    found: Row | Callable[[], dict[str, Any]] = importlib.import_module(f"benchmarks.rows.{PLACES[name]}").ROWS[name]
    return found


def result(name: str, rounds: int | None = None) -> dict[str, Any]:
    """Run one row; `rounds` are the runs of each contender, where the row has such."""
    found = find(name)
    return measure(found, rounds) if isinstance(found, Row) else found()
