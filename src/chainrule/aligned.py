"""Arrays that begin on a cache line: a whole vector of theirs never lies in two. NumPy's own begin at any 16 bytes."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.dtypes import DType

__all__ = ["ALIGNMENT", "address", "copied", "empty", "owns"]

ALIGNMENT = 64  # bytes of a cache line, and of the widest vector
_first_of = ctypes.c_char.from_buffer
_SMALL = 512  # bytes: to be found a place takes longer than it saves


class _Memory(np.ndarray):
    """Bytes in which one array lies, which nobody else knows."""


def empty(shape: Sequence[int], dtype: DType) -> np.ndarray:
    """An array whose values are not set.

    >>> empty((3, 5), np.dtype("float32")).ctypes.data % 64
    0
    """
    nbytes = dtype.itemsize
    for n in shape:
        nbytes *= n
    memory = _Memory(nbytes + ALIGNMENT, np.uint8)
    return np.ndarray(shape, dtype, memory, -address(memory) % ALIGNMENT)


def address(array: Any) -> int:
    """Where an array begins, 0 for an empty one: by its buffer, where it gives one, in a third of the time of `ctypes`.

    >>> address(np.zeros(0))
    0
    """
    try:
        return ctypes.addressof(_first_of(array))
    except (TypeError, ValueError):  # read-only, or empty
        return int(array.ctypes.data) if array.nbytes else 0


def copied(array: np.ndarray) -> np.ndarray:
    """An array of the same values, one row after the other; small ones lie anywhere."""
    if array.nbytes <= _SMALL:
        return np.array(array, order="C")
    made = empty(array.shape, array.dtype)
    made[...] = array
    return made


def owns(array: np.ndarray) -> bool:
    """Whether an array is the only one in its memory, as those of NumPy and of this module are until they are sliced.

    >>> owns(empty((4,), np.dtype("float64"))), owns(empty((4,), np.dtype("float64"))[1:])
    (True, False)
    """
    return type(array) is np.ndarray and (array.base is None or type(array.base) is _Memory)
