"""Finite is what holds no NaN and no infinity, however large its numbers and however it lies in memory."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.finite import is_finite

SIZES = (1, 7, 4096, 4097, 2**16 + 5)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_bad_number_is_found_and_none_is_made_up(dtype: str, size: int) -> None:
    array = np.full(size, np.finfo(dtype).max, dtype)  # of which a sum of squares is infinite
    with np.errstate(all="raise"):
        assert is_finite(array) and is_finite(0 * array) and is_finite(array / array.dtype.type(1e30))
        for value in (np.nan, np.inf, -np.inf):
            for place in (0, size // 2, size - 1):
                bad = array.copy()
                bad[place] = value
                assert not is_finite(bad)


@pytest.mark.parametrize("shape", [(3, 5), (300, 400), (2, 70_000)])
def test_rows_and_columns_of_larger_arrays(shape: tuple[int, ...]) -> None:
    array = np.ones(shape)
    array[-1, -1] = np.nan
    for view in (array, array.T, array[::-1], array[:, ::2] if shape[1] % 2 else array[:, 1::2]):
        assert not is_finite(view)
    assert is_finite(array[:, :-1]) and is_finite(array[:-1]) and is_finite(array.T[:-1])


def test_nothing_and_whole_numbers_are_finite() -> None:
    assert is_finite(np.empty((0, 3))) and is_finite(np.arange(5)) and is_finite(np.ones(3, bool))
    assert is_finite(np.array(1.0)) and not is_finite(np.array(np.inf))
