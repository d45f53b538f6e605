"""Going back to values before a chunk: the step found is the first bad one, whatever was kept on the way."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import losses, nn, optim

X = np.random.RandomState(0).randn(40, 2)
T = np.sign(X[:, :1])
RATE = 4.0  # diverges
ENGINE = "compiled"


def diverging() -> tuple[nn.Linear, Exception]:
    model = nn.Linear(2, 1, seed=0, dtype="float64")
    with pytest.raises(cr.errors.NonFiniteError) as caught:
        cr.fit(model, losses.squared, optim.SGD(RATE), X, T, steps=20_000, batch_size=2, record_every=7, engine=ENGINE)
    return model, caught.value


def last_finite_step() -> tuple[int, np.ndarray]:
    """By hand: how many steps leave the weights finite, and the weights then."""
    w, b = (value.copy() for value in nn.Linear(2, 1, seed=0, dtype="float64").state_dict().values())
    rows = cr.sampling.indices(seed=0, rows=40, batch_size=2, start=0, stop=20_000)
    with np.errstate(all="ignore"):
        for step, i in enumerate(rows):
            error = X[i] @ w + b - T[i]
            after = w - RATE * X[i].T @ error, b - RATE * error.sum(0)
            if not all(np.isfinite(v).all() for v in (np.mean(error**2), *after)):
                return step, w
            w, b = after
    raise AssertionError("it does not diverge")


@pytest.mark.parametrize("kept", ["every chunk", "once"])
def test_the_first_bad_step_is_found_and_left(kept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kept == "once":
        monkeypatch.setattr("chainrule.training.past.SMALL", 0)
        monkeypatch.setattr("chainrule.training.past.SECONDS", float("inf"))
        monkeypatch.setattr("chainrule.training.chunks.BYTES", 16 * 20)  # chunks of 20 steps
    model, error = diverging()
    step, weight = last_finite_step()
    history = error.history  # type: ignore[attr-defined]
    assert f"step {step}" in str(error)
    assert (history.steps_done, history.state.step) == (step, step)
    assert history.steps.tolist() == list(range(0, step + 1, 7))
    np.testing.assert_allclose(model.state_dict()["weight"], weight, rtol=1e-6)


def test_arrays_of_others_are_not_written_to() -> None:
    model = nn.Linear(2, 1, seed=0, dtype="float64")
    first = model.state_dict()["weight"].copy()
    held = model.weight.value
    history = cr.fit(model, losses.squared, optim.Momentum(0.01), X, T, steps=50, batch_size=2, engine=ENGINE)
    np.testing.assert_array_equal(held, first)
    saved = {name: value.copy() for name, value in history.state.arrays.items()}
    cr.fit(model, losses.squared, optim.Momentum(0.01), X, T, steps=50, resume=history, engine=ENGINE)
    for name, value in saved.items():
        np.testing.assert_array_equal(history.state.arrays[name], value)


def test_the_first_bad_step_after_a_callback_assigned_is_found(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chainrule.training.past.SMALL", 0)
    monkeypatch.setattr("chainrule.training.past.SECONDS", float("inf"))
    model = nn.Linear(2, 1, seed=0, dtype="float64")

    def explode(progress: cr.Progress) -> None:
        if progress.step == 20:
            model.weight.value = np.full((2, 1), 1e200)  # its square is not finite

    with pytest.raises(cr.errors.NonFiniteError, match="step 20:"):
        cr.fit(model, losses.squared, optim.SGD(0.01), X, T, steps=60, record_every=10, callbacks=explode,
               engine=engine)  # fmt: skip
    np.testing.assert_array_equal(model.weight.value, np.full((2, 1), 1e200))


def left_by(run: Callable[[], Any]) -> list[str]:
    """The runs that are still there when `run` is over, with nothing collected in between."""
    seen: list[weakref.ref[Any]] = []
    made = cr.training.loop.Run.__post_init__  # type: ignore[attr-defined]

    def note(self: Any) -> None:
        made(self)
        seen.append(weakref.ref(self._past))

    gc.collect()
    gc.disable()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("chainrule.training.loop.Run.__post_init__", note)
            run()
        return [repr(past()) for past in seen if past() is not None]
    finally:
        gc.enable()


def test_a_run_is_gone_when_it_ends(engine: str) -> None:
    """Runs hold copies of all parameters: where only the collector frees them, they pile up."""
    model = nn.Linear(2, 1, seed=0, dtype="float64")
    assert not left_by(lambda: cr.fit(model, losses.squared, optim.Adam(0.1), X, T, steps=20, engine=engine))


def test_a_run_that_failed_is_gone_with_its_error(engine: str) -> None:
    def fail() -> None:
        model = nn.Linear(2, 1, seed=0, dtype="float64")
        with pytest.raises(cr.errors.NonFiniteError):
            cr.fit(model, losses.squared, optim.SGD(1e200), X, T, steps=20, engine=engine)

    assert not left_by(fail)
