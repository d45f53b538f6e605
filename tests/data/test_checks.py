"""Bad data is refused with its row and column, and large data in bounded memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from chainrule.data import check_data
from chainrule.errors import ChainruleError, DataError, DTypeError, ShapeError


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "uint64", "bool"])
def test_good_data_passes(dtype: str) -> None:
    check_data(np.ones((3, 2), dtype), np.ones((3, 1), dtype))
    check_data(np.ones((3, 2, 4, 4), dtype), np.ones(3, dtype))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_first_bad_value_is_named_by_row_and_column(value: float) -> None:
    x = np.zeros((300_000, 3))
    x[277_777, 2] = x[277_778, 0] = value
    with pytest.raises(DataError, match=rf"pixels\[277777, 2\] \(row 277777, column 2\) is {value}"):
        check_data(x, name="pixels")
    t = np.zeros(5)
    t[3] = value
    with pytest.raises(DataError, match=rf"t\[3\] \(row 3\) is {value}"):
        check_data(np.zeros((5, 1)), t)


BAD = [
    (np.zeros((0, 2)), None, DataError, r"x is \(0, 2\).*nothing"),
    (np.zeros((2, 0)), None, DataError, r"x is \(2, 0\).*nothing"),
    (np.float64(1), None, ShapeError, "rows"),
    (np.zeros((3, 2)), np.zeros(2), ShapeError, r"x is \(3, 2\), t is \(2,\).*3 rows are not 2"),
    (np.array([["a"]]), None, DTypeError, "Preprocessor"),
    (np.array([[None]]), None, DTypeError, r"object.*x\.astype\(float\)"),
    (np.zeros((2, 1)), np.array(["yes", "no"]), DTypeError, "TargetEncoder"),
    (np.zeros((2, 1), complex), None, DTypeError, "complex128"),
]


@pytest.mark.parametrize(("x", "t", "error", "message"), BAD)
def test_bad_data_is_refused(x: np.ndarray, t: np.ndarray, error: type[ChainruleError], message: str) -> None:
    with pytest.raises(error, match=message):
        check_data(x, t)


def test_a_memory_map_is_checked_in_bounded_memory(tmp_path: Path) -> None:
    x = np.memmap(tmp_path / "x", "float32", "w+", shape=(2**20, 32))
    x[-1, -1] = np.nan
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="row 1048575, column 31"):
            check_data(x)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < x.nbytes / 50
