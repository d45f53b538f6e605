"""Threads share large kernels, in pieces that do not depend on how many threads there are."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import losses, nn, optim
from chainrule.compiler import blas
from chainrule.compiler.kernels import Kernel, Product
from chainrule.compiler.merge import merged
from chainrule.compiler.schedule import schedule
from chainrule.compiler.sharing import is_shared

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def small_kernels_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs that no other test compiles, so that no code made with the usual limit is found for them."""
    monkeypatch.setattr("chainrule.compiler.sharing.LEAST_WORK", 2**18)


def digits_like(rows: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    return RNG.normal(size=(rows, width)).astype(np.float32), RNG.integers(0, 7, rows)


def trained(threads: int, monkeypatch: pytest.MonkeyPatch, data: tuple[np.ndarray, np.ndarray]) -> list[bytes]:
    """Every bit of what a fit leaves, with so many threads."""
    monkeypatch.setenv("CHAINRULE_THREADS", str(threads))
    net = nn.Sequential(nn.Linear(211, 130), nn.ReLU(), nn.Linear(130, 75), nn.Tanh(), nn.Linear(75, 7)).initialize(0)
    history = cr.fit(
        net, losses.softmax_cross_entropy, optim.Adam(1e-3), *data, steps=12, batch_size=100, record_every=4,
        engine="compiled",
    )  # fmt: skip
    assert "@meet" in history.compiled.llvm()
    return [history.loss.tobytes(), *(value.tobytes() for value in net.state_dict().values())]


def test_the_same_bits_with_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    data = digits_like(310, 211)
    alone = trained(1, monkeypatch, data)
    for threads in (2, 3, 4, 2):
        assert trained(threads, monkeypatch, data) == alone


@pytest.mark.parametrize("rows", [32, 33, 47, 64, 100, 129])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_row_is_computed(rows: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_THREADS", str(threads))
    x, w = RNG.normal(size=(rows, 120)), RNG.normal(size=(120, 110))
    layer = cr.compile(lambda x, w: cr.tanh(x @ w) + 1.0)
    np.testing.assert_allclose(layer(x, w), np.tanh(x @ w) + 1.0, rtol=1e-12, atol=1e-12)
    assert "@meet" in layer.llvm()
    assert layer.report().threads == threads


@pytest.mark.parametrize("shape", [(130, 300, 500), (64, 400, 300)])
def test_products_by_blas_are_cut_into_pieces(shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("scipy")
    monkeypatch.setattr(blas, "LEAST", 0)
    m, k, n = shape
    a, b = RNG.normal(size=(k, m)), RNG.normal(size=(n, k))
    product = cr.compile(lambda a, b: a.T @ b.T)
    found = []
    for threads in (1, 2, 4):
        monkeypatch.setenv("CHAINRULE_THREADS", str(threads))
        found.append(product(a, b).numpy())
        np.testing.assert_allclose(found[-1], a.T @ b.T, rtol=1e-10)
    assert "gemm" in product.llvm()
    assert found[0].tobytes() == found[1].tobytes() == found[2].tobytes()


def test_small_kernels_and_those_in_order_are_not_shared() -> None:
    x, w = cr.Input((64, 64), name="x"), cr.Input((64, 64), name="w")

    def kernels(y: cr.Tensor) -> list[Kernel | Product]:
        return merged(schedule([x, w], [y]).kernels)

    assert not any(map(is_shared, kernels(x + w)))
    assert all(map(is_shared, kernels(x @ w)))
    large = cr.Input((500, 500), name="large")
    assert any(map(is_shared, merged(schedule([large], [cr.exp(large) * 2]).kernels)))
    assert not any(map(is_shared, merged(schedule([large], [cr.cumsum(large, 0)]).kernels)))


def test_nothing_is_shared_where_all_is_small() -> None:
    net = nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 1))
    x, t = cr.datasets.two_gaussians(50, seed=0)
    history = cr.fit(net, losses.squared, optim.SGD(1e-3), x, t, steps=20, batch_size=1, engine="compiled")
    assert "@meet" not in history.compiled.llvm()
