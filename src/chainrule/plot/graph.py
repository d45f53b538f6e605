"""The picture of a graph, with the numbers of one run on every node and edge, drawn by matplotlib."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from chainrule.inspect import Trace, trace
from chainrule.inspect.layout import layout
from chainrule.inspect.picture import Picture, picture
from chainrule.inspect.svg import COLORS
from chainrule.plot.canvas import Path, axes, save
from chainrule.tensor import Tensor

__all__ = ["graph"]

COLUMN, ROW = 2.3, 0.95  # inches


def graph(
    source: Trace | Tensor, *, limit: int = 24, title: str | None = None, ax: Any = None, path: Path = None
) -> Any:
    """The graph of a trace, leaves at the left: in the boxes values and gradients, on every edge what flows back.

    On the edge of an element-wise operation on numbers stand local derivative × incoming adjoint = contribution.

    Args:
        source: a `Trace`, or a tensor that is a number and is traced here.
        limit: with more boxes than this, the nodes of a module are shown as one.
        title, ax, path: texts, and see the package.

    Returns the Axes.
    """
    seen = source if isinstance(source, Trace) else trace(source)
    drawn = picture(seen, limit)
    placed = layout(range(len(drawn.boxes)), [(link.source, link.target) for link in drawn.links])
    ax = axes(ax, path, (max(4.0, COLUMN * placed.columns), max(1.6, ROW * placed.rows + 0.5)))
    ax.set(
        xlim=(-0.45, placed.columns - 0.55),
        ylim=(placed.rows - 0.5, -0.5),
        title=title or f"graph of {seen.output.label}",
    )
    ax.set_axis_off()
    _links(ax, drawn, placed.routes)
    for i, box in enumerate(drawn.boxes):
        fill, border = COLORS[box.kind]
        ax.text(
            *placed.places[i], "\n".join((box.title, *box.lines)), ha="center", va="center", fontsize=8, zorder=3,
            bbox={"boxstyle": "round,pad=0.5", "facecolor": fill, "edgecolor": border, "linewidth": 1.3},
        )  # fmt: skip
    save(ax.figure, path)
    return ax


def _links(ax: Any, drawn: Picture, routes: list[list[tuple[float, float]]]) -> None:
    pairs = [(link.source, link.target) for link in drawn.links]
    for i, (link, route) in enumerate(zip(drawn.links, routes, strict=True)):
        beside = pairs[:i].count(pairs[i]) - (pairs.count(pairs[i]) - 1) / 2
        for a, b in pairwise(route):
            last = b == route[-1]
            arrow = {
                "arrowstyle": "-|>" if last else "-", "color": "#666666", "shrinkA": 0, "shrinkB": 34 if last else 0,
                "connectionstyle": f"arc3,rad={0.25 * beside}",
            }  # fmt: skip
            ax.annotate("", xy=b, xytext=a, arrowprops=arrow, zorder=1)
        (x0, y0), (x1, y1) = route[:2]
        if link.text:
            ax.text(
                x0 + 0.52 * (x1 - x0), y0 + 0.45 * (y1 - y0) + 0.3 * beside, link.text, fontsize=7, color="#a23b00",
                ha="center", va="center", zorder=2,
                bbox={"boxstyle": "square,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.9},
            )  # fmt: skip
