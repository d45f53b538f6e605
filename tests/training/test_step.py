"""The boundary to the engines: what an engine is given is enough to train, and is asked for in order."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import losses, nn, optim
from chainrule.evaluate import Program
from chainrule.training.step import Arrays, Ran, Step

X = np.random.RandomState(0).randn(30, 2)
T = np.sign(X[:, :1])


class Plain:
    """An engine in a few lines, by the text of `Step` and `Runner` alone."""

    made: list[Plain] = []  # noqa: RUF012

    def __init__(self, step: Step):
        self.step, self.calls = step, list[tuple[int, int]]()
        self.data: Sequence[Any] = ()
        Plain.made.append(self)

    def begin(self, data: Sequence[Any], seed: int) -> None:
        self.data, self.seed = data, seed

    def end(self) -> None:
        self.data = ()

    def run(self, arrays: Arrays, indices: Any, first: int, count: int) -> Ran:
        self.calls.append((first, count))
        program = Program(self.step.inputs, self.step.outputs)
        losses, moved, n = np.zeros(count), 0, len(arrays.whole)
        for k in range(count):
            rows = np.arange(len(self.data[0])) if indices is None else indices[k]
            batch = [array[rows] for array in (*arrays.moving, *self.data)]
            found = program(*arrays.whole, *batch, np.int64(first + k), np.int64(self.seed))
            arrays.whole = found[:n]
            for array, new in zip(arrays.moving, found[n:], strict=False):
                array[rows] = new
            losses[k] = found[n + len(arrays.moving)]
            moved += int(found[-1]) if self.step.moved is not None else 0
        return Ran(float(losses.mean()), moved)


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("chainrule.training.engines.ENGINES", {"plain": Plain})
    Plain.made.clear()
    return "plain"


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 4), nn.BatchNorm(4), nn.Dropout(0.2), nn.Linear(4, 1)).initialize(0)


def test_another_engine_trains_the_same(engine: str, plain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    by_plain, options = network(), {"steps": 40, "batch_size": 5, "record_every": 9}
    history = cr.fit(by_plain, losses.squared, optim.Adam(0.01), X, T, engine=plain, **options)
    monkeypatch.undo()
    by_engine = network()
    expected = cr.fit(by_engine, losses.squared, optim.Adam(0.01), X, T, engine=engine, **options)
    for path, value in by_engine.state_dict().items():
        np.testing.assert_allclose(by_plain.state_dict()[path], value, rtol=1e-5, err_msg=path)
    np.testing.assert_allclose(history.loss, expected.loss, rtol=1e-5)


def test_another_engine_moves_data_the_same(engine: str, plain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Linear(2, 1, seed=0)
    history = cr.fit_data(model, losses.hinge, optim.Momentum(0.05), X, T, steps=40, batch_size=3, engine=plain)
    monkeypatch.undo()
    expected = cr.fit_data(model, losses.hinge, optim.Momentum(0.05), X, T, steps=40, batch_size=3, engine=engine)
    np.testing.assert_allclose(history.data, expected.data, rtol=1e-12)
    assert history.updates == expected.updates


def test_chunks_follow_one_another_and_end_at_records(plain: str) -> None:
    cr.fit(network(), losses.squared, optim.SGD(0.01), X, T, steps=50, batch_size=5, record_every=12, engine=plain)
    (runner,) = Plain.made
    steps = [step for first, count in runner.calls for step in range(first, first + count)]
    assert steps == list(range(50))
    assert {12, 24, 36, 48} <= {first for first, _ in runner.calls}


def test_a_step_names_what_it_carries(plain: str) -> None:
    cr.fit(network(), losses.squared, optim.Momentum(0.01), X, T, steps=1, batch_size=5, engine=plain)
    step = Plain.made[0].step
    names = [carry.name for carry in step.whole]
    trained = ["0.weight", "0.bias", "1.weight", "1.bias", "3.weight", "3.bias"]
    assert names == [*trained, "1.running_mean", "1.running_var", *(f"{name}/velocity" for name in trained)]
    assert [leaf.shape for leaf in step.rows] == [(5, 2), (5, 1)]
    assert step.loss.shape == ()
    with pytest.raises(dataclasses.FrozenInstanceError):
        step.loss = step.seed  # type: ignore[misc]
