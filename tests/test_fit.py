"""Training: what a step does, what is recorded, how rows are drawn, how a run ends."""

from __future__ import annotations

import copy
import time
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import losses, nn, optim

X = np.random.RandomState(0).randn(40, 3)
T = X @ np.array([[1.0], [-2.0], [0.5]]) + 0.3


def linear(seed: int = 0) -> nn.Linear:
    return nn.Linear(3, 1, seed=seed, dtype="float64")


def by_hand(model: nn.Linear, x: np.ndarray, t: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """One step of gradient descent on the mean squared loss, in NumPy."""
    w, b = model.weight.value, model.bias.value
    slope = 2 * (x @ w + b - t) / len(x)
    return w - rate * x.T @ slope, b - rate * slope.sum(0)


def test_a_step_of_all_rows_is_gradient_descent(engine: str) -> None:
    model = linear()
    w, b = by_hand(model, X, T, 0.1)
    history = cr.fit(model, losses.squared, optim.SGD(0.1), X, T, steps=1, engine=engine)
    np.testing.assert_allclose(model.weight.value, w, rtol=1e-12)
    np.testing.assert_allclose(model.bias.value, b, rtol=1e-12)
    assert (history.stopped, history.steps_done) == ("finished", 1)


@pytest.mark.parametrize("options", [{"steps": 30}, {"epochs": 3}])
def test_batches_are_the_rows_that_sampling_names(options: dict[str, int], engine: str) -> None:
    model, other = linear(), linear()
    history = cr.fit(model, losses.squared, optim.SGD(0.05), X, T, batch_size=7, seed=3, **options, engine=engine)
    kind = "shuffle" if "epochs" in options else "replacement"
    count = 18 if "epochs" in options else 30  # ceil(3 * 40 / 7)
    assert history.steps_done == count
    for rows in cr.sampling.indices(3, 40, 7, 0, count, kind):
        other.weight.value, other.bias.value = by_hand(other, X[rows], T[rows], 0.05)
    np.testing.assert_allclose(model.weight.value, other.weight.value, rtol=1e-11)


def test_the_user_may_name_the_rows(engine: str) -> None:
    model, other = linear(), linear()
    rows = [[0, 1], [5, 5], [39, 2]]
    cr.fit(model, losses.squared, optim.SGD(0.05), X, T, sampling=rows, engine=engine)
    for chosen in rows:
        other.weight.value, other.bias.value = by_hand(other, X[chosen], T[chosen], 0.05)
    np.testing.assert_allclose(model.weight.value, other.weight.value, rtol=1e-12)


def test_weights_count_rows_more(engine: str) -> None:
    """Integer weights do what repeating rows does; and a weight matters in a batch of one row."""
    counts = np.arange(40) % 3
    model, other = linear(), linear()
    cr.fit(model, losses.squared, optim.SGD(0.1), X, T, steps=5, sample_weight=counts, engine=engine)
    repeated = np.repeat(np.arange(40), counts)
    history = cr.fit(other, losses.squared, optim.SGD(0.1), X[repeated], T[repeated], steps=5, engine=engine)
    np.testing.assert_allclose(model.weight.value, other.weight.value, rtol=1e-12)
    again = cr.fit(linear(), losses.squared, optim.SGD(0.1), X, T, steps=5, sample_weight=counts, record_every=1)
    np.testing.assert_allclose(again.loss[0], history.loss[0], rtol=1e-12)
    single = linear()
    w, _ = by_hand(single, X[:1], T[:1], 0.1 * 4 / 1)
    heavy = np.where(np.arange(40) == 0, 4.0, 36 / 39)  # of mean 1
    cr.fit(single, losses.squared, optim.SGD(0.1), X, T, sampling=[0], sample_weight=heavy, engine=engine)
    np.testing.assert_allclose(single.weight.value, w, rtol=1e-12)


def test_validation_metrics_and_subsets_are_recorded(engine: str) -> None:
    def close(y: Any, t: Any) -> Any:
        return cr.abs(y - t).reshape(-1) < 0.5

    def worst(y: Any, t: Any) -> float:
        return float(np.abs(np.asarray(y) - np.asarray(t)).max())

    model = linear()
    seen = []
    history = cr.fit(
        model, losses.squared, optim.SGD(0.05), X[:30], T[:30], steps=10, record_every=4, engine=engine,
        validation=(X[30:], T[30:]), metrics={"close": close, "worst": worst},
        record_on={"odd": slice(1, None, 2), "back": slice(None, None, -1), "mask": T[:30, 0] > 0},
        callbacks=lambda p: seen.append((p.step, model.weight.value, model.bias.value)),
    )  # fmt: skip
    assert history.steps.tolist() == [0, 4, 8]
    values = {step: (w, b) for step, w, b in seen}
    for i, step in enumerate(history.steps):
        w, b = values[step]
        error = X @ w + b - T
        each = {"train": error[:30], "validation": error[30:], "odd": error[1:30:2], "back": error[:30]}
        each["mask"] = error[:30][T[:30, 0] > 0]
        for name, part in each.items():
            np.testing.assert_allclose(history.records[name][i], (part**2).mean(), rtol=1e-12)
            np.testing.assert_allclose(history.metrics["close"][name][i], (abs(part) < 0.5).mean())
            np.testing.assert_allclose(history.metrics["worst"][name][i], abs(part).max(), rtol=1e-12)
    assert history.final == pytest.approx(((X[:30] @ model.weight.value + model.bias.value - T[:30]) ** 2).mean())


def test_records_in_pieces_are_those_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    run = lambda: cr.fit(linear(), losses.squared, optim.SGD(0.05), X, T, steps=3, record_every=1).loss
    whole = run()
    monkeypatch.setattr("chainrule.training.record.MEMORY", 500)
    np.testing.assert_allclose(run(), whole, rtol=1e-14)


def test_without_a_wish_about_a_hundred_records_are_taken() -> None:
    history = cr.fit(linear(), losses.squared, optim.SGD(0.01), X, T, steps=1000, batch_size=1)
    assert history.record_every == 40  # no more rows are evaluated than trained on
    assert len(cr.fit(linear(), losses.squared, optim.SGD(0.01), X, T, steps=1000).loss) == 100
    assert len(cr.fit(linear(), losses.squared, optim.SGD(0.01), X, T, steps=10, record_every=0).loss) == 0


def test_each_part_may_have_its_optimizer(engine: str) -> None:
    model = nn.Sequential(nn.Linear(3, 4, seed=0), nn.Tanh(), nn.Linear(4, 2, seed=1), nn.Linear(2, 1, seed=2))
    before = model.state_dict()
    pairs = [(model[0], optim.SGD(0.0)), ([model[2].weight], optim.Adam(0.01))]
    cr.fit(model, losses.squared, pairs, X, T, steps=3, engine=engine)
    moved = {path for path, value in model.state_dict().items() if (value != before[path]).any()}
    assert moved == {"2.weight"}


def test_a_plain_function_of_parameters_is_a_model(engine: str) -> None:
    w = cr.Parameter(np.zeros((3, 1)), name="w")
    cr.fit(lambda x: x @ w + 0.3, losses.squared, optim.SGD(0.2), X, T, steps=300, engine=engine)
    np.testing.assert_allclose(w.value[:, 0], [1.0, -2.0, 0.5], atol=1e-6)


def test_a_model_may_have_several_inputs_and_a_loss_of_its_own(engine: str) -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            self.left, self.right = linear(0), linear(1)

        def forward(self, a: Any, b: Any) -> Any:
            return self.left(a) + self.right(b)

    history = cr.fit(
        Sum(), lambda y, t: ((y - t) ** 2).mean(), optim.SGD(0.05), (X, X[::-1]), T, epochs=40, batch_size=8,
        engine=engine,
    )  # fmt: skip
    assert history.final is not None
    assert history.final < 0.05 * history.loss[0]


def test_schedules_and_clipping_act_at_every_step(engine: str) -> None:
    model, other = linear(), linear()
    rate = lambda step: 0.1 / (1 + step)
    cr.fit(model, losses.squared, optim.SGD(rate), X, T, steps=4, clip=optim.ClipByGlobalNorm(0.5), engine=engine)
    for step in range(4):
        w, b = by_hand(other, X, T, 1.0)
        gw, gb = other.weight.value - w, other.bias.value - b
        scale = min(1.0, 0.5 / np.sqrt((gw**2).sum() + (gb**2).sum())) * 0.1 / (1 + step)
        other.weight.value, other.bias.value = other.weight.value - scale * gw, other.bias.value - scale * gb
    np.testing.assert_allclose(model.weight.value, other.weight.value, rtol=1e-12)


def test_dropout_and_statistics_work_while_training_and_not_in_records(engine: str) -> None:
    model = nn.Sequential(nn.Linear(3, 6, seed=0, dtype="float64"), nn.BatchNorm(6, dtype="float64"), nn.Dropout(0.5))
    history = cr.fit(
        model, lambda y, t: (y**2).sum(axis=1), optim.SGD(0.0), X, T, steps=1, record_every=1, engine=engine
    )
    hidden = X @ model[0].weight.value + model[0].bias.value
    np.testing.assert_allclose(model[1].running_mean.value, 0.1 * hidden.mean(0), rtol=1e-12)
    np.testing.assert_allclose(model[1].running_var.value, 0.9 + 0.1 * hidden.var(0, ddof=1), rtol=1e-12)
    np.testing.assert_allclose(history.loss[0], (hidden**2 / (1 + 1e-5)).sum(1).mean(), rtol=1e-12)


def test_early_stopping_stops_and_puts_the_best_back(engine: str) -> None:
    """On a validation set of opposite targets the loss grows from the start: the best model is the first one."""
    model = linear()
    before = model.state_dict()
    rule = cr.EarlyStopping(patience=3)
    history = cr.fit(
        model, losses.squared, optim.Momentum(0.05), X, T, steps=500, record_every=5, early_stopping=rule,
        validation=(X, X @ before["weight"] + before["bias"]), engine=engine,
    )  # fmt: skip
    assert history.stopped == "early"
    assert history.steps.tolist() == [0, 5, 10, 15]
    for path, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[path])
    assert history.final_records["validation"] == history.records["validation"][0]
    kept = linear()
    rule = cr.EarlyStopping(patience=3, restore_best=False)
    cr.fit(kept, losses.squared, optim.SGD(0.05), X, T, steps=500, record_every=5, early_stopping=rule,
           validation=(X, X @ before["weight"] + before["bias"]), engine=engine)  # fmt: skip
    assert (kept.weight.value != before["weight"]).all()


