"""Pictures as SVG text, made here: no program of the system and no plotting library is needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape
from itertools import pairwise

from chainrule.inspect.layout import Point, layout
from chainrule.inspect.picture import Box, Picture

__all__ = ["draw"]

CHAR, LINE, PAD, GAP, ROW_GAP, MARGIN = 6.6, 16, 10, 44, 34, 14
# Okabe and Ito (2008): told apart with any kind of color vision. (fill, border)
COLORS = {
    "leaf": ("#e3f2fb", "#0072b2"), "constant": ("#f4f4f4", "#8a8a8a"), "operation": ("#ffffff", "#444444"),
    "module": ("#fdf3df", "#b87700"), "output": ("#e2f5ee", "#00795a"),
}  # fmt: skip


def draw(picture: Picture, title: str = "graph") -> str:
    """The picture as one SVG element: leaves at the left, the output at the right, the text of every link on it."""
    boxes, links = picture.boxes, picture.links
    placed = layout(range(len(boxes)), [(link.source, link.target) for link in links])
    widths, gaps = _columns(picture, [int(placed.places[i][0]) for i in range(len(boxes))], placed.columns)
    lefts = [MARGIN + sum(widths[:c]) + sum(gaps[:c]) for c in range(placed.columns)]
    height = max((PAD * 2 + LINE * (1 + len(box.lines)) for box in boxes), default=0)
    tall = height + ROW_GAP

    def at(point: Point, side: float) -> Point:
        c = int(point[0])
        return lefts[c] + widths[c] * side, MARGIN + (point[1] + 0.5) * tall

    bends = _bends([(link.source, link.target) for link in links])
    parts = [
        _link([at(route[0], 1), *(at(p, s) for p in route[1:-1] for s in (0, 1)), at(route[-1], 0)], link.text, bend)
        for link, route, bend in zip(links, placed.routes, bends, strict=True)
    ]
    parts += [_box(box, at(placed.places[i], 0), widths[int(placed.places[i][0])]) for i, box in enumerate(boxes)]
    size = (lefts[-1] + widths[-1] + MARGIN, 2 * MARGIN + placed.rows * tall) if lefts else (2 * MARGIN, 2 * MARGIN)
    return _frame(size, title, "".join(parts))


def _columns(picture: Picture, column: Sequence[int], count: int) -> tuple[list[float], list[float]]:
    """The width of every column, and of the gap to its right, which holds the texts of the links."""
    widths, gaps = [40.0] * count, [float(GAP)] * count
    for box, c in zip(picture.boxes, column, strict=True):
        widths[c] = max(widths[c], 2 * PAD + CHAR * max(map(len, (box.title, *box.lines))))
    for link in picture.links:
        c = column[link.source]
        gaps[c] = max(gaps[c], GAP + CHAR * len(link.text))
    return widths, gaps


def _bends(links: Sequence[tuple[int, int]]) -> list[float]:
    """How far each link bows out, so that two between the same boxes (x * x) stay apart."""
    count, seen, found = Counter(links), Counter[tuple[int, int]](), []
    for pair in links:
        found.append((seen[pair] - (count[pair] - 1) / 2) * 34)
        seen[pair] += 1
    return found


def _link(points: Sequence[Point], text: str, bend: float) -> str:
    """A curve through `points`; the text stands on its first piece, nearer to the source, where links part."""
    path = [f"M{points[0][0]:.1f},{points[0][1]:.1f}"]
    for i, ((x0, y0), (x1, y1)) in enumerate(pairwise(points)):
        if i % 2:
            path.append(f"L{x1:.1f},{y1:.1f}")
        else:
            middle = (x0 + x1) / 2
            path.append(f"C{middle:.1f},{y0 + bend * 4 / 3:.1f} {middle:.1f},{y1 + bend * 4 / 3:.1f} {x1:.1f},{y1:.1f}")
    (x0, y0), (x1, y1) = points[:2]
    label = ""
    if text:
        # the cubic's point at 0.42: weights 0.19511, 0.42386, 0.30694, 0.07409
        y = y0 * 0.619 + y1 * 0.381 + bend * 0.97
        x = x0 + (x1 - x0) * 0.45
        wide = CHAR * len(text) + 4
        label = (
            f'<rect x="{x - wide / 2:.1f}" y="{y - 7:.1f}" width="{wide:.1f}" height="14" fill="#ffffff" '
            f'fill-opacity="0.9"/><text x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle" fill="#a23b00">'
            f"{escape(text)}</text>"
        )
    arrow = 'fill="none" stroke="#666666" marker-end="url(#cr-arrow)"'
    return f'<path d="{" ".join(path)}" {arrow}/>{label}'


def _box(box: Box, left: Point, width: float) -> str:
    fill, border = COLORS[box.kind]
    height = PAD * 2 + LINE * (1 + len(box.lines))
    x, top = left[0], left[1] - height / 2
    texts = [
        f'<text x="{x + width / 2:.1f}" y="{top + PAD + LINE * (i + 0.8):.1f}" text-anchor="middle"'
        f' font-weight="{400 if i else 700}" fill="#1a1a1a">{escape(line)}</text>'
        for i, line in enumerate((box.title, *box.lines))
    ]
    shape = f'<rect x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height}" rx="6"'
    return f'{shape} fill="{fill}" stroke="{border}" stroke-width="1.5"/>{"".join(texts)}'


def _frame(size: Point, title: str, content: str) -> str:
    width, height = round(size[0]), round(size[1])
    arrow = (
        '<marker id="cr-arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="#666666"/></marker>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="DejaVu Sans, Verdana, sans-serif" font-size="11" role="img"><title>{escape(title)}</title>'
        f'<defs>{arrow}</defs><rect width="{width}" height="{height}" rx="8" fill="#ffffff"/>{content}</svg>'
    )
