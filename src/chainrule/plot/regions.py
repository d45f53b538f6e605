"""Where a model of two features decides what: the shaded score, the boundary, the margins, and the data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.autodiff import gradient
from chainrule.errors import DataError, ShapeError, explain
from chainrule.plot.canvas import COLORS, MARKERS, Path, axes, save
from chainrule.tensor import variable

__all__ = ["decision_regions", "scores"]

ROWS = 16384  # rows that go through the model together
ARROWS = 150


@dataclass(frozen=True)
class Grid:
    """The one grid that shading and contour share: `n` x `n` points, the outermost on the bounds."""

    low: np.ndarray
    high: np.ndarray
    n: int

    @property
    def axes(self) -> tuple[np.ndarray, np.ndarray]:
        """The coordinates of its columns and of its rows."""
        first, second = (np.linspace(a, b, self.n) for a, b in zip(self.low, self.high, strict=True))
        return first, second

    @property
    def points(self) -> np.ndarray:
        """All points, row after row: (n * n, 2)."""
        first, second = np.meshgrid(*self.axes)
        return np.stack([first.ravel(), second.ravel()], axis=1)

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """The bounds of an image whose pixels are centered on the points: half a cell wider on every side."""
        half = (self.high - self.low) / (self.n - 1) / 2
        (left, bottom), (right, top) = self.low - half, self.high + half
        return float(left), float(right), float(bottom), float(top)


def decision_regions(
    model: Callable[..., Any],
    x: Any,
    t: Any = None,
    *,
    arrows: Callable[..., Any] | None = None,
    level: float = 0.0,
    margins: Sequence[float] | None = None,
    resolution: int = 200,
    names: Sequence[str] = ("x1", "x2"),
    classes: Sequence[str] | None = None,
    title: str = "Decision regions",
    ax: Any = None,
    path: Path = None,
) -> Any:
    """The plane of two features, shaded by what `model` says of it, with the data on it.

    A model of one output is shaded by its score, with the contour at `level` and, for targets of -1 and +1, the margins
    at -1 and +1. A model of k outputs is shaded by the class of the largest, with the boundaries between classes.

    Args:
        model: rows (n, 2) -> (n,), (n, 1) or (n, k).
        x: data (n, 2).
        t: one target a row: two values of any kind for one output, class numbers for k; None: the data are not colored.
        arrows: a loss: from up to 150 rows arrows of dL/dx are drawn, the direction in which the loss grows, to one
            scale; the steepest tenth are drawn shorter than they are.
        level: the score that divides the classes.
        margins: further contours; None: -1 and +1 where the targets are those.
        resolution: points of the grid along each feature.
        names: of the two features. classes: of the classes, in the order of their targets.
        title, ax, path: texts, and see the package.

    Returns the Axes. Raises ShapeError for other than two features, DataError for values that are not finite.
    """
    x, t = _checked(x, t)
    grid = _grid(x, resolution)
    found = scores(model, grid.points.astype(x.dtype)).reshape(resolution, resolution, -1)
    several = found.shape[2] > 1
    ax = axes(ax, path, (6.8, 5.2))
    handles = _classes(ax, grid, found) if several else _score(ax, grid, found[..., 0], t, level, margins)
    handles = [*_points(ax, x, t, found.shape[2], classes), *handles]
    if arrows is not None:
        handles.append(_arrows(ax, model, arrows, x, t))
    ax.set(xlabel=names[0], ylabel=names[1], title=title)
    ax.set(xlim=(grid.low[0], grid.high[0]), ylim=(grid.low[1], grid.high[1]))
    if handles:
        ax.legend(
            handles=handles,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.12),
            ncols=len(handles) if len(handles) <= 4 else 3,
        )
    save(ax.figure, path)
    return ax


def scores(model: Callable[..., Any], x: np.ndarray) -> np.ndarray:
    """The model's outputs for the rows of `x`, a bounded number at a time."""
    parts = [np.asarray(model(x[i : i + ROWS])) for i in range(0, len(x), ROWS)]
    return np.concatenate(parts)


def _checked(x: Any, t: Any) -> tuple[np.ndarray, np.ndarray | None]:
    x = np.asarray(x)
    if x.ndim != 2 or x.shape[1] != 2 or not len(x):
        raise ShapeError(explain("decision_regions", f"x is {x.shape}", "a plane has two features: (n, 2)"))
    x = x if x.dtype.kind == "f" else x.astype(np.float64)
    if not np.isfinite(x).all():
        row, column = np.argwhere(~np.isfinite(x))[0]
        raise DataError(explain("decision_regions", f"x[{row}, {column}] is {x[row, column]}", "data must be finite"))
    if t is None:
        return x, None
    t = np.asarray(t)
    if t.size != len(x):
        raise ShapeError(explain("decision_regions", f"x is {x.shape}, t is {t.shape}", "there is one target a row"))
    return x, t.reshape(-1)


