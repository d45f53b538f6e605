"""Row 12: with the classifier held fixed, the data move until every margin is 1, and no farther."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import losses, nn, optim

RATE = 0.05


def check(count: int, steps: int, engine: str) -> None:
    x, t = cr.datasets.two_gaussians(count, seed=0)
    model = nn.Linear(2, 1, init=nn.initializers.zeros, dtype="float64")
    cr.fit(model, losses.hinge, optim.SGD(1e-3), x, t, steps=min(steps, 100_000), batch_size=1, engine=engine,
           record_every=0)  # fmt: skip
    w, b = model.weight.value[:, 0].copy(), model.bias.value.copy()
    before = t[:, 0] * (x @ w + b)
    short = before < 1
    assert short.any()
    assert not short.all()

    history = cr.fit_data(model, losses.hinge, optim.SGD(RATE), x, t, steps=steps, seed=0, engine=engine)
    moved = history.data
    assert moved is not None
    after = t[:, 0] * (moved @ w + b)
    stride = RATE * (w @ w)

    assert history.final == 0.0
    assert np.maximum(0, 1 - after).sum() == 0.0
    assert (np.sign(moved @ w + b) == t[:, 0]).mean() == 1.0
    np.testing.assert_array_equal(moved[~short], x[~short])
    shift = moved - x
    assert np.abs(shift[:, 0] * w[1] - shift[:, 1] * w[0]).max() <= 1e-12
    assert (after[short] >= 1).all()
    assert (after[short] < 1 + stride).all()
    assert history.updates == np.ceil((1 - before[short]) / stride).sum()
    np.testing.assert_array_equal(model.weight.value[:, 0], w)


def test_row_12_fewer_rows(engine: str) -> None:
    check(60, 40_000, engine)


@pytest.mark.slow
def test_row_12_all_rows(engine: str) -> None:
    check(1000, 500_000, engine)
