"""The canonical data is the SPEC's, and every set has the shapes and classes it says."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest

from chainrule.data import datasets
from chainrule.errors import MissingExtraError, OptionError

TOYS = [datasets.two_gaussians, datasets.xor, datasets.circles, datasets.moons, datasets.spirals]


@pytest.mark.parametrize("seed", range(3))
def test_two_gaussians_is_the_canonical_data(seed: int) -> None:
    rng = np.random.RandomState(seed)
    x, t = datasets.two_gaussians(1000, seed=seed)
    assert np.array_equal(x, np.vstack((rng.randn(1000, 2), rng.randn(1000, 2) + 3)))
    assert np.array_equal(t, np.vstack((-np.ones((1000, 1)), np.ones((1000, 1)))))
    assert x.dtype == t.dtype == np.float64


def test_the_best_accuracy_on_two_gaussians_is_the_specs() -> None:
    x, t = datasets.two_gaussians(200_000, seed=0)
    assert (np.sign(x.sum(axis=1) - 3) == t[:, 0]).mean() == pytest.approx(0.98305, abs=1e-3)


@pytest.mark.parametrize("make", TOYS)
def test_toys_are_drawn_from_their_seed(make: Callable[..., tuple[np.ndarray, np.ndarray]]) -> None:
    x, t = make(50, seed=1)
    assert (x.shape, t.shape) == ((100, 2), (100, 1))
    assert t[:, 0].tolist() == [-1.0] * 50 + [1.0] * 50
    assert np.array_equal(make(50, seed=1)[0], x)
    assert not np.array_equal(make(50, seed=2)[0], x)
    with pytest.raises(OptionError, match="n = 0"):
        make(0)


def test_toys_without_noise_lie_where_their_formula_says() -> None:
    x, t = datasets.xor(40, noise=0)
    assert np.array_equal(-x[:, :1] * x[:, 1:], t)
    x, t = datasets.circles(40, noise=0)
    assert np.allclose(np.hypot(*x.T), np.where(t[:, 0] < 0, 0.5, 1.0))
    x, t = datasets.moons(40, noise=0)
    assert np.allclose(np.hypot(*x[:40].T), 1)
    assert (x[:40, 1] >= 0).all()
    assert np.allclose(np.hypot(*(x[40:] - [1, 0.5]).T), 1)
    assert (x[40:, 1] <= 0.5).all()
    x, t = datasets.spirals(40, noise=0, turns=1)
    radius = np.hypot(*x.T)
    turn = np.exp(2j * np.pi * radius) * -t[:, 0]  # the second arm is half a turn on
    assert np.allclose(x[:, 0] + 1j * x[:, 1], radius * turn)


REAL = [("breast_cancer", 569, 30, 2), ("digits", 1797, 64, 10), ("wine", 178, 13, 3), ("iris", 150, 4, 3)]


@pytest.mark.parametrize(("name", "rows", "features", "classes"), REAL)
def test_real_classes(name: str, rows: int, features: int, classes: int) -> None:
    pytest.importorskip("sklearn")
    data = getattr(datasets, name)()
    x, t = data
    assert (x.shape, t.shape, x.dtype, t.dtype) == ((rows, features), (rows,), "float64", "int64")
    assert set(t) == set(range(classes))
    assert (len(data.feature_names), len(data.target_names)) == (features, classes)
    assert str(x.shape) in repr(data)


def test_diabetes_is_a_regression() -> None:
    pytest.importorskip("sklearn")
    data = datasets.diabetes()
    assert (data.x.shape, data.t.shape, data.target_names) == ((442, 10), (442, 1), ())
    assert (data.t.min(), data.t.max()) == (25, 346)


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtraError, match=r"datasets\.iris\(\).*chainrule\[sklearn\]"):
        datasets.iris()
