"""The library's own arrays begin on a cache line, and are held like any other."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import chainrule as cr
from chainrule import aligned, losses, nn, optim


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
@pytest.mark.parametrize("shape", [(), (0, 3), (7,), (33, 5), (1000, 10)])
def test_arrays_begin_on_a_cache_line(shape: tuple[int, ...], dtype: str) -> None:
    array = aligned.empty(shape, np.dtype(dtype))
    assert array.ctypes.data % 64 == 0 and array.shape == shape and array.dtype == dtype
    assert array.flags.c_contiguous and array.flags.writeable and aligned.owns(array)


def test_a_copy_has_the_values_row_by_row() -> None:
    for array in (np.arange(12.0).reshape(3, 4).T, np.arange(1200.0).reshape(30, 40).T):
        made = aligned.copied(array)
        np.testing.assert_array_equal(made, array)
        assert made.flags.c_contiguous and not np.shares_memory(made, array)
        assert made.nbytes < 1000 or made.ctypes.data % 64 == 0


def test_a_slice_does_not_own_its_memory() -> None:
    array = aligned.empty((10, 10), np.dtype("float64"))
    assert aligned.owns(array) and aligned.owns(np.zeros(3)) and aligned.owns(copy.deepcopy(array))
    assert not any(aligned.owns(view) for view in (array[1:], array.T, array.reshape(-1), np.zeros(3)[1:]))


def test_parameters_take_over_what_a_run_has_made() -> None:
    net = nn.Sequential(nn.Linear(30, 40, seed=0), nn.ReLU(), nn.Linear(40, 30, seed=1))
    x = np.random.RandomState(0).randn(8, 30).astype(np.float32)
    cr.fit(net, losses.squared, optim.SGD(1e-3), x, x, steps=3, batch_size=2, engine="compiled")
    weights = [p.value for p in net.parameters() if p.value.ndim == 2]
    assert [aligned.owns(w) and w.ctypes.data % 64 == 0 for w in weights] == [True, True]