def test_a_callback_sees_whole_steps_and_may_stop(engine: str) -> None:
    model = linear()
    seen: list[cr.Progress] = []

    def watch(progress: cr.Progress) -> str | None:
        seen.append(progress)
        loss = ((X @ model.weight.value + model.bias.value - T) ** 2).mean()
        np.testing.assert_allclose(progress.history.loss[-1], loss, rtol=1e-12)
        return "stop" if progress.step == 20 else None

    history = cr.fit(model, losses.squared, optim.SGD(0.01), X, T, steps=100, record_every=10, callbacks=[watch],
                     engine=engine)  # fmt: skip
    assert [progress.step for progress in seen] == [0, 10, 20]
    assert (history.stopped, history.steps_done) == ("callback", 20)
    with pytest.raises(AttributeError):
        seen[0].step = 3  # type: ignore[misc]


def test_steps_go_on_from_what_a_callback_assigns(engine: str) -> None:
    def clamp(progress: cr.Progress) -> None:
        if progress.step == 10:
            model.load_state_dict({"weight": np.ones((3, 1)), "bias": [0.5]})

    options: dict[str, Any] = {"batch_size": 2, "engine": engine}
    model, other = linear(), linear()
    cr.fit(model, losses.squared, optim.Momentum(0.01), X, T, steps=30, record_every=10, callbacks=clamp, **options)
    first = cr.fit(other, losses.squared, optim.Momentum(0.01), X, T, steps=10, **options)
    other.load_state_dict({"weight": np.ones((3, 1)), "bias": [0.5]})
    cr.fit(other, losses.squared, optim.Momentum(0.01), X, T, steps=20, resume=first, **options)
    np.testing.assert_array_equal(model.weight.value, other.weight.value)
    np.testing.assert_array_equal(model.bias.value, other.bias.value)


