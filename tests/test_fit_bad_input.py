"""Bad input is refused by name, with the repair, before anything is changed."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import losses, nn, optim
from chainrule.errors import DataError, DTypeError, NonFiniteError, OptionError, ShapeError, TargetError

X = np.random.RandomState(0).randn(20, 2)
T = np.where(X[:, :1] > 0, 1.0, -1.0)
SGD = optim.SGD(0.1)


def holed(value: float) -> np.ndarray:
    x = X.copy()
    x[7, 1] = value
    return x


def forgetful(*args: Any) -> None:
    """A function whose `return` was forgotten."""


MODEL = nn.Linear(2, 1, seed=0)
CASES: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "NaN": ({"x": holed(np.nan)}, DataError, r"x\[7, 1\] \(row 7, column 1\) is nan"),
    "infinity": ({"x": holed(np.inf)}, DataError, r"row 7, column 1\) is inf"),
    "NaN in targets": ({"t": np.where(T > 0, np.nan, T)}, DataError, r"t\[\d+, 0\]"),
    "NaN in validation": ({"validation": (holed(np.nan), T)}, DataError, r"validation x\[7, 1\]"),
    "no rows": ({"x": X[:0], "t": T[:0]}, DataError, "nothing in it"),
    "rows differ": ({"t": T[:5]}, ShapeError, "20 rows are not 5"),
    "text": ({"x": X.astype(str)}, DTypeError, "data are numbers"),
    "complex": ({"x": X + 1j}, DTypeError, "complex128"),
    "columns": ({"x": X[:, :1]}, ShapeError, "1"),
    "targets' columns": ({"t": np.hstack([T, T])}, ShapeError, "not broadcast"),
    "validation's columns": ({"validation": (X, np.hstack([T, T]))}, ShapeError, "not broadcast"),
    "hinge targets": ({"loss": losses.hinge, "t": (T + 1) / 2}, TargetError, r"-1 or \+1.*2 \* t - 1"),
    "targets of a partial loss": ({"loss": functools.partial(losses.hinge), "t": 2 * T}, TargetError, "-1 or"),
    "validation's hinge targets": ({"loss": losses.hinge, "validation": (X, 0 * T)}, TargetError, "-1 or"),
    "class out of range": (
        {"loss": losses.softmax_cross_entropy, "model": nn.Linear(2, 3), "t": np.arange(20) % 4},
        TargetError,
        "0 to 2",
    ),
    "batch larger than data": ({"batch_size": 21}, OptionError, "batch_size=21, 20 rows"),
    "batch of none": ({"batch_size": 0}, OptionError, "batch_size=0"),
    "neither steps nor epochs": ({"steps": None}, OptionError, "neither of steps and epochs"),
    "both": ({"epochs": 3}, OptionError, "both of steps and epochs"),
    "negative steps": ({"steps": -3}, OptionError, "steps=-3"),
    "steps as float": ({"steps": 1e3}, OptionError, "steps=1000.0"),
    "sampling": ({"sampling": "random"}, OptionError, "sampling='random'"),
    "row numbers": ({"sampling": [[0, 20]], "steps": None}, OptionError, r"row 20 at position \(0, 1\)"),
    "too few row numbers": ({"sampling": [[0, 1]]}, OptionError, "1 steps left"),
    "seed": ({"seed": -1}, OptionError, "a seed is"),
    "weights' shape": ({"sample_weight": np.ones(3)}, ShapeError, "one weight a row"),
    "negative weight": ({"sample_weight": np.arange(20) - 1.0}, DataError, "row 0 has -1.0"),
    "weights of nothing": ({"sample_weight": np.zeros(20)}, DataError, "all weights are 0"),
    "weights without rows": (
        {"sample_weight": np.ones(20), "loss": lambda y, t: ((y - t) ** 2).mean()}, OptionError, "a loss a row",
    ),
    "optimizer": ({"optimizer": 0.1}, OptionError, "optimizer=0.1"),
    "an optimizer's class": ({"optimizer": optim.SGD}, OptionError, r"optimizer=<class.*order is fit\(model, loss"),
    "model": ({"model": 3}, OptionError, r"model=3: the model is not callable. The order is fit\(model, l"),
    "model's class": ({"model": nn.Linear}, OptionError, r"model=Linear: this is a class.*Make one: Linear\(...\)"),
    "loss": ({"loss": "squared"}, OptionError, "loss='squared': the loss is not callable. The order is"),
    "loss and optimizer": (
        {"loss": SGD, "optimizer": losses.squared}, OptionError,
        r"loss=SGD\(.*optimizer=squared: loss and optimizer have changed places.*model, loss, optimizer",
    ),
    "two losses": ({"loss": SGD}, OptionError, r"loss=SGD\(.*: the loss is not callable"),
    "loss's result": ({"loss": losses.squared(X, X)}, OptionError, r"loss=a tensor \(20,\): .*the function itself"),
    "model without return": ({"model": forgetful}, DTypeError, "the model forgetful: it returned None.*`return`"),
    "loss without return": ({"loss": forgetful}, DTypeError, "the loss forgetful: it returned None.*`return`"),
    "labels as floats": (
        {"loss": losses.softmax_cross_entropy, "model": nn.Linear(2, 2), "t": (T[:, 0] + 1) / 2}, DTypeError,
        r"targets of float64.*t\.astype\(int\)",
    ),
    "one output for classes": (
        {"loss": losses.softmax_cross_entropy, "t": np.arange(20) % 4}, TargetError, "Give the model 4 outputs",
    ),
    "two optimizers": ({"optimizer": [(MODEL, SGD), ([MODEL.bias], SGD)]}, OptionError, "'bias'.*two optimizers"),
    "foreign parameter": ({"optimizer": [([cr.Parameter([1.0], "other")], SGD)]}, OptionError, "'other'.*not among"),
    "nothing to train": ({"model": nn.ReLU(), "t": X}, OptionError, "no trainable parameters"),
    "loss's shape": ({"loss": lambda y, t: (y - t) ** 2}, ShapeError, r"returned \(20, 1\).*axis=1"),
    "loss's dtype": ({"loss": lambda y, t: (y > t).reshape(-1)}, DTypeError, "returned bool"),
    "Python branch": ({"loss": lambda y, t: y.sum() if y.sum() > 0 else -y.sum()}, cr.errors.TraceError, "where"),
    "record_every": ({"record_every": -1}, OptionError, "record_every=-1"),
    "record_on a mask": ({"record_on": {"a": np.ones(3, bool)}}, ShapeError, r"mask of \(3,\)"),
    "record_on rows": ({"record_on": {"a": [20]}}, OptionError, "there are 20 rows"),
    "record_on nothing": ({"record_on": {"a": slice(5, 5)}}, DataError, "takes none of 20 rows"),
    "callbacks": ({"callbacks": [3]}, OptionError, r"callbacks=\[3\]: it is a function of a Progress"),
    "metrics": ({"metrics": [losses.squared]}, OptionError, "metrics=.*dict of functions"),
    "a metric that is no function": ({"metrics": {"a": 3}}, OptionError, "dict of functions"),
    "a metric's shape": ({"metrics": {"a": lambda y, t: y @ y.T}}, ShapeError, r"'a': for 20 rows it ret.*\(20, 20\)"),
    "a metric without return": ({"metrics": {"a": forgetful}}, DTypeError, "'a': it returned None.*`return`"),
    "record_on a list": ({"record_on": [1, 2]}, OptionError, r"record_on=\[1, 2\]: it is a dict"),
    "clip": ({"clip": 1.0}, OptionError, "clip=1.0.*ClipByGlobalNorm"),
    "clip without return": ({"clip": forgetful}, DTypeError, "the clip forgetful: it returned NoneType.*`return`"),
    "clip that loses one": ({"clip": lambda gs: gs[:1]}, ShapeError, r"for 2 gradients it returned shapes \(2, 1\)"),
    "early stopping's patience alone": ({"early_stopping": 3}, OptionError, "early_stopping=3: it is an EarlyStopping"),
    "resume a file's name": ({"resume": "run"}, OptionError, "resume='run': it is a run's history"),
    "masked": ({"x": np.ma.masked_greater(X, 1.0)}, DataError, "masked.*filled"),
    "early stopping": ({"early_stopping": cr.EarlyStopping(3)}, OptionError, "monitor='validation'"),
    "engine": ({"engine": "quantum"}, OptionError, "engine='quantum'"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_fit_refuses(case: str) -> None:
    options, error, named = CASES[case]
    call = {"model": MODEL, "loss": losses.squared, "optimizer": SGD, "x": X, "t": T, "steps": 3} | options
    before = MODEL.state_dict()
    with pytest.raises(error, match=named):
        cr.fit(**call)
    for path, value in MODEL.state_dict().items():
        np.testing.assert_array_equal(value, before[path])


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 0}, {"steps": 3, "epochs": 1}, {"steps": 3, "sampling": "all", "batch_size": 2},
        {"steps": 3, "record_every": -1}, {"steps": 3, "record_on": {"mine": [99]}},
        {"steps": 3, "early_stopping": cr.EarlyStopping(3, monitor="theirs")},
    ],
)  # fmt: skip
def test_errors_name_the_function_that_was_called(options: dict[str, Any]) -> None:
    for function in (cr.fit, cr.fit_data):
        with pytest.raises(OptionError, match=rf"^{function.__name__}[(:]"):
            function(MODEL, losses.squared, SGD, X, T, **options)
        with pytest.raises(ShapeError, match=rf"^{function.__name__}\(sample_weight"):
            function(MODEL, losses.squared, SGD, X, T, steps=3, sample_weight=[1.0])


def test_fit_data_refuses_integers_and_several_arrays() -> None:
    with pytest.raises(DTypeError, match="only floats can be moved"):
        cr.fit_data(MODEL, losses.hinge, SGD, np.ones((20, 2), int), T, steps=1)
    with pytest.raises(OptionError, match="tuple of 2"):
        cr.fit_data(MODEL, losses.hinge, SGD, (X, X), T, steps=1)
    with pytest.raises(OptionError, match="one optimizer"):
        cr.fit_data(MODEL, losses.hinge, [(MODEL, SGD)], X, T, steps=1)


@pytest.mark.parametrize(
    "options",
    [{"patience": 0}, {"patience": 2.5}, {"patience": 1, "min_delta": -1}, {"patience": 1, "min_delta": np.nan}],
)
def test_early_stopping_refuses(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="EarlyStopping"):
        cr.EarlyStopping(**options)


@pytest.mark.parametrize("batch_size", [None, 1])
def test_a_run_that_diverges_is_named_and_left_before_the_step(batch_size: int | None, engine: str) -> None:
    model, other = nn.Linear(2, 1, seed=0), nn.Linear(2, 1, seed=0)
    options: dict[str, Any] = {"batch_size": batch_size, "record_every": 5, "engine": engine}
    with pytest.raises(
        NonFiniteError, match=r"fit, step \d+: .* became NaN or infinite, from .*smaller step"
    ) as caught:
        cr.fit(model, losses.squared, optim.SGD(50.0), X.astype("f"), T.astype("f"), steps=1000, **options)
    assert "test_fit_bad_input.py" in str(caught.value)
    history = caught.value.history
    assert isinstance(history, cr.History)
    assert np.isfinite(model.weight.value).all()
    assert len(history.loss) == -(-(history.steps_done + 1) // 5)
    cr.fit(other, losses.squared, optim.SGD(50.0), X.astype("f"), T.astype("f"), steps=history.steps_done, **options)
    np.testing.assert_array_equal(model.weight.value, other.weight.value)
    assert history.state is not None
    assert history.state.step == history.steps_done


def test_moved_data_that_diverge_are_left_before_the_step(engine: str) -> None:
    def far(y: Any, t: Any) -> Any:
        return (-(y**2)).reshape(-1)

    model = nn.Linear(2, 1, seed=0)
    with pytest.raises(NonFiniteError, match="fit_data, step") as caught:
        cr.fit_data(model, far, optim.SGD(5.0), X, T, steps=10_000, batch_size=2, engine=engine)
    history = caught.value.history
    assert isinstance(history, cr.History)
    assert np.isfinite(history.data).all()
    again = cr.fit_data(model, far, optim.SGD(5.0), X, T, steps=history.steps_done, batch_size=2, engine=engine)
    np.testing.assert_array_equal(again.data, history.data)


W = cr.Parameter(np.zeros((2, 1)), "w")


def scores(x: Any) -> Any:
    return x @ W


def root(y: Any, t: Any) -> Any:
    return cr.sqrt((0 * y) ** 2).sum(axis=1)


def logarithm(y: Any, t: Any) -> Any:
    return cr.log(y - y).sum(axis=1)


DIVERGED: dict[str, tuple[dict[str, Any], str]] = {
    "the model": (
        {"model": lambda x: cr.exp(x @ W + 1000)},
        r"step 0: 'exp' \(20, 1\) at test_fit_bad_input.py:\d+ became NaN or infinite, from add in \[1000, 1000\]",
    ),
    "the user's loss": (
        {"loss": logarithm},
        r"step 0: the loss logarithm, in its 'log' .* became NaN or infinite, from subtract in \[0, 0\],"
        r" with the model's output in \[0, 0\]",
    ),
    "a loss of the library": (
        {"model": lambda x: 1e200 * (x @ W) + 1e200},
        r"the loss squared, in its 'power_of' .*from subtract in .* with the model's output in \[1e\+200, 1e\+200\]",
    ),
    "the gradient": (
        {"loss": root},
        r"the gradient of 'w', in the derivative of test_fit_bad_input.py:\d+, became NaN .*from sqrt in \[0, 0\]",
    ),
    "the update": (
        {"optimizer": optim.SGD(1e308), "t": 10 * T},
        r"step 0: the update of 'w' became NaN or infinite, from w in \[0, 0\] and its gradient in \[-1",
    ),
}


@pytest.mark.parametrize("case", DIVERGED)
def test_the_place_is_named_in_the_users_terms(case: str) -> None:
    options, said = DIVERGED[case]
    call = {"model": scores, "loss": losses.squared, "optimizer": SGD, "x": X, "t": T, "steps": 3} | options
    with pytest.raises(NonFiniteError, match=said) as caught:
        cr.fit(**call)
    assert "may be huge" not in str(caught.value)  # they were just made


def test_a_layer_of_the_library_is_placed_at_the_users_own_line() -> None:
    model = nn.Sequential(nn.Linear(2, 3, seed=0), nn.ReLU(), nn.Linear(3, 1, seed=1)).astype("float64")
    for layer in (model[0], model[2]):
        layer.weight.value = np.full(layer.weight.shape, 1e200)
    for call in (cr.fit, cr.fit_data):
        with pytest.raises(NonFiniteError, match=r"'contract' .* at test_fit_bad_input.py:\d+ in Sequential.2"):
            call(model, losses.squared, SGD, X, T, steps=50)  # type: ignore[operator]


def test_a_run_that_diverged_is_not_gone_on_with() -> None:
    with pytest.raises(NonFiniteError, match=r"The parameters may be huge by now: .*model.initialize\(seed=0\)"):
        cr.fit(nn.Linear(2, 1, seed=0), losses.squared, optim.SGD(50.0), X, T, steps=1000)


def test_the_check_can_be_switched_off() -> None:
    model = nn.Linear(2, 1, seed=0)
    cr.fit(model, losses.squared, optim.SGD(50.0), X, T, steps=1000, check_finite=False)
    assert not np.isfinite(model.weight.value).all()


def test_targets_that_the_last_layer_cannot_reach_draw_a_warning() -> None:
    relu = nn.Sequential(nn.Linear(2, 1, seed=0), nn.ReLU())
    with pytest.warns(cr.UnreachableTargetWarning, match=r"target is -1: .* from 0 to inf") as caught:
        cr.fit(relu, losses.squared, SGD, X, T, steps=1)
    assert caught[0].filename == __file__
    cr.fit(nn.Sequential(nn.Linear(2, 1, seed=0), nn.Tanh()), losses.squared, SGD, X, T, steps=1)
    cr.fit(relu, losses.logistic, SGD, X, (T + 1) / 2, steps=1)
