"""Row 6: single-sample SGD on the hinge loss classifies as well as can be."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import losses, nn, optim


def check(seed: int, engine: str) -> None:
    x, t = cr.datasets.two_gaussians(1000, seed=seed)
    model = nn.Linear(2, 1, init=nn.initializers.zeros, dtype="float64")
    cr.fit(
        model, losses.hinge, optim.SGD(1e-3), x, t, steps=100_000, batch_size=1, record_every=10_000, seed=seed,
        engine=engine,
    )  # fmt: skip
    margins = t * (x @ model.weight.value + model.bias.value)
    assert (margins > 0).mean() >= 0.975
    assert np.maximum(0, 1 - margins).sum() <= 130


def test_row_06_one_seed(engine: str) -> None:
    check(0, engine)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_row_06_every_seed(seed: int, engine: str) -> None:
    check(seed, engine)
