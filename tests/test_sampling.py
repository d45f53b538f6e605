"""Which rows a step sees is a function of the seed and the step alone."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import OptionError
from chainrule.random import SAMPLING, SHUFFLING


def philox(seed: int, stream: int, step: int, count: int) -> np.ndarray:
    """The words of the stream, from NumPy's own generator, by the definition in primitives/random.py."""
    key, counter = np.array([seed, stream], np.uint64), np.array([0, step, 0, 0], np.uint64)
    return np.random.Philox(key=key, counter=counter).random_raw(count)


def test_with_replacement_draw_d_is_word_d_of_the_stream() -> None:
    words = philox(7, SAMPLING, 0, 40_000)
    expected = np.floor(13 * (((words >> 12).astype(np.float64) + 0.5) / 2.0**52)).astype(int)
    found = cr.sampling.indices(7, 13, 4, 0, 10_000)
    np.testing.assert_array_equal(found.reshape(-1), expected)
    assert (found.min(), found.max(), found.dtype) == (0, 12, np.int64)


def test_the_words_are_those_of_random_integers() -> None:
    by_tensors = cr.random.integers(3, 100, 25, stream=SAMPLING, step=0).numpy()
    np.testing.assert_array_equal(cr.sampling.indices(3, 100, 5, 0, 5).reshape(-1), by_tensors)


@pytest.mark.parametrize("sampling", ["replacement", "shuffle"])
def test_any_stretch_of_steps_can_be_replayed(sampling: str) -> None:
    whole = cr.sampling.indices(1, 1000, 7, 0, 6000, sampling)
    for start, stop in ((0, 1), (2339, 2342), (2340, 2341), (5999, 6000), (17, 17)):
        np.testing.assert_array_equal(cr.sampling.indices(1, 1000, 7, start, stop, sampling), whole[start:stop])


def test_a_shuffle_shows_every_row_once_an_epoch_in_new_orders() -> None:
    draws = cr.sampling.indices(5, 10, 4, 0, 10, "shuffle").reshape(4, 10)
    for epoch, order in enumerate(draws):
        assert sorted(order) == list(range(10))
        np.testing.assert_array_equal(order, np.argsort(philox(5, SHUFFLING, epoch, 10), kind="stable"))
    assert len({tuple(order) for order in draws}) == 4


def test_seeds_give_different_draws_that_are_spread_evenly() -> None:
    first, second = (cr.sampling.indices(seed, 20, 1, 0, 20_000).reshape(-1) for seed in (0, 1))
    assert (first != second).mean() > 0.9
    counts = np.bincount(first, minlength=20)
    assert ((counts - 1000) ** 2 / 1000).sum() < 43.8  # chi-squared with 19 degrees of freedom at 0.001


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((0, 10, 11, 0, 1), "batch_size=11, 10 rows"),
        ((0, 0, 1, 0, 1), "0 rows"),
        ((0, 10, 0, 0, 1), "batch_size=0"),
        ((0, 10, 1, 3, 1), "steps 3 to 1"),
        ((0, 10, 1, 0, 1, "sorted"), "sampling='sorted'"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments: tuple[object, ...], named: str) -> None:
    with pytest.raises(OptionError, match=named):
        cr.sampling.indices(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", ["int8", ">i2", "int32", "int64"])
def test_a_row_counted_from_the_end_is_refused(dtype: str) -> None:
    """Also where the bits of -1 in a small integer are the number of a row that there is."""
    for rows in (200, 300, 70_000):
        with pytest.raises(OptionError, match=r"row -1 at position \(1, 0\)"):
            cr.sampling.given_indices(np.array([[3], [-1]], dtype), rows)


def test_large_unsigned_row_numbers_are_refused() -> None:
    with pytest.raises(OptionError, match="row 18446744073709551615"):
        cr.sampling.given_indices(np.array([2**64 - 1], np.uint64), 10)
