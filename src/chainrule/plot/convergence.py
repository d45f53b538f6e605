"""The loss of one run or several, against the step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from chainrule.errors import OptionError, explain
from chainrule.history import History
from chainrule.plot.canvas import COLORS, Path, axes, save

__all__ = ["convergence"]

Run = History | ArrayLike
STYLES = ("-", "--", ":", "-.")


def convergence(
    runs: Run | Mapping[str, Run] | Sequence[History],
    *,
    scale: str = "log",
    records: Sequence[str] | None = None,
    title: str = "Convergence",
    ylabel: str = "mean loss",
    ax: Any = None,
    path: Path = None,
) -> Any:
    """The records of one run or of several on one pair of axes: a color for every run, a line style for every set.

    Args:
        runs: a `History`; or {name: History} or a list of them, overlaid. An array is the loss at steps 0, 1, ...
        scale: "log" or "linear". On a log axis a loss of 0 cannot be drawn and leaves a gap.
        records: which recorded sets to draw ("train", "validation", ...); None: all that there are.
        title, ylabel: texts.
        ax, path: see the package.

    Returns the Axes. Raises OptionError for another scale, an unknown set, or a run without records.
    """
    if scale not in ("log", "linear"):
        raise OptionError(explain("convergence", f"scale={scale!r}", 'it is "log" or "linear"'))
    lines = [line for item in enumerate(_named(runs).items()) for line in _lines(item, records)]
    ax = axes(ax, path)
    positive = False
    for label, color, style, steps, values in lines:
        drawn = np.where(values > 0, values, np.nan) if scale == "log" else values
        positive |= bool(np.isfinite(drawn).any())
        ax.plot(steps, drawn, color=color, linestyle=style, label=label, marker="o" if len(values) == 1 else None)
    if scale == "log" and positive:
        ax.set_yscale("log")
    ax.set(xlabel="step", ylabel=ylabel, title=title)
    ax.grid(True, alpha=0.3)
    if len(lines) > 1:
        ax.legend()
    save(ax.figure, path)
    return ax


def _named(runs: Any) -> dict[str, Run]:
    if isinstance(runs, Mapping):
        return {str(name): run for name, run in runs.items()}
    if isinstance(runs, Sequence) and runs and isinstance(runs[0], History):
        return {f"run {i}": run for i, run in enumerate(runs)}
    return {"": runs}


Line = tuple[str, str, str, np.ndarray, np.ndarray]


def _lines(item: tuple[int, tuple[str, Run]], wanted: Sequence[str] | None) -> list[Line]:
    number, (name, run) = item
    if isinstance(run, History):
        steps, found = run.steps, run.records
    else:
        found = {"train": np.asarray(run, dtype=np.float64)}
        steps = np.arange(len(found["train"]))
    names = list(found) if wanted is None else list(wanted)
    missing = [key for key in names if key not in found]
    if missing or not names:
        got = f"records={', '.join(missing)}" if missing else f"the run {name}".rstrip()
        rule = f"recorded were: {', '.join(found) or 'none'}"
        raise OptionError(explain("convergence", got, rule, "Record with fit(..., record_every=k, record_on=...)."))
    color = COLORS[number % len(COLORS)]
    return [
        (_label(name, key, len(names)), color, STYLES[i % len(STYLES)], steps, found[key])
        for i, key in enumerate(names)
    ]


def _label(run: str, key: str, sets: int) -> str:
    return f"{run}, {key}" if run and sets > 1 else run or key
