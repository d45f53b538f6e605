"""How arrays and numbers are written where people read them."""

from __future__ import annotations

import numpy as np

__all__ = ["brief"]


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