def _grid(x: np.ndarray, n: int) -> Grid:
    low, high = x.min(axis=0).astype(np.float64), x.max(axis=0).astype(np.float64)
    margin = np.where(high > low, 0.08 * (high - low), 1.0)
    return Grid(low - margin, high + margin, n)


def _score(ax: Any, grid: Grid, score: np.ndarray, t: np.ndarray | None, level: float, margins: Any) -> list[Any]:
    from matplotlib.colors import LinearSegmentedColormap

    colors = LinearSegmentedColormap.from_list("score", [COLORS[0], "#f7f7f7", COLORS[1]])
    away = np.abs(score[np.isfinite(score)] - level)
    reach = float(np.quantile(away, 0.9)) if away.size else 1.0
    reach = reach or 1.0
    image = ax.imshow(
        score, extent=grid.extent, origin="lower", aspect="auto", cmap=colors, alpha=0.6, interpolation="bilinear",
        vmin=level - reach, vmax=level + reach,
    )  # fmt: skip
    ax.figure.colorbar(image, ax=ax, label="score", extend="both")
    signs = t is not None and np.isin(t, (-1, 1)).all()
    wanted = tuple(margins) if margins is not None else (-1.0, 1.0) if signs and level == 0 else ()
    lines = [((level,), "solid", 2.0, f"score = {level:g}"), (wanted, "dashed", 1.2, f"score = {_list(wanted)}")]
    handles = []
    for values, style, width, label in lines:
        inside = [value for value in sorted(values) if np.nanmin(score) <= value <= np.nanmax(score)]
        if inside:
            ax.contour(*grid.axes, score, levels=inside, colors="black", linestyles=style, linewidths=width, zorder=4)
            handles.append(_line(label, color="black", linestyle=style, linewidth=width))
    return handles


def _list(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _classes(ax: Any, grid: Grid, found: np.ndarray) -> list[Any]:
    from matplotlib.colors import ListedColormap

    k = found.shape[2]
    colors = ListedColormap([COLORS[c % len(COLORS)] for c in range(k)])
    ax.imshow(
        found.argmax(axis=2), extent=grid.extent, origin="lower", aspect="auto", cmap=colors, alpha=0.3,
        interpolation="nearest", vmin=-0.5, vmax=k - 0.5,
    )  # fmt: skip
    for c in range(k):
        ahead = found[..., c] - np.delete(found, c, axis=2).max(axis=2)
        if ahead.min() <= 0 <= ahead.max():
            ax.contour(*grid.axes, ahead, levels=[0], colors="black", linewidths=1.2)
    return [_line("boundary", color="black", linewidth=1.2)]


def _points(ax: Any, x: np.ndarray, t: np.ndarray | None, outputs: int, names: Sequence[str] | None) -> list[Any]:
    style = {"s": 26 if len(x) <= 500 else 12, "edgecolors": "white", "linewidths": 0.3, "zorder": 3}
    if t is None:
        return [ax.scatter(*x.T, color="#444444", label="data", **style)]
    kinds = np.arange(outputs) if outputs > 1 else np.unique(t)
    handles = []
    for i, kind in enumerate(kinds):
        rows = t == kind
        name = names[i] if names is not None else f"t = {kind:g}" if t.dtype.kind in "fiu" else f"t = {kind}"
        if rows.any():
            color, marker = COLORS[i % len(COLORS)], MARKERS[i % len(MARKERS)]
            handles.append(ax.scatter(*x[rows].T, color=color, marker=marker, label=name, **style))
    return handles


def _arrows(ax: Any, model: Callable[..., Any], loss: Callable[..., Any], x: np.ndarray, t: np.ndarray | None) -> Any:
    chosen = np.unique(np.linspace(0, len(x) - 1, min(ARROWS, len(x))).astype(int))
    rows = variable(x[chosen])
    y = model(rows)
    targets = None if t is None else t[chosen].reshape(-1, 1) if y.ndim == 2 and y.shape[1] == 1 else t[chosen]
    slopes = gradient(loss(y, targets).sum(), [rows])[0].numpy()
    length = np.linalg.norm(slopes, axis=1)
    moving = length > 0
    if moving.any():
        # a few steep rows would else shrink all other arrows to dots
        longest = np.quantile(length[moving], 0.9)
        shown = slopes[moving] * np.minimum(1, longest / length[moving])[:, None]
        scale = longest / (0.09 * float(np.ptp(x, axis=0).max() or 1.0))
        style = {"angles": "xy", "scale_units": "xy", "scale": scale, "width": 0.004, "zorder": 4}
        ax.quiver(*x[chosen][moving].T, *shown.T, color="#222222", **style)
    return _line("dL/dx", color="#222222", marker=r"$\rightarrow$", markersize=12, linestyle="none")


def _line(label: str, **style: Any) -> Any:
    """A line for the legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], label=label, **style)
