"""Row 7: the loss over all rows is recorded at step 0 and every k steps, and over any subset."""

from __future__ import annotations

import math

import numpy as np
import pytest

import chainrule as cr
from chainrule import losses, nn, optim


@pytest.mark.parametrize(("steps", "every"), [(100, 10), (101, 10), (109, 10), (110, 10), (7, 100), (5, 1)])
def test_row_07_length_and_values(steps: int, every: int, engine: str) -> None:
    x, t = cr.datasets.two_gaussians(50, seed=0)

    def train(count: int) -> tuple[nn.Linear, cr.History]:
        model = nn.Linear(2, 1, seed=0, dtype="float64")
        history = cr.fit(
            model, losses.squared, optim.SGD(1e-3), x, t, steps=count, batch_size=1, record_every=every, seed=0,
            record_on={"second class": slice(50, None), "every third": np.arange(0, 100, 3), "positive": x[:, 0] > 0},
            engine=engine,
        )  # fmt: skip
        return model, history

    _, history = train(steps)
    assert len(history.loss) == math.ceil(steps / every)
    assert history.steps.tolist() == list(range(0, steps, every))
    for i, step in enumerate(history.steps):
        model = train(int(step))[0] if step else nn.Linear(2, 1, seed=0, dtype="float64")
        error = (x @ model.weight.value + model.bias.value - t)[:, 0] ** 2
        np.testing.assert_allclose(history.loss[i], error.mean(), rtol=1e-12)
        np.testing.assert_allclose(history.records["second class"][i], error[50:].mean(), rtol=1e-12)
        np.testing.assert_allclose(history.records["every third"][i], error[::3].mean(), rtol=1e-12)
        np.testing.assert_allclose(history.records["positive"][i], error[x[:, 0] > 0].mean(), rtol=1e-12)
