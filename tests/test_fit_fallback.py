"""A step without machine code: `fit` says which node and why, and runs on the reference only if it is asked to."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import losses, nn, optim
from chainrule.errors import CompileError
from chainrule.primitive import REGISTRY, smooth

X = np.random.default_rng(0).standard_normal((20, 2))
T = X[:, :1]


@pytest.fixture
def cube() -> Iterator[Any]:
    """An operation whose value is not said in NumPy's functions."""
    yield smooth("cube", np.vectorize(lambda x: float(x) ** 3, otypes=[np.float64]), lambda y, x: 3 * x * x)
    del REGISTRY["cube"]


def model() -> nn.Linear:
    return nn.Linear(2, 1, seed=0, dtype="float64")


def train(net: Any, loss: Any, **options: Any) -> cr.History:
    return cr.fit(net, loss, optim.SGD(0.01), X, T, steps=20, batch_size=2, record_every=6, **options)


def test_the_node_is_named_and_nothing_is_changed(cube: Any) -> None:
    net = model()
    before = net.weight.value
    with pytest.raises(CompileError, match=r"'cube' \(.*test_fit_fallback.py:\d+.*no machine code") as caught:
        train(net, lambda y, t: losses.squared(cube(y), t))
    assert "fallback=True" in str(caught.value)
    assert net.weight.value.tobytes() == before.tobytes()


@pytest.mark.parametrize("options", [{}, {"verify": True}, {"callbacks": lambda progress: None}], ids=str)
def test_the_whole_run_is_on_the_reference_with_one_warning(cube: Any, options: dict[str, Any]) -> None:
    def loss(y: Any, t: Any) -> Any:
        return losses.squared(cube(y), t)

    net, other = model(), model()
    for _ in range(2):
        with pytest.warns(cr.FallbackWarning, match="'cube'.*The whole run is on the reference") as seen:
            history = train(net, loss, fallback=True, **options)
        assert [warning.filename for warning in seen] == [__file__]
        assert history.compiled is None
        expected = train(other, loss, engine="reference")
        assert history.loss.tobytes() == expected.loss.tobytes()
        assert net.weight.value.tobytes() == other.weight.value.tobytes()


def test_the_data_are_moved_on_the_reference(cube: Any) -> None:
    def move(**options: Any) -> cr.History:
        return cr.fit_data(lambda x: cube(model()(x)), losses.squared, optim.SGD(0.01), X, T, steps=20, **options)

    with pytest.raises(CompileError, match="cube"):
        move()
    with pytest.warns(cr.FallbackWarning, match="cube") as seen:
        history = move(fallback=True)
    assert [warning.filename for warning in seen] == [__file__]
    assert history.data.tobytes() == move(engine="reference").data.tobytes()


def test_a_step_that_compiles_is_compiled_without_a_word() -> None:
    net, other = model(), model()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = train(net, losses.squared, fallback=True)
    assert history.compiled is not None
    assert history.loss.tobytes() == train(other, losses.squared).loss.tobytes()


def test_only_what_is_evaluated_besides_cannot_be_compiled(cube: Any) -> None:
    """The loss takes another way in evaluation: in one piece with the step, or (with metrics) by itself."""

    def loss(y: Any, t: Any) -> Any:
        return losses.squared(y if y.shape[0] == 2 else cube(y), t)

    metrics = {"distance": lambda y, t: abs(y - t)[:, 0]}
    expected = train(model(), loss, engine="reference", metrics=metrics)
    for given in ({}, metrics):
        with pytest.warns(cr.FallbackWarning, match="cube") as seen:
            history = train(model(), loss, fallback=True, metrics=given)
        assert {warning.category for warning in seen} == {cr.FallbackWarning}
        np.testing.assert_allclose(history.loss, expected.loss, rtol=1e-12)


WITHOUT_LLVMLITE = """
    import sys
    sys.modules["llvmlite"] = None
    import warnings
    import numpy as np
    import chainrule as cr
    from chainrule import losses, nn, optim

    net = nn.Linear(2, 1, seed=0)
    x, t = cr.datasets.two_gaussians(50, seed=0)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        history = cr.fit(
            net, losses.squared, optim.SGD(1e-3), x, t, steps=50, record_every=10, engine="compiled", fallback=True
        )
    assert history.final < history.loss[0]
    assert [w.category for w in seen] == [cr.FallbackWarning], seen
    assert "llvmlite" in str(seen[0].message)
"""


def test_without_llvmlite() -> None:
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(WITHOUT_LLVMLITE)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
