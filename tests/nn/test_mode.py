"""Training and evaluation: dropout that can be replayed, statistics that only training moves."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.errors import ShapeError
from chainrule.evaluate import Program
from chainrule.nn import mode

ROWS = np.array([[1.0, 10.0], [3.0, 30.0], [8.0, 20.0]])


def dropped(seed: int, step: int, rate: float = 0.5, n: int = 12) -> list[int]:
    with nn.training(seed=seed, step=step):
        return [int(kept) for kept in nn.Dropout(rate)(np.ones(n)).numpy() > 0]


def test_evaluation_is_the_default_and_comes_back() -> None:
    assert mode.current() is None
    with nn.training(seed=1) as outer:
        assert mode.current() is outer
        with nn.training(seed=2) as inner:
            assert mode.current() is inner
        assert mode.current() is outer
    with pytest.raises(ZeroDivisionError), nn.training():
        1 // 0
    assert mode.current() is None


def test_the_mask_is_a_function_of_seed_and_step() -> None:
    """Golden values: Philox's words for key (seed, 2^42) at counter (1.., step), the top bit of each."""
    for seed, step in [(0, 0), (0, 3), (7, 3)]:
        key, counter = np.array([seed, 2**42], np.uint64), np.array([0, step, 0, 0], np.uint64)
        words = np.random.Philox(key=key, counter=counter).random_raw(12)
        assert dropped(seed, step) == [int(word >> np.uint64(63)) for word in words]
    assert dropped(0, 0) == GOLDEN[0, 0]
    assert dropped(7, 3) == GOLDEN[7, 3]


GOLDEN = {(0, 0): [1, 1, 0, 1, 0, 1, 1, 0, 0, 0, 0, 1], (7, 3): [1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1]}


def test_every_layer_draws_its_own_mask_in_the_order_of_the_calls() -> None:
    first, second = nn.Dropout(0.5), nn.Dropout(0.5)
    x = np.ones(64)
    with nn.training(seed=0, step=1):
        a, b = first(x).numpy(), second(x).numpy()
    with nn.training(seed=0, step=1):
        c = first(x).numpy()
    assert (a != b).any()
    np.testing.assert_array_equal(a, c)


def test_dropout_keeps_the_mean_and_the_share() -> None:
    with nn.training(seed=0):
        y = nn.Dropout(0.2)(np.ones(100_000)).numpy()
    assert set(np.unique(y)) == {0.0, 1.25}
    assert y.mean() == pytest.approx(1, abs=0.01)


def test_the_mask_does_not_depend_on_the_dtype_and_an_infinity_can_be_dropped() -> None:
    x = np.ones(50)
    x[np.array(dropped(0, 0, n=50)) == 0] = np.inf
    with nn.training():
        wide = nn.Dropout(0.5)(x)
    with nn.training():
        narrow = nn.Dropout(0.5)(x.astype("float32"))
    assert narrow.dtype == np.float32
    np.testing.assert_array_equal(wide, narrow)
    assert np.isfinite(wide.numpy()).all()


def test_seed_and_step_may_be_placeholders() -> None:
    seed, step, x = cr.Input((), "int64"), cr.Input((), "int64"), cr.Input((12,))
    with nn.training(seed, step):
        program = Program([seed, step, x], [nn.Dropout(0.5)(x)])
    for at in range(3):
        (y,) = program(np.int64(7), np.int64(at), np.ones(12))
        assert [int(kept) for kept in y > 0] == dropped(7, at)


def test_training_uses_the_batch_and_moves_the_statistics() -> None:
    norm = nn.BatchNorm(2, momentum=0.1, dtype="float64")
    with nn.training() as training:
        y = norm(ROWS)
        np.testing.assert_array_equal(norm.running_mean, [0, 0])  # not before the end
    np.testing.assert_allclose(y.numpy().mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(y.numpy().std(0), 1, rtol=1e-4)
    np.testing.assert_allclose(norm.running_mean, 0.1 * ROWS.mean(0), rtol=1e-14)
    np.testing.assert_allclose(norm.running_var, 0.9 + 0.1 * ROWS.var(0, ddof=1), rtol=1e-14)
    assert list(training.updates) == [norm.running_mean, norm.running_var]


def test_evaluation_uses_the_running_statistics_and_changes_nothing() -> None:
    norm = nn.BatchNorm(2, dtype="float64")
    norm.running_mean.value, norm.running_var.value = [1.0, 10.0], [4.0, 25.0]
    before = norm.state_dict()
    np.testing.assert_allclose(norm(ROWS), (ROWS - [1, 10]) / np.sqrt(np.array([4, 25]) + 1e-5), rtol=1e-14)
    np.testing.assert_allclose(norm(ROWS[:1]), norm(ROWS)[:1], rtol=1e-14)  # one row as in a batch
    assert all(value is before[path] for path, value in norm.state_dict().items())


def test_nothing_is_written_when_not_asked_for_or_after_an_error() -> None:
    norm = nn.BatchNorm(2)
    with nn.training(write=False):
        norm(ROWS)
    with pytest.raises(ZeroDivisionError), nn.training():
        norm(ROWS)
        1 // 0
    np.testing.assert_array_equal(norm.running_mean, [0, 0])


def test_two_passes_in_one_training_both_count() -> None:
    norm = nn.BatchNorm(2, momentum=0.5, dtype="float64")
    with nn.training():
        norm(ROWS)
        norm(10 * ROWS)
    np.testing.assert_allclose(norm.running_mean, (0.25 + 5) * ROWS.mean(0), rtol=1e-14)


def test_updates_of_placeholders_are_outputs_of_a_program() -> None:
    norm, x = nn.BatchNorm(2), cr.Input((3, 2))
    with nn.training() as training:
        norm(x)
    (mean,) = Program([x], [training.updates[norm.running_mean]])(ROWS)
    assert mean.dtype == np.float32
    np.testing.assert_allclose(mean, 0.1 * ROWS.mean(0), rtol=1e-6)
    np.testing.assert_array_equal(norm.running_mean, [0, 0])


def test_one_row_cannot_be_normalized_in_training() -> None:
    message = r"BatchNorm at .*x is \(1, 2\): one row has no variance. Train with a batch_size"
    with pytest.raises(ShapeError, match=message), nn.training():
        nn.BatchNorm(2)(ROWS[:1])
