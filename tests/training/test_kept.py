"""What a fit keeps for the next one is used where nothing changed, never where something did, and by one at a time."""

from __future__ import annotations

import functools
import gc
import sys
import threading
import tracemalloc
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import losses, nn, optim
from chainrule.training import kept

RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 3)).astype(np.float32)
T = RNG.standard_normal((40, 1)).astype(np.float32)
OPTIONS: dict[str, Any] = {"steps": 30, "batch_size": 4, "record_every": 7}


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(3, 3, seed=0), nn.LeakyReLU(slope=0.1), nn.BatchNorm(3), nn.Dropout(0.3), nn.Linear(3, 3, seed=1),
        nn.Lambda(cr.tanh), nn.Linear(3, 1, seed=2),
    )  # fmt: skip


def small() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 2, seed=0), nn.Tanh(), nn.Linear(2, 1, seed=1))


def fit(model: Any, /, loss: Any = losses.squared, rule: Any = None, x: Any = X, t: Any = T, **options: Any) -> Any:
    return cr.fit(model, loss, rule or optim.Momentum(0.01), x, t, **(OPTIONS | options))


def outcome(model: nn.Module, history: cr.History) -> dict[str, bytes]:
    """All that a run changes or gives, to the bit."""
    values = {path: value.tobytes() for path, value in model.state_dict().items()}
    state = {path: value.tobytes() for path, value in history.state.arrays.items()}
    records = {f"record of {name}": value.tobytes() for name, value in history.records.items()}
    return values | state | records | {"final": repr(history.final_records).encode()}


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A note of every step that is traced."""
    made: list[str] = []
    module = sys.modules["chainrule.fit"]
    for name in ("trace_step", "trace_data_step"):

        def noted(*args: Any, _trace: Any = getattr(module, name), _name: str = name) -> Any:
            made.append(_name)
            return _trace(*args)

        monkeypatch.setattr(module, name, noted)
    return made


def test_the_second_fit_traces_nothing_and_is_the_same(engine: str, traces: list[str]) -> None:
    def twice(model: nn.Module) -> list[dict[str, bytes]]:
        return [outcome(model, fit(model, engine=engine)) for _ in range(2)]

    found = twice(model := network())
    assert traces == ["trace_step"]
    fresh = network()
    fit(fresh, engine=engine)
    other = network()
    other.load_state_dict(fresh.state_dict())
    assert outcome(other, fit(other, engine=engine)) == found[1] != found[0]
    model.initialize(3)
    other = network().initialize(3)
    assert outcome(model, fit(model, engine=engine)) == outcome(other, fit(other, engine=engine))
    assert traces == ["trace_step"] * 4


def test_data_are_moved_again_without_tracing(engine: str, traces: list[str]) -> None:
    model = nn.Sequential(nn.Linear(3, 4, seed=0), nn.Tanh(), nn.Linear(4, 1, seed=1))

    def move(model: nn.Module, x: Any) -> tuple[Any, ...]:
        history = cr.fit_data(
            model, losses.squared, optim.Momentum(0.05), x, T, steps=50, record_every=9, engine=engine
        )
        return history.data.tobytes(), history.records["train"].tobytes(), history.updates, history.final

    first = move(model, X)
    again = move(model, X)
    assert first == again and traces == ["trace_data_step"]
    model[0].bias.value = [1.0, 2.0, 3.0, 4.0]  # the model's values are read, not traced
    other = nn.Sequential(nn.Linear(3, 4, seed=0), nn.Tanh(), nn.Linear(4, 1, seed=1))
    other[0].bias.value = model[0].bias.value
    assert move(model, X[::-1]) == move(other, X[::-1]) != first
    assert traces == ["trace_data_step"] * 2


def set_(path: str, name: str, value: Any) -> Callable[[nn.Module], None]:
    return lambda model: setattr(model.named_modules()[path], name, value)


def share(model: nn.Module) -> None:
    model[4].weight = model[0].weight  # type: ignore[index]


def freeze(model: nn.Module) -> None:
    model[0].weight.trainable = False  # type: ignore[index]


def rename(model: nn.Module) -> None:
    layers = model.layers
    layers["last"] = layers.pop("6")  # type: ignore[operator, union-attr]


CHANGES: dict[str, Callable[[nn.Module], Any]] = {
    "a number of a layer": set_("3", "rate", 0.6),
    "an option of an activation": lambda model: model[1].options.update(slope=0.7),
    "an epsilon": set_("2", "eps", 0.5),
    "a momentum": set_("2", "momentum", 0.9),
    "a kind of number": set_("2", "momentum", 0),
    "a frozen parameter": freeze,
    "a shared parameter": share,
    "no bias": set_("4", "bias", None),
    "another parameter": lambda model: setattr(model[0], "weight", cr.Parameter(np.eye(3, dtype=np.float32))),
    "a constant": set_("4", "bias", cr.as_tensor(np.ones(3, np.float32))),
    "a computed bias": lambda model: setattr(model[4], "bias", 2 * model[0].bias),
    "another layer in place": lambda model: model.layers.update({"1": nn.Tanh()}),
    "one more layer": lambda model: model.append(nn.Linear(1, 1, seed=5)),
    "one layer less": lambda model: model.layers.pop("2"),
    "layers in another order": lambda model: model.layers.update({"1": model[3], "3": model[1]}),
    "another name of a layer": rename,
    "a function of the library": set_("5", "function", cr.sin),
    "a function of the user's": set_("5", "function", lambda x: 3 * x),
    "a function that looks like the library's": set_("5", "function", functools.wraps(cr.tanh)(lambda x: 3 * x)),
    "a method put on a layer": lambda model: setattr(model[0], "forward", lambda x: 2 * x),
    "a layer of the user's": lambda model: model.layers.update({"1": type("Own", (nn.Lambda,), {})(lambda x: 2 * x)}),
    "an initializer's draw": lambda model: model.initialize(9),
    "another dtype": lambda model: model.astype("float64"),
    "nothing": lambda model: None,
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_model_is_trained_as_a_new_one(change: Callable[[nn.Module], Any]) -> None:
    model, fresh = network(), network()
    for _ in range(2):
        fit(model)
    fresh.load_state_dict(model.state_dict())
    change(model)
    change(fresh)
    assert outcome(model, fit(model)) == outcome(fresh, fit(fresh))


def test_a_model_changed_to_and_fro_is_trained_as_it_stands(traces: list[str]) -> None:
    model = network()
    for rate in (0.3, 0.6, 0.3, 0.6):
        fresh = network()
        fresh.load_state_dict(model.state_dict())
        model[3].rate = fresh[3].rate = rate
        assert outcome(model, fit(model)) == outcome(fresh, fit(fresh))
    assert len(traces) == 2 + 4  # each rate once, and the fresh ones


def test_a_class_that_was_changed_is_traced_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    model, fresh = network(), network()
    fit(model)
    fresh.load_state_dict(model.state_dict())
    monkeypatch.setattr(nn.Linear, "forward", lambda self, x: cr.sin(x @ self.weight))
    assert outcome(model, fit(model)) == outcome(fresh, fit(fresh))


def test_a_constant_whose_value_was_replaced(traces: list[str]) -> None:
    def make(values: Any) -> nn.Sequential:
        model = network()
        model[4].bias = cr.as_tensor(np.array(values, np.float32))
        return model

    model, fresh = make([1, 1, 1]), make([1, 2, 3])
    fit(model), fit(model)
    assert len(traces) == 1
    fresh.load_state_dict(model.state_dict())
    model[4].bias.value = fresh[4].bias.value
    assert outcome(model, fit(model)) == outcome(fresh, fit(fresh))


WEIGHTS = np.linspace(0.5, 2.0, 40)
CALLS: dict[str, dict[str, Any]] = {
    "loss": {"loss": losses.absolute},
    "option of a loss": {"loss": partial(losses.huber, delta=0.5)},
    "another option of a loss": {"loss": partial(losses.huber, delta=0.25)},
    "loss of the user's": {"loss": lambda y, t: ((y - t) ** 4).sum(axis=1)},
    "loss that looks like the library's": {"loss": functools.wraps(losses.squared)(lambda y, t: abs(y - t).sum(1))},
    "loss with the library's check": {"loss": losses.targets(lambda t, s: None)(lambda y, t: abs(y - t).sum(1))},
    "rate": {"rule": optim.Momentum(0.02)},
    "optimizer": {"rule": optim.Adam(0.01)},
    "decay": {"rule": optim.Momentum(0.01, weight_decay=0.1)},
    "schedule": {"rule": optim.Momentum(optim.StepDecay(0.01, every=10))},
    "another schedule": {"rule": optim.Momentum(optim.StepDecay(0.01, every=5))},
    "schedule of the user's": {"rule": optim.Momentum(lambda step: 0.01 / (1 + step))},
    "clipping": {"clip": optim.ClipByGlobalNorm(0.5)},
    "another clipping": {"clip": optim.ClipByGlobalNorm(0.1)},
    "clipping by another rule": {"clip": optim.ClipByNorm(0.1)},
    "weights": {"sample_weight": WEIGHTS},
    "other weights": {"sample_weight": WEIGHTS[::-1]},
    "batch": {"batch_size": 5},
    "all rows": {"batch_size": None},
    "order of rows": {"sampling": "shuffle"},
    "seed": {"seed": 8},
    "no records": {"record_every": 0},
    "records": {"record_every": 4},
    "steps": {"steps": 45},
    "other data": {"x": X[::-1].copy(), "t": -T},
    "data of another dtype": {"x": X.astype(np.float64)},
    "integers": {"x": np.round(X).astype(np.int32)},
    "data in another order": {"x": np.asfortranarray(X)},
    "data with gaps": {"x": np.repeat(X, 2, axis=1)[:, ::2]},
    "fewer rows": {"x": X[:30], "t": T[:30]},
    "targets of another shape": {"t": T[:, 0]},
    "validation": {"validation": (X[:9], T[:9])},
    "larger validation": {"validation": (X[:11], T[:11])},
    "some rows": {"record_on": {"some": slice(2, 9)}},
    "other rows": {"record_on": {"some": slice(1, 9, 2)}},
    "more rows": {"record_on": {"some": slice(1, 9)}},
    "rows by number": {"record_on": {"some": [5, 1, 7]}},
    "more rows by number": {"record_on": {"some": [5, 1, 7, 2]}},
    "metrics": {"metrics": {"distance": lambda y, t: abs(y - t)[:, 0]}},
    "callbacks": {"callbacks": lambda progress: None},
    "early stopping": {"early_stopping": cr.EarlyStopping(1, monitor="train")},
    "the reference": {"engine": "reference"},
    "verified": {"verify": True},
}  # fmt: skip


ALIKE = (
    ("option of a loss", "another option of a loss"), ("schedule", "another schedule"), ("weights", "other weights"),
    ("clipping", "another clipping", "clipping by another rule"), ("validation", "larger validation"),
    ("some rows", "other rows", "more rows", "rows by number", "more rows by number"),
)  # fmt: skip


@pytest.mark.parametrize("names", ALIKE, ids=" - ".join)
def test_calls_that_look_alike(names: tuple[str, ...]) -> None:
    model = small()
    for name in 2 * names:
        fresh = small()
        fresh.load_state_dict(model.state_dict())
        assert outcome(model, fit(model, **CALLS[name])) == outcome(fresh, fit(fresh, **CALLS[name]))


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_another_call_is_as_that_of_a_new_model(call: dict[str, Any]) -> None:
    model = small()
    for options in ({}, call, {}, call):
        fresh = small()
        fresh.load_state_dict(model.state_dict())
        assert outcome(model, fit(model, **options)) == outcome(fresh, fit(fresh, **options))


def test_a_run_goes_on_to_the_bit(engine: str) -> None:
    model, straight = network(), network()
    state = None
    for _ in range(3):
        history = fit(model, resume=state, engine=engine)
        state = history.state
    expected = fit(straight, steps=90, engine=engine)
    assert model.state_dict()["6.weight"].tobytes() == straight.state_dict()["6.weight"].tobytes()
    assert history.state.arrays["6.weight/velocity"].tobytes() == expected.state.arrays["6.weight/velocity"].tobytes()


def test_groups_of_optimizers(traces: list[str]) -> None:
    def rules(model: Any, k: int) -> Any:
        return [(model[k], optim.SGD(0.1)), (model[6], optim.Adam(0.01))]

    model = network()
    for k in (0, 4, 0, 4):
        fresh = network()
        fresh.load_state_dict(model.state_dict())
        found = outcome(model, fit(model, rule=rules(model, k)))
        assert found == outcome(fresh, fit(fresh, rule=rules(fresh, k)))
    assert len(traces) == 2 + 4


def test_inside_a_training_nothing_is_kept() -> None:
    """A model that is called there for records drops and uses the batch's statistics."""
    model, fresh = network(), network()
    fit(model)
    fresh.load_state_dict(model.state_dict())
    with nn.training(seed=5):
        found = outcome(model, fit(model))
    with nn.training(seed=5):
        assert found == outcome(fresh, fit(fresh))


