"""Random training set-ups: both engines give the same run, and a run that was interrupted goes on to the bit."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.random_functions import laid_out

import chainrule as cr
from chainrule import losses, nn, optim
from chainrule.errors import NonFiniteError
from chainrule.optim import schedules

STEPS = 12
WIDTHS = [1, 2, 3, 5, 8, 15, 16, 17, 31, 33, 50, 64]


class Residual(nn.Module):
    """Shared weights, a norm and a skip."""

    def __init__(self, width: int, dtype: str):
        self.norm, self.inner = nn.LayerNorm(width, dtype=dtype), nn.Linear(width, width, seed=1, dtype=dtype)

    def forward(self, x: Any) -> Any:
        return x + cr.tanh(self.inner(cr.relu(self.inner(self.norm(x)))))


class Joined(nn.Module):
    """Two inputs: rows of numbers and of positions in a table."""

    def __init__(self, inputs: int, width: int, outputs: int, dtype: str):
        self.left = nn.Linear(inputs, width, seed=0, dtype=dtype)
        self.right = nn.Embedding(11, width, seed=1, dtype=dtype)
        self.out = nn.Linear(width, outputs, seed=2, dtype=dtype)

    def forward(self, x: Any, z: Any) -> Any:
        a, b = self.left(x), self.right(z).sum(1)
        return self.out(cr.maximum(cr.tanh(a), b) + cr.sigmoid(a) * b)


def own(y: Any, t: Any) -> Any:
    """A loss of the user's."""
    t = cr.reshape(t, y.shape).astype(y.dtype)
    return cr.log1p((y - t) ** 2).mean(1) + 0.01 * cr.abs(y).max(1)


LOSSES: dict[str, Callable[..., Any]] = {
    "squared": losses.squared, "absolute": losses.absolute, "huber": functools.partial(losses.huber, delta=0.4),
    "hinge": losses.hinge, "logistic": losses.logistic, "classes": losses.softmax_cross_entropy, "own": own,
}  # fmt: skip
RATES: list[Any] = [
    0.01, schedules.StepDecay(0.01, 3, 0.5), schedules.ExponentialDecay(0.01, 0.9, 2),
    schedules.Warmup(schedules.CosineDecay(0.01, 10), 5), schedules.Piecewise((2, 5), (0.01, 0.02, 0.003)),
]  # fmt: skip
RULES: list[Callable[[Any], optim.Optimizer]] = [
    optim.SGD, optim.Momentum, optim.Nesterov, lambda rate: optim.Adagrad(rate, eps=1e-3),
    lambda rate: optim.RMSProp(rate, eps=1e-3), lambda rate: optim.Adam(rate, eps=1e-3),
    lambda rate: optim.AdamW(rate, eps=1e-3),
]  # fmt: skip
CLIPS = [None, None, optim.ClipByValue(0.05), optim.ClipByNorm(0.3), optim.ClipByGlobalNorm(0.5)]
SETUPS = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["layers", "layers", "batch norm", "dropout", "residual", "joined"]),
        "widths": st.lists(st.sampled_from(WIDTHS), max_size=4),
        "inputs": st.sampled_from([1, 2, 5, 8, 17, 40]), "outputs": st.sampled_from([1, 1, 2, 3, 10]),
        "dtype": st.sampled_from(["float64", "float64", "float32"]),
        "kind": st.sampled_from(["float64", "float32", "int16", "bool", "uint8"]),
        "layout": st.sampled_from(["strided", "backwards", "unaligned", "swapped", "fortran"]),
        "loss": st.sampled_from(sorted(LOSSES)), "rule": st.sampled_from(RULES), "rate": st.sampled_from(RATES),
        "clip": st.sampled_from(CLIPS), "weighted": st.booleans(),
        "rows": st.sampled_from([2, 7, 33, 65, 130]), "batch": st.sampled_from([None, 1, 2, 7, 64]),
        "sampling": st.sampled_from(["replacement", "shuffle", "given"]), "every": st.sampled_from([None, 0, 1, 5]),
        "record_on": st.sampled_from([{}, {"a": slice(None, None, -2)}, {"a": [0, -1, 0]}]),
        "metric": st.booleans(), "moved": st.booleans(), "seed": st.integers(0, 1000),
    }
)  # fmt: skip


def network(made: dict[str, Any], outputs: int) -> nn.Module:
    dtype, size = made["dtype"], made["inputs"]
    if made["model"] == "joined":
        return Joined(size, [*made["widths"], 8][0], outputs, dtype)
    layers: list[Any] = []
    for i, width in enumerate(made["widths"]):
        layers.append(nn.Linear(size, width, seed=i, dtype=dtype))
        more = {"batch norm": nn.BatchNorm(width, dtype=dtype), "dropout": nn.Dropout(0.3),
                "residual": Residual(width, dtype)}  # fmt: skip
        layers += [more.get(made["model"], nn.Identity()), [nn.Tanh(), nn.ReLU(), nn.GELU()][i % 3]]
        size = width
    return nn.Sequential(*layers, nn.Linear(size, outputs, seed=9, dtype=dtype))