def test_what_a_callback_assigns_at_the_end_or_before_an_error_stays(engine: str) -> None:
    def assign(progress: cr.Progress) -> None:
        if progress.step == 20:
            model.weight.value = np.zeros((3, 1))
        if progress.step == stop:
            raise RuntimeError("mine")

    model, stop = linear(), -1
    cr.fit(model, losses.squared, optim.SGD(0.01), X, T, steps=20, callbacks=assign, engine=engine)
    assert not model.weight.value.any()
    model, stop = linear(), 20
    with pytest.raises(RuntimeError, match="mine"):
        cr.fit(model, losses.squared, optim.SGD(0.01), X, T, steps=40, record_every=20, callbacks=assign, engine=engine)
    assert not model.weight.value.any()


def test_a_callback_that_changes_the_row_numbers_does_not_change_what_is_drawn(engine: str) -> None:
    def spoil(progress: cr.Progress) -> None:
        drawn[:] = 10**12

    drawn = np.arange(30) % len(X)
    model, other = linear(), linear()
    options: dict[str, Any] = {"batch_size": 1, "record_every": 10, "engine": engine}
    cr.fit(model, losses.squared, optim.SGD(0.01), X, T, steps=30, sampling=drawn.copy(), **options)
    cr.fit(other, losses.squared, optim.SGD(0.01), X, T, steps=30, sampling=drawn, callbacks=spoil, **options)
    np.testing.assert_array_equal(model.weight.value, other.weight.value)


