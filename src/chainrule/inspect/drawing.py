"""The geometry of a picture in pixels: where every box, arrow and text stands, whoever draws it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from chainrule.inspect.layout import Point, layout
from chainrule.inspect.picture import Box, Link, Picture

__all__ = ["COLORS", "FONT_SIZE", "LINE", "PAD", "Arrow", "Drawing", "Place", "drawing"]

FONT_SIZE = 11
CHAR, LINE, PAD, GAP, ROW_GAP, MARGIN = 6.8, 16, 10, 44, 34, 14
# Okabe and Ito (2008): told apart with any kind of color vision. (fill, border)
COLORS = {
    "leaf": ("#e3f2fb", "#0072b2"), "constant": ("#f4f4f4", "#8a8a8a"), "operation": ("#ffffff", "#444444"),
    "module": ("#fdf3df", "#b87700"), "output": ("#e2f5ee", "#00795a"),
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A box and its rectangle: left, top, width, height."""

    box: Box
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Arrow:
    """Pieces of an arrow, each of 2 points (a straight line) or 4 (a cubic Bezier curve), and its text's center."""

    pieces: tuple[tuple[Point, ...], ...]
    text: str
    center: Point
    width: float


@dataclass(frozen=True)
class Drawing:
    """A picture in pixels, y downward."""

    width: float
    height: float
    places: tuple[Place, ...]
    arrows: tuple[Arrow, ...]


def drawing(picture: Picture) -> Drawing:
    """Leaves at the left, the output at the right, the text of every link on it."""
    boxes, links = picture.boxes, picture.links
    placed = layout(range(len(boxes)), [(link.source, link.target) for link in links])
    widths, gaps = _columns(picture, [int(placed.places[i][0]) for i in range(len(boxes))], placed.columns)
    lefts = [MARGIN + sum(widths[:c]) + sum(gaps[:c]) for c in range(placed.columns)]
    tall = max((_height(box) for box in boxes), default=0) + ROW_GAP

    def at(point: Point, side: float) -> Point:
        c = int(point[0])
        return lefts[c] + widths[c] * side, MARGIN + (point[1] + 0.5) * tall

    arrows = []
    for link, route, bend in zip(links, placed.routes, _bends(links), strict=True):
        points = [at(route[0], 1), *(at(p, s) for p in route[1:-1] for s in (0, 1)), at(route[-1], 0)]
        arrows.append(_arrow(points, link.text, bend))
    places = []
    for i, box in enumerate(boxes):
        x, middle = at(placed.places[i], 0)
        places.append(Place(box, x, middle - _height(box) / 2, widths[int(placed.places[i][0])], _height(box)))
    width = lefts[-1] + widths[-1] + MARGIN if lefts else 2 * MARGIN
    return Drawing(width, 2 * MARGIN + placed.rows * tall, tuple(places), tuple(arrows))


def _height(box: Box) -> float:
    return PAD * 2 + LINE * (1 + len(box.lines))


def _columns(picture: Picture, column: Sequence[int], count: int) -> tuple[list[float], list[float]]:
    """The width of every column, and of the gap to its right, which holds the texts of the links."""
    widths, gaps = [40.0] * count, [float(GAP)] * count
    for box, c in zip(picture.boxes, column, strict=True):
        widths[c] = max(widths[c], 2 * PAD + CHAR * max(map(len, (box.title, *box.lines))))
    for link in picture.links:
        c = column[link.source]
        gaps[c] = max(gaps[c], GAP + CHAR * len(link.text))
    return widths, gaps


def _bends(links: Sequence[Link]) -> list[float]:
    """How far each link bows out, so that two between the same boxes (x * x) stay apart."""
    pairs = [(link.source, link.target) for link in links]
    count, seen, found = Counter(pairs), Counter[tuple[int, int]](), []
    for pair in pairs:
        found.append((seen[pair] - (count[pair] - 1) / 2) * 34)
        seen[pair] += 1
    return found


def _arrow(points: Sequence[Point], text: str, bend: float) -> Arrow:
    """Curves between columns and straight lines through them; the text is nearer to the source, where links part."""
    pieces: list[tuple[Point, ...]] = []
    for i in range(len(points) - 1):
        (x0, y0), (x1, y1) = points[i], points[i + 1]
        if i % 2:
            pieces.append(((x0, y0), (x1, y1)))
        else:
            middle, bow = (x0 + x1) / 2, bend * 4 / 3
            pieces.append(((x0, y0), (middle, y0 + bow), (middle, y1 + bow), (x1, y1)))
    (x0, y0), (x1, y1) = points[:2]
    # the point of the curve at 0.42: its weight of y1 is 0.381
    center = x0 + (x1 - x0) * 0.45, y0 * 0.619 + y1 * 0.381 + bend * 0.97
    return Arrow(tuple(pieces), text, center, CHAR * len(text) + 4)
