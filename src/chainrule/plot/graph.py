"""The picture of a graph, with the numbers of one run on every node and edge, drawn by matplotlib."""

from __future__ import annotations

from typing import Any

from chainrule.inspect import Trace, trace
from chainrule.inspect.drawing import COLORS, FONT_SIZE, LINE, PAD, Arrow, Place, drawing
from chainrule.inspect.picture import picture
from chainrule.plot.canvas import Path, axes, save
from chainrule.tensor import Tensor

__all__ = ["graph"]

PIXELS = 90  # an inch
POINTS = 72 / PIXELS


def graph(
    source: Trace | Tensor, *, limit: int = 24, title: str | None = None, ax: Any = None, path: Path = None
) -> Any:
    """The graph of a trace, leaves at the left: in the boxes values and gradients, on every edge what flows back.

    On the edge of an element-wise operation on numbers stand local derivative × incoming adjoint = contribution.

    Args:
        source: a `Trace`, or a tensor that is a number and is traced here.
        limit: with more boxes than this, the nodes of a module are shown as one.
        title, ax, path: texts, and see the package. On an `ax` that is too small texts overlap.

    Returns the Axes.
    """
    seen = source if isinstance(source, Trace) else trace(source)
    drawn = drawing(picture(seen, limit))
    ax = axes(ax, path, (drawn.width / PIXELS, drawn.height / PIXELS + 0.4))
    ax.set(xlim=(0, drawn.width), ylim=(drawn.height, 0), title=title or f"graph of {seen.output.label}")
    ax.set_axis_off()
    for arrow in drawn.arrows:
        _arrow(ax, arrow)
    for place in drawn.places:
        _place(ax, place)
    save(ax.figure, path)
    return ax


def _arrow(ax: Any, arrow: Arrow) -> None:
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Curve

    points = [arrow.pieces[0][0], *(point for piece in arrow.pieces for point in piece[1:])]
    codes = [Curve.MOVETO]
    for piece in arrow.pieces:
        codes += [Curve.LINETO] if len(piece) == 2 else [Curve.CURVE4] * 3
    ax.add_patch(FancyArrowPatch(path=Curve(points, codes), arrowstyle="-|>", mutation_scale=9, color="#666666"))
    if arrow.text:
        ground = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.9}
        style = {"fontsize": FONT_SIZE * POINTS, "color": "#a23b00", "ha": "center", "va": "center"}
        ax.text(*arrow.center, arrow.text, bbox=ground, **style)


def _place(ax: Any, place: Place) -> None:
    from matplotlib.patches import FancyBboxPatch

    fill, border = COLORS[place.box.kind]
    style: dict[str, Any] = {
        "boxstyle": "round,pad=0,rounding_size=6",
        "facecolor": fill,
        "edgecolor": border,
        "zorder": 3,
    }
    ax.add_patch(FancyBboxPatch((place.x, place.y), place.width, place.height, **style))
    for i, line in enumerate((place.box.title, *place.box.lines)):
        y = place.y + PAD + LINE * (i + 0.5)
        weight = "normal" if i else "bold"
        ax.text(
            place.x + place.width / 2,
            y,
            line,
            ha="center",
            va="center",
            fontsize=FONT_SIZE * POINTS,
            weight=weight,
            zorder=4,
        )