def data(made: dict[str, Any], outputs: int) -> tuple[Any, Any]:
    rng, rows, kind = np.random.default_rng(made["seed"]), made["rows"], made["kind"]
    numbers = np.asarray(rng.standard_normal((rows, made["inputs"])))
    kind = made["dtype"] if made["moved"] else kind
    numbers = numbers.astype(kind) if np.dtype(kind).kind == "f" else rng.integers(0, 2, numbers.shape).astype(kind)
    x: Any = laid_out(numbers, made["layout"])
    if made["model"] == "joined":
        x = (x, laid_out(rng.integers(0, 11, (rows, 3)), made["layout"]))
    t: Any = rng.standard_normal((rows, outputs))
    t = {"hinge": np.sign(t), "logistic": (t > 0).astype("int8"), "classes": rng.integers(0, outputs, rows)}.get(
        made["loss"], t
    )
    return x, laid_out(t, made["layout"])


class Setup:
    """One set-up, run as often as wanted: whole, or some of its steps."""

    def __init__(self, made: dict[str, Any]):
        self.made, self.moved = made, made["moved"] and made["model"] != "joined"
        made["moved"] = self.moved
        if made["model"] == "batch norm":  # two rows in float32: a column's spread may be rounding alone
            made |= {"dtype": "float64", "kind": "float64"}
        outputs = max(made["outputs"], 2) if made["loss"] == "classes" else made["outputs"]
        self.network = functools.partial(network, made, outputs)
        self.x, self.t = data(made, outputs)
        rows, batch = made["rows"], min(made["batch"] or made["rows"], made["rows"])
        batch = max(batch, 2) if made["model"] == "batch norm" else batch
        self.options: dict[str, Any] = {
            "record_every": made["every"],
            "record_on": made["record_on"],
            "progress": False,
        }
        self.options |= {"seed": made["seed"], "clip": made["clip"], "batch_size": batch if made["batch"] else None}
        if made["sampling"] == "given":
            self.options["sampling"] = np.random.default_rng(1).integers(0, rows, (STEPS, batch))
            self.options["batch_size"] = batch
        elif made["batch"]:
            self.options["sampling"] = made["sampling"]
        if made["weighted"]:
            self.options["sample_weight"] = np.random.default_rng(2).random(rows) + 0.1
        if made["metric"]:
            self.options["metrics"] = {"size": lambda y, t: cr.abs(y).mean(1)}

    def run(
        self, engine: str, steps: int, model: Any = None, x: Any = None, **more: Any
    ) -> tuple[nn.Module, cr.History]:
        model = self.network() if model is None else model
        rule = self.made["rule"](self.made["rate"])
        call: Any = cr.fit_data if self.moved else cr.fit
        x, options = self.x if x is None else x, self.options | more
        return model, call(model, LOSSES[self.made["loss"]], rule, x, self.t, steps=steps, engine=engine, **options)


def values(model: nn.Module, history: cr.History) -> dict[str, np.ndarray]:
    """All that a run leaves behind, by name."""
    assert history.state is not None
    found = model.state_dict() | {f"state {k}": v for k, v in history.state.arrays.items()}
    found |= {f"record {k}": v for k, v in history.records.items()} | {"steps": history.steps}
    found |= {f"metric {k}": v for sets in history.metrics.values() for k, v in sets.items()}
    last = [] if history.final is None else [history.final]
    counted = [] if history.updates is None else [history.updates]
    moved = {} if history.data is None else {"data": history.data}
    return found | moved | {"final": np.array(last), "updates": np.array(counted)}


def check_engines(made: dict[str, Any]) -> None:
    setup = Setup(made)
    try:
        compiled, reference = (values(*setup.run(engine, STEPS)) for engine in ("compiled", "reference"))
    except NonFiniteError:
        return
    single = "float32" in (made["dtype"], made["kind"])
    tolerance = 1e-2 if single else 1e-7
    assert list(compiled) == list(reference)
    for name, wanted in reference.items():
        found, size = compiled[name], float(np.abs(wanted).max(initial=1e-2))
        assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype), name
        np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance * size, err_msg=name)


def check_resumed(made: dict[str, Any], engine: str) -> None:
    setup = Setup(made)
    try:
        whole = values(*setup.run(engine, STEPS))
    except NonFiniteError:
        return
    model, part = setup.run(engine, 5)
    model, rest = setup.run(engine, STEPS - 5, model, part.data if setup.moved else None, resume=part)
    for name, found in values(model, rest).items():
        first = values(model, part).get(name)
        joined = first is not None and name.startswith(("record", "metric", "steps"))
        if name == "updates" and found.size:
            found = found + first
        if setup.made["every"] is None and (joined or name == "final"):
            continue  # how often is then chosen by the number of steps
        np.testing.assert_array_equal(np.concatenate([first, found]) if joined else found, whole[name], err_msg=name)  # type: ignore[list-item]


@settings(max_examples=8)
@given(made=SETUPS)
def test_both_engines_train_the_same(made: dict[str, Any]) -> None:
    check_engines(made)


@pytest.mark.slow
@settings(max_examples=100)
@given(made=SETUPS)
def test_both_engines_train_the_same_in_many_set_ups(made: dict[str, Any]) -> None:
    check_engines(made)


@pytest.mark.slow
@settings(max_examples=40)
@given(made=SETUPS, engine=st.sampled_from(["compiled", "reference"]))
def test_a_run_in_two_parts_is_the_whole_one_to_the_bit(made: dict[str, Any], engine: str) -> None:
    check_resumed(made, engine)
