"""Whether arrays hold finite numbers only: asked of data before a run, and of what a run changes after every chunk."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["is_finite"]

_PIECE = 2**16  # elements that are looked at in one go, at least a row: bounds the memory
_FEW = 2**12  # elements whose sum of squares is found before anything else is begun


def is_finite(array: NDArray[Any]) -> bool:
    """Whether no number in `array`, of one axis or more if it is large, is NaN or infinite.

    >>> is_finite(np.array([1.0, 1e300])), is_finite(np.array([1.0, np.nan]))
    (True, False)
    """
    if array.dtype.kind != "f":
        return True
    size = array.size
    if size <= _FEW:  # a sum of squares is one call of NumPy, which warns of no overflow; if it is finite, so are they
        return math.isfinite(np.vdot(array, array)) or bool(np.isfinite(array).all())
    if size <= _PIECE:
        return bool(np.isfinite(array).all())
    rows = array.reshape(-1) if array.flags.c_contiguous else array
    step = max(1, _PIECE // (size // len(rows)))
    return all(bool(np.isfinite(rows[start : start + step]).all()) for start in range(0, len(rows), step))
