"""`verify=True` names the first operation whose machine code differs, and is silent about rounding."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from tests.compiler.graphs import random_graph

import chainrule as cr
from chainrule import losses, nn, optim
from chainrule.compiler import runtime
from chainrule.compiler.recent import Recent
from chainrule.primitive import REGISTRY
from chainrule.verify import Verifier


@contextmanager
def planted(name: str, factor: float) -> Iterator[None]:
    """The formula of a primitive, off by a factor."""
    primitive = REGISTRY[name]
    right: Any = primitive.lower
    wrong = lambda operands, index, **attrs: right(operands, index, **attrs) * factor
    code, runtime._CODE = runtime._CODE, Recent(64)  # what is kept was made by the right formula, and stays so
    object.__setattr__(primitive, "lower", wrong)
    try:
        yield
    finally:
        object.__setattr__(primitive, "lower", right)
        runtime._CODE = code


@pytest.mark.parametrize("name", ["tanh", "contract", "sum", "exp", "multiply"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_wrong_formula_is_named_with_its_line(name: str, dtype: str) -> None:
    def f(x: Any, w: Any) -> Any:
        return (cr.exp(cr.tanh(x @ w)) * x).sum(axis=0)

    args = [np.random.default_rng(k).standard_normal((9, 9)).astype(dtype) for k in range(2)]
    cr.compile(f, verify=True)(*args)
    with planted(name, 1.001), pytest.raises(cr.errors.VerificationError, match=rf"'{name}' \(.*test_verify.py:\d+"):
        cr.compile(lambda x, w: f(x, w), verify=True)(*args)


@pytest.mark.parametrize("seed", range(20))
def test_rounding_is_no_difference(seed: int) -> None:
    inputs, outputs = random_graph(seed)
    verifier = Verifier(inputs, outputs)
    for scale in (1e-3, 1.0, 1e3):
        verifier.check(list(scale * np.random.default_rng(seed).standard_normal((2, 5, 5))))


def test_infinities_and_nan_may_agree() -> None:
    x = np.array([0.0, -1.0, np.inf, np.nan, 1e308])
    cr.compile(lambda x: (cr.log(x), 1 / x, x * 10, cr.exp(x), cr.maximum(x, 0.0)), verify=True)(x)


@pytest.mark.parametrize("optimizer", [optim.SGD(1e-3), optim.Adam(1e-3)])
def test_fit_compares_its_first_step_before_it_changes_anything(optimizer: Any) -> None:
    x, t = cr.datasets.two_gaussians(100, seed=0)
    net = nn.Sequential(nn.Linear(2, 9, seed=0), nn.Tanh(), nn.Linear(9, 1, seed=1))
    before = net.state_dict()
    with planted("tanh", 1.001), pytest.raises(cr.errors.VerificationError, match="'tanh'"):
        cr.fit(net, losses.squared, optimizer, x, t, steps=10, batch_size=5, engine="compiled", verify=True)
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    history = cr.fit(net, losses.squared, optimizer, x, t, steps=10, batch_size=5, engine="compiled", verify=True)
    assert history.compiled.report().kernels > 1
    assert "0.weight'" in history.compiled.loops()


def test_fit_data_compares_too() -> None:
    x, t = cr.datasets.two_gaussians(100, seed=0)
    net = nn.Sequential(nn.Linear(2, 9, seed=0), nn.Tanh(), nn.Linear(9, 1, seed=1))
    with planted("tanh", 1.001), pytest.raises(cr.errors.VerificationError, match="'tanh'"):
        cr.fit_data(net, losses.squared, optim.SGD(0.1), x, t, steps=10, engine="compiled", verify=True)


def test_a_fault_of_the_fusion_alone_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    x = cr.Input((20,), name="x")
    verifier = Verifier([x], [(cr.exp(x) * 2 + 1).named("y")])
    right = verifier._fused
    monkeypatch.setattr(verifier, "_fused", lambda *arrays: [right(*arrays)[0] + 1])
    with pytest.raises(cr.errors.VerificationError, match=r"'y'.*fused"):
        verifier.check([np.ones(20)])


@pytest.mark.parametrize("seed", range(5))
def test_what_was_a_float32_is_no_more_exact_as_a_float64(seed: int) -> None:
    """A float32 model and float64 targets, as most have them."""
    rng = np.random.default_rng(seed)
    x, t = rng.normal(size=(7, 16)).astype("float32"), rng.normal(size=(7, 5))
    net = nn.Sequential(nn.Linear(16, 17, seed=0), nn.Tanh(), nn.Linear(17, 5, seed=1))
    cr.fit(net, losses.squared, optim.SGD(0.01), x, t, steps=2, engine="compiled", verify=True)
    with planted("tanh", 1.01), pytest.raises(cr.errors.VerificationError, match="'tanh'"):
        cr.fit(net, losses.squared, optim.SGD(0.01), x, t, steps=2, engine="compiled", verify=True)
