"""How arrays, numbers and tables are written where people read them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

__all__ = ["brief", "html_table", "text_table"]


def brief(value: np.ndarray | None, limit: int = 4) -> str:
    """`value` in a few characters; empty for None.

    Up to `limit` numbers are written out; of more, the one that all are, or their Euclidean norm.

    >>> brief(np.float64(0.99908895))
    '0.999089'
    >>> brief(np.array([1.0, -2.5]))
    '[1, -2.5]'
    >>> brief(np.full(100, 2.0)), brief(np.array([1.0, 2.0, 2.0, 4.0, 0.0]))
    ('all 2', 'norm 5')
    """
    if value is None:
        return ""
    array = np.asarray(value)
    if array.shape == ():
        return _number(array[()])
    if array.size <= limit:
        return _nested(array)
    if (array == array.flat[0]).all():
        return f"all {_number(array.flat[0])}"
    with np.errstate(all="ignore"):
        return f"norm {np.linalg.norm(array.astype(np.float64)):.4g}"


def _number(x: object) -> str:
    return f"{x:.6g}" if isinstance(x, np.floating | float) else str(x)


def _nested(array: np.ndarray) -> str:
    parts = [_nested(row) if row.ndim else _number(row[()]) for row in map(np.asarray, array)]
    return f"[{', '.join(parts)}]"


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in plain text: columns as wide as their longest cell, two spaces between them.

    >>> print(text_table(["layer", "weights"], [["0", "(2, 5)"]]))
    layer  weights
    -----  -------
    0      (2, 5)
    """
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in lines)


def html_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same table as HTML; every cell is escaped."""
    head = "".join(f'<th style="text-align:left">{escape(cell)}</th>' for cell in header)
    body = "".join(
        "<tr>" + "".join(f'<td style="text-align:left">{escape(cell)}</td>' for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
