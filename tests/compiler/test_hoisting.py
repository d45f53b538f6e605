"""What no step changes is computed before the steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler.hoisting import hoisted
from chainrule.evaluate import Program

X = np.random.default_rng(0).normal(size=(40, 60))
T = np.where(X[:, 0] > 0, 1.0, -1.0)


def network() -> cr.nn.Module:
    return cr.nn.Sequential(cr.nn.Linear(60, 30, seed=0), cr.nn.ReLU(), cr.nn.Linear(30, 1, seed=1))


def moved(model: Any, x: np.ndarray = X, t: np.ndarray = T, **options: Any) -> cr.History:
    found: cr.History = cr.fit_data(model, cr.losses.squared, cr.optim.SGD(0.1), x, t, steps=60, seed=0, **options)
    return found


def weights() -> tuple[cr.Tensor, cr.Tensor]:
    return cr.Input((8, 60), name="x"), cr.variable(X, name="w")


def test_the_outputs_are_those_of_before() -> None:
    x, w = weights()
    y = x @ (cr.exp(w) / cr.exp(w).sum()).T + w.mean()
    found, outputs = hoisted([x], [y])
    assert sorted(leaf.label for leaf in found.values()) == ["divide", "divide"]  # the quotient and the mean
    values = Program([], [*found])()
    (wanted,), (got,) = Program([x], [y])(X[:8]), Program([x, *found.values()], outputs)(X[:8], *values)
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, w: x @ w.T,  # moves elements, or nothing
        lambda x, w: x + w.reshape(60, 40)[:, :8].T,
        lambda x, w: cr.exp(x @ w.T),
        lambda x, w: x * cr.exp(w[0]),  # small
    ],
)
def test_what_costs_nothing_stays(function: Any) -> None:
    x, w = weights()
    y = function(x, w)
    assert hoisted([x], [y]) == ({}, [y])


def test_weights_are_converted_once_a_run() -> None:
    step, record = moved(network(), engine="compiled").compiled.loops().split("\n\n")
    assert "0.weight[j, i]" in step and "float64(0.weight" not in step
    assert "float64(0.weight" in record


def test_what_is_kept_for_the_steps_is_reported() -> None:
    wide = network().astype("float64")
    weights = sum(value.nbytes for value in wide.state_dict().values())
    more, less = (moved(model, engine="compiled").compiled.report().peak_bytes for model in (network(), wide))
    assert more - less >= weights


def test_the_rows_move_as_on_the_reference() -> None:
    for t in (T, np.sign(X[:, 1])):  # the second time with a trace that is kept, and other weights
        model = network()
        wanted, got = (moved(model, t=t, engine=engine) for engine in ("reference", "compiled"))
        np.testing.assert_allclose(got.data, wanted.data, rtol=1e-12)
        np.testing.assert_allclose(got.loss, wanted.loss, rtol=1e-6)


def test_a_later_run_takes_the_weights_of_its_own_time(engine: str) -> None:
    model = network()
    moved(model, engine=engine)
    other = network()
    for each in (model, other):
        each.load_state_dict({name: 2 * value for name, value in each.state_dict().items()})
    np.testing.assert_array_equal(moved(model, engine=engine).data, moved(other, engine=engine).data)


def test_what_a_callback_assigns_to_held_weights_is_used(engine: str) -> None:
    def change(progress: cr.Progress) -> None:
        if progress.step == 20:
            state = model.state_dict()
            model.load_state_dict(state | {"2.weight": np.zeros((30, 1), "float32")})

    model = network()
    history = moved(model, engine=engine, record_every=20, callbacks=change)
    early = moved(network(), engine=engine, record_every=20, callbacks=lambda progress: progress.step == 20)
    np.testing.assert_array_equal(history.data, early.data)
