"""What a training run leaves behind: its records, how it ended, and what is needed to go on to the bit."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["History", "TrainingState"]

Array = NDArray[Any]


@dataclass(frozen=True)
class TrainingState:
    """All that a run needs to go on to the bit, besides the model's parameters. `cr.save` writes both.

    Attributes:
        step: how many steps were made.
        seed: which run; every draw of a step is a function of it and the step.
        sampling: "replacement", "shuffle", "all" or "given".
        batch_size: rows a step.
        rows: rows of data.
        arrays: the optimizer's state by "parameter path/name", such as "0.weight/velocity".
        stopping: the early stopping's memory: the best value, its step, the records since, the last record's step.
        best: the parameters and the optimizer's state at the best step, if they are to be restored.
    """

    step: int
    seed: int
    sampling: str
    batch_size: int
    rows: int
    arrays: Mapping[str, Array] = field(default_factory=dict)
    stopping: Mapping[str, float] = field(default_factory=dict)
    best: Mapping[str, Array] = field(default_factory=dict)


@dataclass(eq=False)
class History:
    """The records of one call of `fit` or `fit_data`.

    A record is the mean loss over a whole set of rows, evaluated (not trained) before the step it stands at: at step 0,
    k, 2k, ... below the number of steps, with k = `record_every`.

    Attributes:
        steps_done: steps made in this call (also those that early stopping then took back).
        stopped: "finished", "early" (early stopping), "callback" or "interrupted" (Ctrl-C, with all steps whole).
        final: the mean loss over all rows after the last step; None if the run was interrupted or records nothing.
        final_records: the same for every recorded set.
        seconds: wall time.
        state: what `fit(resume=...)` goes on from.
        data: the moved rows (`fit_data` only).
        updates: rows moved, counting every time (`fit_data` only): draws whose gradient was not zero.
        compiled: the machine code that ran, with `loops()`, `llvm()` and `report()`; None on the reference engine, and
            in copies.
        record_every: k; 0 if nothing was recorded.
        rows: rows of data.

    >>> history = History(record_every=100, rows=4, steps_done=200, final=0.25)
    >>> history.extend([0, 100], {"train": [1.0, 0.5]})
    >>> history, history.steps.tolist(), history.loss.tolist()
    (History(finished after 200 steps, 2 records, loss 1 -> 0.25), [0, 100], [1.0, 0.5])
    """

    record_every: int = 0
    rows: int = 0
    steps_done: int = 0
    stopped: str = "finished"
    final: float | None = None
    final_records: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    state: TrainingState | None = None
    data: Array | None = None
    updates: int | None = None
    compiled: Any = field(default=None, repr=False)
    _steps: list[int] = field(default_factory=list, repr=False)
    _records: dict[str, list[float]] = field(default_factory=dict, repr=False)
    _metrics: dict[str, dict[str, list[float]]] = field(default_factory=dict, repr=False)

    @property
    def steps(self) -> Array:
        """The steps at which records were taken: (records,), int64."""
        return np.array(self._steps, np.int64)

    @property
    def loss(self) -> Array:
        """The mean loss over all training rows at each of `steps`: (records,), float64."""
        return np.array(self._records.get("train", []), np.float64)

    @property
    def records(self) -> dict[str, Array]:
        """The mean loss over every recorded set ("train", "validation", the user's own) at each of `steps`."""
        return {name: np.array(values, np.float64) for name, values in self._records.items()}

    @property
    def metrics(self) -> dict[str, dict[str, Array]]:
        """metric name -> set name -> its values at each of `steps`."""
        return {
            name: {rows: np.array(values, np.float64) for rows, values in sets.items()}
            for name, sets in self._metrics.items()
        }

    def add(self, step: int, losses: Mapping[str, float], metrics: Mapping[str, Mapping[str, float]]) -> None:
        """One record of every set, taken before `step`."""
        self._steps.append(step)
        for name, value in losses.items():
            self._records.setdefault(name, []).append(value)
        for name, sets in metrics.items():
            for rows, value in sets.items():
                self._metrics.setdefault(name, {}).setdefault(rows, []).append(value)

    def extend(self, steps: Iterable[int], losses: Mapping[str, Iterable[float]]) -> None:
        """Several records of every set, taken before each of `steps`."""
        self._steps.extend(steps)
        for name, values in losses.items():
            self._records.setdefault(name, []).extend(values)

    def __getstate__(self) -> dict[str, Any]:
        """What a copy has: all but the machine code, which is of this process."""
        return vars(self) | {"compiled": None}

    def forget(self, step: int) -> None:
        """Drop the records taken after `step`."""
        kept = bisect_right(self._steps, step)
        del self._steps[kept:]
        metrics = (values for sets in self._metrics.values() for values in sets.values())
        for found in (*self._records.values(), *metrics):
            del found[kept:]

    def __repr__(self) -> str:
        last = (
            f", loss {self._records['train'][0]:.6g} -> {self.final:.6g}"
            if self.final is not None and len(self._records.get("train", []))
            else ""
        )
        return f"History({self.stopped} after {self.steps_done} steps, {len(self._steps)} records{last})"

    def _repr_html_(self) -> str:
        """How the run ended, and every recorded set with its curve, its first and its last number."""
        head = f"<b>History</b> {self.stopped} after {self.steps_done:,} steps in {self.seconds:.3g} s"
        rows = "".join(
            f"<tr><td>{escape(name)}</td><td>{_curve(values)}</td><td>{values[0]:.6g}</td>"
            f"<td>{self.final_records.get(name, values[-1]):.6g}</td></tr>"
            for name, values in self.records.items()
            if len(values)
        )
        columns = "".join(f"<th>{title}</th>" for title in ("rows", "loss", "first", "last"))
        return f"{head}<table><tr>{columns}</tr>{rows}</table>" if rows else head


def _curve(values: Array, width: int = 240, height: int = 48, most: int = 480) -> str:
    """The finite values as a line of inline SVG, the smallest at the bottom; at most `most` of them."""
    places = np.flatnonzero(np.isfinite(values))
    places = places[np.unique(np.linspace(0, len(places) - 1, min(most, len(places))).astype(int))]
    low, span = (values[places].min(), np.ptp(values[places]) or 1.0) if places.size else (0.0, 1.0)
    x = 2 + (width - 4) * places / max(len(values) - 1, 1)
    y = height - 2 - (height - 4) * (values[places] - low) / span
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img">'
        f'<title>loss</title><polyline points="{points}" fill="none" stroke="#0072b2" stroke-width="1.5"/></svg>'
    )
