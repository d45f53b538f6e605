"""A split is a partition, the same for ever, and fair to every class."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from chainrule.data import split, split_rows
from chainrule.errors import DataError, OptionError, ShapeError

WORD = 2**64


def philox(counter: int, key: int) -> list[int]:
    """Philox4x64-10 by its paper: Salmon, Moraes, Dror, Shaw (2011)."""
    words = [counter >> 64 * i & WORD - 1 for i in range(4)]
    keys = [key % WORD, key >> 64]
    for _ in range(10):
        low, high = words[0] * 0xD2E7470EE14C6C93, words[2] * 0xCA5A826395121157
        words = [high >> 64 ^ words[1] ^ keys[0], high % WORD, low >> 64 ^ words[3] ^ keys[1], low % WORD]
        keys = [(keys[0] + 0x9E3779B97F4A7C15) % WORD, (keys[1] + 0xBB67AE8584CAA73B) % WORD]
    return words


def test_the_papers_known_answer() -> None:
    known = [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]
    assert philox(0, 0) == known


@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_the_order_is_that_of_philox_by_its_paper(seed: int) -> None:
    raw = [word for block in range(1, 6) for word in philox(block, seed)]  # NumPy's stream starts at counter 1
    order = sorted(range(20), key=lambda row: raw[row])
    train, test = split_rows(20, 0.25, seed)
    assert [*test, *train] == order
    assert len(test) == 5


@pytest.mark.parametrize(("n", "held_out", "expected"), [(2, 0.01, 1), (2, 0.99, 1), (10, 0.25, 3), (7, 0.5, 4)])
def test_sizes(n: int, held_out: float, expected: int) -> None:
    train, test = split_rows(n, held_out)
    assert len(test) == expected
    assert sorted([*train, *test]) == list(range(n))


def test_every_class_gets_its_share_and_a_single_row_stays_in_training() -> None:
    classes = np.array(["common"] * 900 + ["rare"] * 97 + ["two"] * 2 + ["single"])
    for seed in range(5):
        train, test = split_rows(1000, 0.2, seed, classes)
        assert sorted([*train, *test]) == list(range(1000))
        counts = Counter(classes[test].tolist())
        assert sum(counts.values()) == 200
        assert abs(counts["common"] - 180) <= 1
        assert abs(counts["rare"] - 19.4) <= 1
        assert counts["single"] == 0


def test_the_stratified_choice_is_the_first_of_each_class_in_the_papers_order() -> None:
    raw = [word for block in range(1, 6) for word in philox(block, 7)]
    order = sorted(range(20), key=lambda row: raw[row])
    first = [row for row in order if row < 12][:3] + [row for row in order if row >= 12][:2]
    assert sorted(split_rows(20, 0.25, 7, np.arange(20) >= 12)[1]) == sorted(first)


def test_stratified_parts_are_in_random_order() -> None:
    classes = np.repeat([0, 1], 500)
    for part in split_rows(1000, 0.5, 0, classes):
        ranks = classes[part]
        assert 0.4 < ranks[: len(ranks) // 2].mean() < 0.6
        assert (np.diff(ranks) != 0).mean() == pytest.approx(0.5, abs=0.1)


def test_split_keeps_rows_together_and_notices_classes_by_itself() -> None:
    t = np.repeat([-1.0, 1.0], [80, 20])[:, None]
    x = np.arange(100.0)[:, None]
    x_train, t_train, x_test, t_test = split(x, t, seed=3)
    assert (x_test.shape, t_test.shape, x_train.shape) == ((25, 1), (25, 1), (75, 1))
    assert (t_test[:, 0] == np.where(x_test[:, 0] < 80, -1, 1)).all()
    assert (t_train[:, 0] == np.where(x_train[:, 0] < 80, -1, 1)).all()
    assert (t_test == 1).sum() == 5
    assert np.array_equal(split(x, t, seed=3)[2], x_test)
    assert not np.array_equal(split(x, t, seed=4)[2], x_test)


def test_numbers_are_not_taken_for_classes() -> None:
    x = np.arange(200.0)
    assert split(x, x, held_out=0.5)[0].shape == (100,)
    with_fractions = np.repeat([0.5, 1.5], 100)
    plain = split(x, x, held_out=0.5, seed=1)[2]
    assert np.array_equal(split(x, with_fractions, held_out=0.5, seed=1)[2], plain)


@pytest.mark.parametrize("held_out", [0, 1, -0.1, float("nan")])
def test_a_share_outside_its_range_is_refused(held_out: float) -> None:
    with pytest.raises(OptionError, match="between 0 and 1"):
        split_rows(10, held_out)


def test_what_cannot_be_split_is_refused() -> None:
    with pytest.raises(DataError, match="at least two rows"):
        split(np.ones((1, 2)), np.ones(1))
    with pytest.raises(ShapeError, match=r"\(3, 2\).*\(2,\)"):
        split(np.ones((3, 2)), np.ones(2))
    with pytest.raises(OptionError, match="the seed"):
        split_rows(10, 0.5, -1)
