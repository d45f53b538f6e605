"""Layers against PyTorch's, where the conventions are the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn

pytestmark = pytest.mark.peers

X = np.random.default_rng(0).normal(size=(6, 4)) * 3
G = np.random.default_rng(1).normal(size=(6, 4))


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch")


NAMES = ["ReLU", "LeakyReLU", "ELU", "GELU", "SiLU", "Softplus", "Tanh", "Sigmoid", "Softmax", "LogSoftmax"]


def assert_same(torch: Any, ours: Any, theirs: Any) -> None:
    """The same values, and the same gradient with respect to the data."""
    leaf, peer = cr.variable(X), torch.tensor(X, requires_grad=True)
    y, expected = ours(leaf), theirs(peer)
    (expected * torch.tensor(G)).sum().backward()
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(cr.gradient((y * G).sum(), [leaf])[0], peer.grad.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_activations(torch: Any, name: str) -> None:
    theirs = getattr(torch.nn, name)
    assert_same(torch, getattr(nn, name)(), theirs(dim=-1) if "Softmax" in name else theirs())


def test_linear(torch: Any) -> None:
    ours, theirs = nn.Linear(4, 4, seed=0, dtype="float64"), torch.nn.Linear(4, 4, dtype=torch.float64)
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(ours.weight.value.T.copy()))
        theirs.bias.copy_(torch.tensor(ours.bias.value.copy()))
    assert_same(torch, ours, theirs)


def test_layer_norm(torch: Any) -> None:
    assert_same(torch, nn.LayerNorm(4, dtype="float64"), torch.nn.LayerNorm(4, dtype=torch.float64))


def test_batch_norm_in_training_and_after(torch: Any) -> None:
    ours, theirs = nn.BatchNorm(4, dtype="float64"), torch.nn.BatchNorm1d(4, dtype=torch.float64)
    for _ in range(3):
        with nn.training():
            assert_same(torch, ours, theirs)
    np.testing.assert_allclose(ours.running_mean, theirs.running_mean.numpy(), rtol=1e-12)
    np.testing.assert_allclose(ours.running_var, theirs.running_var.numpy(), rtol=1e-12)
    assert_same(torch, ours, theirs.eval())


def test_embedding(torch: Any) -> None:
    ours = nn.Embedding(5, 3, seed=0)
    theirs = torch.nn.Embedding.from_pretrained(torch.tensor(ours.weight.value.copy()), freeze=False)
    found = cr.gradient((ours([1, 3, 1]) ** 2).sum(), [ours.weight])[0]
    (theirs(torch.tensor([1, 3, 1])) ** 2).sum().backward()
    np.testing.assert_allclose(found, theirs.weight.grad.numpy(), rtol=1e-6)
