"""Pictures as SVG text, made here: no program of the system and no plotting library is needed."""

from __future__ import annotations

from html import escape

from chainrule.inspect.drawing import COLORS, FONT_SIZE, LINE, PAD, Arrow, Place, drawing
from chainrule.inspect.picture import Picture

__all__ = ["draw"]

ARROW = (
    '<marker id="cr-arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    '<path d="M0,0 L8,4 L0,8 z" fill="#666666"/></marker>'
)


def draw(picture: Picture, title: str = "graph") -> str:
    """The picture as one SVG element, on a white ground so that it reads on any page."""
    found = drawing(picture)
    width, height = round(found.width), round(found.height)
    content = "".join([*map(_arrow, found.arrows), *map(_place, found.places)])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="DejaVu Sans, Verdana, sans-serif" font-size="{FONT_SIZE}" role="img">'
        f"<title>{escape(title)}</title><defs>{ARROW}</defs>"
        f'<rect width="{width}" height="{height}" rx="8" fill="#ffffff"/>{content}</svg>'
    )


def _arrow(arrow: Arrow) -> str:
    x, y = arrow.pieces[0][0]
    path = [f"M{x:.1f},{y:.1f}"]
    for piece in arrow.pieces:
        path.append(("L" if len(piece) == 2 else "C") + " ".join(f"{x:.1f},{y:.1f}" for x, y in piece[1:]))
    line = f'<path d="{" ".join(path)}" fill="none" stroke="#666666" marker-end="url(#cr-arrow)"/>'
    if not arrow.text:
        return line
    x, y = arrow.center
    return (
        f'{line}<rect x="{x - arrow.width / 2:.1f}" y="{y - 7:.1f}" width="{arrow.width:.1f}" height="14" '
        f'fill="#ffffff" fill-opacity="0.9"/><text x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle" '
        f'fill="#a23b00">{escape(arrow.text)}</text>'
    )


def _place(place: Place) -> str:
    fill, border = COLORS[place.box.kind]
    shape = f'x="{place.x:.1f}" y="{place.y:.1f}" width="{place.width:.1f}" height="{place.height:.1f}" rx="6"'
    texts = [
        f'<text x="{place.x + place.width / 2:.1f}" y="{place.y + PAD + LINE * (i + 0.8):.1f}" text-anchor="middle" '
        f'font-weight="{400 if i else 700}" fill="#1a1a1a">{escape(line)}</text>'
        for i, line in enumerate((place.box.title, *place.box.lines))
    ]
    return f'<rect {shape} fill="{fill}" stroke="{border}" stroke-width="1.5"/>{"".join(texts)}'
