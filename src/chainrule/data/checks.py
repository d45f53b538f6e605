"""Data that can be trained on, or the error that says which row and column cannot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.dtypes import SUPPORTED, checked
from chainrule.errors import DataError, DTypeError, ShapeError, explain
from chainrule.finite import is_finite

__all__ = ["check_data"]

CHUNK = 2**18  # elements looked at in one go: bounds the memory, whatever the size of the data


def check_data(x: ArrayLike, t: ArrayLike | None = None, *, name: str = "x") -> None:
    """Refuse data that cannot be trained on: `x` (n, ...) and, where given, targets `t` (n, ...).

    Raises ShapeError for a scalar or numbers of rows that differ, DataError for no rows, no columns, and NaN or
    infinity (with row and column, counted from 0), DTypeError for anything but floats, integers and booleans. Works
    through a memory map in pieces of bounded memory.

    >>> check_data([[1.0, 2.0], [3.0, np.nan]])
    Traceback (most recent call last):
    chainrule.errors.DataError: check of x: x[1, 1] (row 1, column 1) is nan: data must be finite. ...
    """
    x = np.asanyarray(x)
    _check_form(x, name)
    if t is not None:
        t = np.asanyarray(t)
        _check_form(t, "t")
        if len(x) != len(t):
            got = f"{name} is {x.shape}, t is {t.shape}"
            repair = "Give every row of data its target."
            raise ShapeError(explain(f"check of {name} and t", got, f"{len(x)} rows are not {len(t)}", repair))
        if not is_finite(t):
            _refuse_infinite(t, "t")
    if not is_finite(x):
        _refuse_infinite(x, name)


def _check_form(array: NDArray[Any], name: str) -> None:
    if array.dtype in SUPPORTED and array.ndim and array.size:
        return
    called, got = f"check of {name}", f"{name} is {array.shape} {array.dtype}"
    if array.dtype.kind in "OUST":
        repair = "Text becomes numbers with data.Preprocessor, class names with data.TargetEncoder."
        if array.dtype.kind == "O":
            repair = f"If all of it is numbers: {name}.astype(float). {repair}"
        raise DTypeError(explain(called, got, "data are numbers", repair))
    checked(array.dtype, f"{called}, {array.shape}")
    if array.ndim == 0:
        raise ShapeError(explain(called, got, "data have rows: one row a sample", f"Use {name}.reshape(1, 1)."))
    if array.size == 0:
        raise DataError(explain(called, got, "there is nothing in it", "Check how it was read and selected."))


def _refuse_infinite(array: NDArray[Any], name: str) -> None:
    for start, rows in _chunks(array):
        if not is_finite(rows):
            index = tuple(int(i) for i in np.argwhere(~np.isfinite(rows))[0])
            _refuse(name, rows[index], (start + index[0], *index[1:]))


def _chunks(array: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
    step = max(1, CHUNK // (array.size // len(array)))
    for start in range(0, len(array), step):
        yield start, array[start : start + step]


def _refuse(name: str, value: Any, index: tuple[int, ...]) -> None:
    place = f"row {index[0]}" + "".join(f", column {i}" for i in index[1:2])
    got = f"{name}[{', '.join(map(str, index))}] ({place}) is {value}"
    repair = f"Drop such rows, for example with keep = np.isfinite({name}).all(axis=1), or fill them in."
    raise DataError(explain(f"check of {name}", got, "data must be finite", repair))
