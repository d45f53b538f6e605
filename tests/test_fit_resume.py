"""A run that stops and goes on, also through a file, gives the bits of one that never stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import losses, nn, optim
from chainrule.errors import OptionError, ShapeError

X = np.random.RandomState(0).randn(50, 3).astype(np.float32)
T = np.sin(X.sum(1, keepdims=True))


def network(seed: int = 0) -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 1)).initialize(seed)


def optimizers(model: nn.Sequential) -> list[tuple[Any, optim.Optimizer]]:
    return [(model[0], optim.Adam(0.01)), (model[1], optim.Momentum(lambda step: 0.01 / (1 + 0.1 * step)))]


def same(a: nn.Module, b: nn.Module) -> None:
    for path, value in a.state_dict().items():
        np.testing.assert_array_equal(value, b.state_dict()[path], err_msg=path)


@pytest.mark.parametrize("sampling", ["shuffle", "replacement", "all", "given"])
@pytest.mark.parametrize("done", [1, 37, 99])
def test_a_resumed_run_goes_on_to_the_bit(sampling: str, done: int, tmp_path: Path, engine: str) -> None:
    """Adam, momentum with a schedule, dropout and batch normalization, stopped in the middle of an epoch."""
    options: dict[str, Any] = {"engine": engine, "record_every": 10}
    options["sampling"] = sampling if sampling != "given" else cr.sampling.indices(9, 50, 6, 0, 100)
    if sampling in ("shuffle", "replacement"):
        options["batch_size"] = 6
    straight = network()
    whole = cr.fit(straight, losses.squared, optimizers(straight), X, T, steps=100, seed=4, **options)

    first = network()
    part = cr.fit(first, losses.squared, optimizers(first), X, T, steps=done, seed=4, **options)
    cr.save(tmp_path / "run", first, part)
    second = network(seed=99)
    state = cr.load(tmp_path / "run", second)
    rest = cr.fit(second, losses.squared, optimizers(second), X, T, steps=100 - done, resume=state, **options)

    same(straight, second)
    assert whole.state is not None
    assert rest.state is not None
    assert rest.state.step == 100
    for name, value in whole.state.arrays.items():
        np.testing.assert_array_equal(value, rest.state.arrays[name])
    np.testing.assert_array_equal(np.concatenate([part.loss, rest.loss]), whole.loss)
    assert rest.final == whole.final


def test_moved_data_go_on_to_the_bit(engine: str) -> None:
    model = nn.Linear(3, 1, seed=0)
    t = np.sign(T)
    options: dict[str, Any] = {"batch_size": 3, "engine": engine}
    whole = cr.fit_data(model, losses.hinge, optim.Momentum(0.05), X, t, steps=100, **options)
    part = cr.fit_data(model, losses.hinge, optim.Momentum(0.05), X, t, steps=37, **options)
    rest = cr.fit_data(model, losses.hinge, optim.Momentum(0.05), part.data, t, steps=63, resume=part, **options)
    np.testing.assert_array_equal(rest.data, whole.data)
    assert part.updates is not None
    assert rest.updates is not None
    assert part.updates + rest.updates == whole.updates


def test_moved_data_go_on_with_the_rest_of_the_given_rows(engine: str) -> None:
    """The array says how many rows a step takes, here as in a run that begins."""
    model, rows = nn.Linear(3, 1, seed=0), cr.sampling.indices(9, 50, 6, 0, 20)
    options: dict[str, Any] = {"sampling": rows, "engine": engine}
    whole = cr.fit_data(model, losses.squared, optim.SGD(0.05), X, T, **options)
    part = cr.fit_data(model, losses.squared, optim.SGD(0.05), X, T, steps=7, **options)
    rest = cr.fit_data(model, losses.squared, optim.SGD(0.05), part.data, T, resume=part, **options)
    np.testing.assert_array_equal(rest.data, whole.data)
    assert rest.state is not None
    assert rest.state.step == 20


def test_early_stopping_remembers_across_a_file(tmp_path: Path) -> None:
    """Interrupted while it waits: the patience that is used up stays used up, the best is still the best."""
    options: dict[str, Any] = {"validation": (X, -T), "record_every": 2, "early_stopping": cr.EarlyStopping(20)}
    straight = network()
    whole = cr.fit(straight, losses.squared, optim.Adam(0.01), X, T, steps=200, **options)
    assert whole.stopped == "early"

    def interrupt(progress: cr.Progress) -> None:
        if progress.step == 10:
            raise KeyboardInterrupt

    first = network()
    part = cr.fit(first, losses.squared, optim.Adam(0.01), X, T, steps=200, callbacks=interrupt, **options)
    assert part.stopped == "interrupted"
    cr.save(tmp_path / "run", first, part)
    second = network(5)
    rest = cr.fit(second, losses.squared, optim.Adam(0.01), X, T, steps=190, resume=cr.load(tmp_path / "run", second),
                  **options)  # fmt: skip
    assert rest.stopped == "early"
    assert part.steps_done + rest.steps_done == whole.steps_done == 40 + 2 * int(np.argmin(whole.records["validation"]))
    same(straight, second)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"optimizer": optim.SGD(0.1)}, "the state holds .*0.weight/velocity"),
        ({"optimizer": optim.Adam(0.1)}, "no state '0.weight/m'"),
        ({"batch_size": 5}, "batch_size=5, 6 before"),
        ({"sampling": "shuffle"}, "'shuffle', 'replacement' before"),
        ({"x": X[:40], "t": T[:40]}, "40 rows of data, 50 before"),
    ],
)
def test_what_cannot_go_on_is_refused_before_anything_changes(options: dict[str, Any], named: str) -> None:
    model = network()
    base = {"optimizer": optim.Momentum(0.1), "x": X, "t": T, "batch_size": 6}
    part = cr.fit(model, losses.squared, steps=5, **base)  # type: ignore[arg-type]
    before = model.state_dict()
    with pytest.raises(OptionError, match=named):
        cr.fit(model, losses.squared, steps=5, resume=part, **base | options)  # type: ignore[arg-type]
    for path, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[path])


def test_the_state_of_a_larger_model_is_refused(engine: str) -> None:
    """Also where only the first axis differs: machine code would read beyond the array."""

    def widened(n: int) -> cr.History:
        model = nn.Linear(3, n, seed=0)
        t = np.zeros((50, n), np.float32)
        state = None if n == 5 else widened(5)
        return cr.fit(model, losses.squared, optim.Adam(0.01), X, t, steps=3, batch_size=2, resume=state, engine=engine)

    with pytest.raises(ShapeError, match=r"fit\(resume=...\): \S+/m is \(5,\) .*it is to be \(5000,\)|\(3, 5\)"):
        widened(5000)