def test_values_that_lie_column_by_column_are_taken_as_they_are(engine: str) -> None:
    def assign(progress: cr.Progress) -> None:
        if progress.step == 20:
            model.weight.value = columns

    columns, t = np.arange(12.0).reshape(4, 3).T, np.zeros((len(X), 4))
    model = nn.Linear(3, 4, seed=0, dtype="float64")
    options: dict[str, Any] = {"steps": 20, "batch_size": 2, "record_every": 10, "engine": engine}
    cr.fit(model, losses.squared, optim.SGD(0.01), X, t, **options)
    model.load_state_dict({"weight": columns, "bias": np.zeros(4)})
    wanted = ((X @ columns) ** 2).sum(1).mean()
    history = cr.fit(model, losses.squared, optim.SGD(0.0), X, t, callbacks=assign, **options)
    np.testing.assert_allclose([*history.loss, history.final], wanted)
    np.testing.assert_array_equal(model.weight.value, columns)


@pytest.mark.parametrize("clip", [optim.ClipByNorm(0.1), optim.ClipByGlobalNorm(0.1), optim.ClipByValue(0.01)])
def test_rows_are_clipped_one_by_one(engine: str, clip: Any) -> None:
    def moved(rows: list[int]) -> np.ndarray:
        history = cr.fit_data(
            linear(), losses.squared, optim.SGD(1.0), X, T, sampling=[rows], batch_size=None, clip=clip, engine=engine
        )
        return history.data[0]

    alone = moved([0])
    assert not np.array_equal(alone, X[0])
    for others in ([0, 1], [0, 0], [2, 0, 1]):
        np.testing.assert_allclose(moved(others), alone, rtol=1e-12)


def test_a_history_can_be_copied(engine: str) -> None:
    history = cr.fit(linear(), losses.squared, optim.SGD(0.01), X, T, steps=5, engine=engine)
    copied = copy.deepcopy(history)
    np.testing.assert_array_equal(copied.loss, history.loss)
    assert copied.compiled is None and copied.final == history.final


def test_callbacks_come_about_ten_times_a_second() -> None:
    times: list[float] = []
    cr.fit(linear(), losses.squared, optim.SGD(0.01), X, T, steps=30_000, batch_size=1, record_every=30_000,
           engine="reference", callbacks=lambda p: times.append(time.perf_counter()))  # fmt: skip
    assert 3 <= len(times) <= 10 * (times[-1] - times[0]) + 4


def test_an_error_in_a_callback_leaves_whole_steps() -> None:
    model, other = linear(), linear()

    def fail(progress: cr.Progress) -> None:
        if progress.step == 10:
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        cr.fit(model, losses.squared, optim.SGD(0.01), X, T, steps=100, record_every=10, callbacks=fail)
    cr.fit(other, losses.squared, optim.SGD(0.01), X, T, steps=10)
    np.testing.assert_array_equal(model.weight.value, other.weight.value)


def test_the_same_seed_gives_the_same_bits_whatever_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(every: int) -> np.ndarray:
        model = linear()
        cr.fit(model, losses.squared, optim.Adam(0.01), X, T, steps=200, batch_size=3, record_every=every)
        return model.weight.value

    expected = run(0)
    np.testing.assert_array_equal(run(7), expected)
    monkeypatch.setattr("chainrule.training.loop.REPORT", 0.0)
    monkeypatch.setattr("chainrule.training.chunks.REPORT", 0.0)
    np.testing.assert_array_equal(run(0), expected)


def test_without_a_seed_every_run_is_another_and_can_be_repeated() -> None:
    first, second = (
        cr.fit(linear(), losses.squared, optim.SGD(0.01), X, T, steps=5, batch_size=1, seed=None) for _ in range(2)
    )
    assert first.state is not None
    assert second.state is not None
    assert first.state.seed != second.state.seed
    again = cr.fit(linear(), losses.squared, optim.SGD(0.01), X, T, steps=5, batch_size=1, seed=first.state.seed)
    assert again.final == first.final


def test_data_of_any_layout_trains_the_same(tmp_path: Any) -> None:
    def run(x: Any, t: Any) -> np.ndarray:
        model = linear()
        cr.fit(model, losses.squared, optim.SGD(0.05), x, t, steps=20, batch_size=4)
        return model.weight.value

    expected = run(X, T)
    frozen = X.copy()
    frozen.flags.writeable = False
    mapped = np.memmap(tmp_path / "x", np.float64, "w+", shape=X.shape)
    mapped[:] = X
    for x in (frozen, np.asfortranarray(X), np.repeat(X, 2, axis=0)[::2], mapped, X.astype(">f8"), X.tolist()):
        np.testing.assert_array_equal(run(x, T), expected)
    np.testing.assert_array_equal(run(X, T[:, 0]), expected)
