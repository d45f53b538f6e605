"""Clipping: norms from NumPy, and what is below the limit stays as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import optim
from chainrule.errors import OptionError

A, B = np.array([[3.0, -4.0]]), np.array([0.3, 12.0, 0.0])
NORM = np.sqrt((A**2).sum() + (B**2).sum())


def clipped(clip: Any, *gradients: np.ndarray) -> list[np.ndarray]:
    return [np.asarray(g) for g in clip([cr.as_tensor(g) for g in gradients])]


def test_by_value() -> None:
    a, b = clipped(optim.ClipByValue(2.0), A, B)
    np.testing.assert_array_equal(a, [[2, -2]])
    np.testing.assert_array_equal(b, [0.3, 2, 0])


def test_by_norm_looks_at_each_gradient() -> None:
    a, b = clipped(optim.ClipByNorm(6.0), A, B)
    np.testing.assert_array_equal(a, A)
    np.testing.assert_allclose(b, B * 6 / np.linalg.norm(B), rtol=1e-14)


def test_by_global_norm_keeps_the_direction_of_all_together() -> None:
    a, b = clipped(optim.ClipByGlobalNorm(6.0), A, B)
    np.testing.assert_allclose(a, A * 6 / NORM, rtol=1e-14)
    np.testing.assert_allclose(b, B * 6 / NORM, rtol=1e-14)
    np.testing.assert_array_equal(clipped(optim.ClipByGlobalNorm(100.0), A, B)[1], B)


CLIPS = [optim.ClipByValue, optim.ClipByNorm, optim.ClipByGlobalNorm]


@pytest.mark.parametrize("clip", CLIPS)
def test_zeros_stay_and_nan_is_not_hidden(clip: Any) -> None:
    np.testing.assert_array_equal(clipped(clip(1.0), 0 * B)[0], 0 * B)
    assert np.isnan(clipped(clip(1.0), np.array([np.nan, 1.0]))[0]).any()


@pytest.mark.parametrize("clip", CLIPS)
def test_dtypes_are_kept_where_they_differ(clip: Any) -> None:
    a, b = clipped(clip(1.0), A.astype("float32"), B)
    assert (a.dtype, b.dtype) == (np.float32, np.float64)


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("limit", [0.0, -1.0, np.nan, np.inf])
def test_a_limit_is_positive_and_finite(clip: Any, limit: float) -> None:
    with pytest.raises(OptionError, match=rf"{clip.__name__}: limit = {limit}: it is a number, more than 0"):
        clip(limit)


@pytest.mark.peers
def test_pytorch_clips_alike() -> None:
    torch = pytest.importorskip("torch")
    leaves = [torch.zeros(g.shape, dtype=torch.float64, requires_grad=True) for g in (A, B)]
    for leaf, g in zip(leaves, (A, B), strict=True):
        leaf.grad = torch.tensor(g)
    torch.nn.utils.clip_grad_norm_(leaves, 6.0)
    for leaf, g in zip(leaves, clipped(optim.ClipByGlobalNorm(6.0), A, B), strict=True):
        np.testing.assert_allclose(g, leaf.grad.numpy(), rtol=1e-6)  # it adds 1e-6 to the norm