def noting(called: list[str], f: Callable[..., Any], like: Any = None) -> Callable[..., Any]:
    """A user's function that does what `f` does and says so; called as `like`."""

    def noted(*args: Any) -> Any:
        called.append("called")
        return f(*args)

    return functools.wraps(like)(noted) if like is not None else noted


class Own(nn.Module):
    def __init__(self, called: list[str]):
        self.inner, self.called = nn.Linear(3, 1, seed=0), called

    def forward(self, x: Any) -> Any:
        self.called.append("called")
        return self.inner(x)


USERS: dict[str, Callable[[list[str]], tuple[Any, ...]]] = {
    "model": lambda called: (Own(called),),
    "model that is a function": lambda called: (noting(called, network()),),
    "layer": lambda called: (nn.Sequential(Own(called), network()[:0]),),
    "function as a layer": lambda called: (nn.Sequential(nn.Linear(3, 1, seed=0), noting(called, cr.tanh)),),
    "function made of it": lambda called: (nn.Sequential(nn.Linear(3, 1, seed=0), cr.vmap(noting(called, cr.tanh))),),
    "loss": lambda called: (network(), noting(called, losses.squared)),
    "loss that looks like the library's": lambda called: (network(), noting(called, losses.squared, losses.squared)),
    "loss with the library's check": lambda called: (
        network(), losses.targets(lambda t, s: None)(noting(called, losses.squared)),
    ),
    "loss in a partial": lambda called: (network(), partial(noting(called, losses.squared))),
    "schedule": lambda called: (network(), losses.squared, optim.SGD(noting(called, lambda step: 0.01))),
    "schedule within another": lambda called: (
        network(), losses.squared, optim.SGD(optim.Warmup(noting(called, lambda step: 0.01), 5)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("parts", USERS.values(), ids=USERS)
def test_code_of_the_users_is_called_at_every_fit(parts: Any) -> None:
    model, *rest = parts(called := [])
    fit(model, *rest)
    once = len(called)
    fit(model, *rest)
    assert len(called) == 2 * once > 0


@pytest.mark.parametrize("home, name", [(losses, "squared"), (nn.Linear, "forward"), (optim.Momentum, "update")])
def test_so_is_what_they_put_in_the_librarys_place(home: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    monkeypatch.setattr(home, name, noting(called, getattr(home, name), getattr(home, name)))
    model = network()
    fit(model, losses.squared)
    once = len(called)
    fit(model, losses.squared)
    assert len(called) == 2 * once > 0


def test_an_error_names_the_line_of_its_own_call() -> None:
    model = nn.Sequential(nn.Linear(3, 1, seed=0))
    fit(model)
    with pytest.raises(cr.errors.NonFiniteError) as caught:
        cr.fit(model, losses.squared, optim.Momentum(0.01), 1e30 * X, T, **OPTIONS)
    line = sys._getframe().f_lineno - 1
    assert f"test_kept.py:{line}" in str(caught.value)


def test_it_lives_as_long_as_the_model_and_holds_no_data() -> None:
    model, x = network(), X.copy()
    history = fit(model, x=x, validation=(x[:9], T[:9]), sample_weight=WEIGHTS)
    assert model in kept._kept
    data, parameter, owner = weakref.ref(x), weakref.ref(model[0].weight), weakref.ref(model)
    values = [weakref.ref(p.value) for p in model.named_parameters().values()]
    del x
    gc.collect()
    assert data() is None
    fit(model)
    gc.collect()
    assert all(value() is None for value in values)  # replaced by newer ones, and held by no one
    before = len(kept._kept)
    del model, history
    gc.collect()
    assert (owner(), parameter()) == (None, None)
    assert len(kept._kept) == before - 1


def test_many_fits_of_one_model_leave_nothing() -> None:
    model = network()
    for _ in range(20):
        fit(model)
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(300):
            fit(model)
        gc.collect()
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert left < 2**16


def test_large_memory_is_not_kept() -> None:
    x = np.zeros((50_000, 3), np.float32)

    def train() -> nn.Module:
        model = nn.Sequential(nn.Linear(3, 20, seed=0), nn.Softmax(), nn.Linear(20, 1, seed=1))
        fit(model, x=x, t=x[:, :1], batch_size=None, steps=1)
        return model

    train()
    tracemalloc.start()
    try:
        model = train()
        gc.collect()
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    (entry,) = kept._kept[model].values()
    assert left < 2**20 < sum(entry.runner.compiled.arenas)


def test_a_parameter_that_was_replaced_is_let_go() -> None:
    model = network()
    fit(model)
    old = weakref.ref(model[0].weight)
    model.astype("float64")
    fit(model)
    gc.collect()
    assert old() is None


def test_few_are_kept() -> None:
    model = nn.Linear(3, 1, seed=0)
    for k in range(2 * kept.EACH):
        fit(model, rule=optim.SGD(0.01 + k / 1000), steps=1, engine="reference")
    assert len(kept._kept[model]) == kept.EACH
    models = [nn.Linear(3, 1, seed=0) for _ in range(kept.MODELS + 3)]
    for one in models:
        fit(one, steps=1, engine="reference")
    assert len(kept._kept) == kept.MODELS
    assert models[-1] in kept._kept and models[0] not in kept._kept


def test_a_fit_within_a_fit_of_the_same_model() -> None:
    def nested(model: nn.Module) -> dict[str, bytes]:
        inner: list[Any] = []

        def callback(progress: cr.Progress) -> None:
            if progress.step == 14:
                inner.append(outcome(model, fit(model)))

        history = fit(model, callbacks=callback)
        return outcome(model, history) | {f"inner {name}": value for name, value in inner[0].items()}

    model = network()
    fit(model), fit(model)
    model.load_state_dict(network().state_dict())
    assert nested(model) == nested(network())


def test_it_is_taken_out_while_it_is_used() -> None:
    model, seen = network(), list[int]()
    fit(model)
    (entry,) = kept._kept[model].values()
    fit(model)
    assert list(kept._kept[model].values()) == [entry]
    fit(model, callbacks=lambda progress: seen.append(len(kept._kept[model])), early_stopping=None)
    assert set(seen) == {0}
    assert kept.take(model, entry.fingerprint) is entry
    assert kept.take(model, entry.fingerprint) is None


def test_threads_do_not_meet() -> None:
    """Of models of their own the bits are as alone, of one model the numbers are finite."""
    alone = outcome(model := network(), fit(model))
    shared, found = network(), list[Any]()
    fit(shared)

    def use() -> None:
        for _ in range(10):
            mine = network()
            found.append(outcome(mine, fit(mine)) == alone and bool(np.isfinite(fit(shared).final)))

    threads = [threading.Thread(target=use) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 30
