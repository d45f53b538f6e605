"""Records of the compiled loop are those of the reference, taken on the way or one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import losses, nn, optim

X = np.random.RandomState(0).randn(40, 2)
T = np.sign(X[:, 0])
WEIGHTS = np.linspace(0.5, 2.0, 40)
SETS: dict[str, dict[str, Any]] = {
    "all": {},
    "weighted": {"sample_weight": WEIGHTS},
    "a slice": {"record_on": {"some": slice(3, 20)}},
    "every other": {"record_on": {"some": slice(1, None, 2)}},
    "numbers": {"record_on": {"some": [5, 1, 7]}},
    "metrics": {"metrics": {"distance": lambda y, t: abs(y[:, 0] - t)}},
}


def model() -> nn.Linear:
    return nn.Linear(2, 1, seed=0, dtype="float64")


def check(a: cr.History, b: cr.History) -> None:
    assert a.steps.tolist() == b.steps.tolist() and len(a.steps) > 3
    assert list(a.records) == list(b.records)
    for name, values in a.records.items():
        np.testing.assert_allclose(values, b.records[name], rtol=1e-10, atol=1e-14)
        assert a.final_records[name] == pytest.approx(b.final_records[name], rel=1e-10, abs=1e-14)
    for name, sets in a.metrics.items():
        np.testing.assert_allclose(sets["train"], b.metrics[name]["train"], rtol=1e-10)


@pytest.mark.parametrize("batch_size", [1, 3, None])
@pytest.mark.parametrize("options", SETS.values(), ids=SETS)
def test_fit(options: dict[str, Any], batch_size: int | None) -> None:
    found = [
        cr.fit(model(), losses.squared, optim.Momentum(0.01), X, T, steps=100, batch_size=batch_size, record_every=9,
               engine=engine, **options)
        for engine in cr.ENGINES
    ]  # fmt: skip
    check(*found)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("batch_size", [1, 3, None])
@pytest.mark.parametrize("options", SETS.values(), ids=SETS)
def test_fit_data(options: dict[str, Any], batch_size: int | None, order: Any) -> None:
    x = np.array(X, order=order)
    found = [
        cr.fit_data(model(), losses.squared, optim.Momentum(0.02), x, T, steps=100, batch_size=batch_size,
                    record_every=9, engine=engine, **options)
        for engine in cr.ENGINES
    ]  # fmt: skip
    check(*found)
    np.testing.assert_allclose(found[0].data, found[1].data, rtol=1e-10)
    np.testing.assert_array_equal(x, X)


def test_callbacks_are_called_at_every_record() -> None:
    seen: list[int] = []
    cr.fit(model(), losses.squared, optim.SGD(0.01), X, T, steps=100, batch_size=1, record_every=9, engine="compiled",
           callbacks=lambda progress: seen.append(progress.step))  # fmt: skip
    assert set(range(0, 100, 9)) <= set(seen)


def test_early_stopping_sees_every_record() -> None:
    found = [
        cr.fit(model(), losses.squared, optim.SGD(0.2), X, T, steps=500, batch_size=1, record_every=9, engine=engine,
               validation=(X[:10], T[:10]), early_stopping=cr.EarlyStopping(patience=3))
        for engine in cr.ENGINES
    ]  # fmt: skip
    assert found[0].stopped == "early"
    check(*found)
    assert found[0].state.step == found[1].state.step


def test_a_target_that_the_loss_does_not_read() -> None:
    found = [
        cr.fit(model(), lambda y, t: (y**2).sum(axis=1), optim.SGD(0.01), X, T, steps=50, batch_size=2, record_every=9,
               engine=engine)
        for engine in cr.ENGINES
    ]  # fmt: skip
    check(*found)
