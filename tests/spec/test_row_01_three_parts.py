"""Row 1: model, loss and optimizer are independent; parameters and data are optimized by the same three lines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import losses, nn, optim


class Split(nn.Module):
    """A graph with a split and a join."""

    def __init__(self) -> None:
        self.left, self.right, self.out = nn.Linear(2, 4), nn.Linear(2, 4), nn.Linear(4, 1)

    def forward(self, x: Any) -> Any:
        return self.out(cr.relu(self.left(x)) + self.right(x))


MODELS = {
    "linear": lambda: nn.Linear(2, 1),
    "MLP": lambda: nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 1)),
    "DAG": Split,
}


@pytest.mark.parametrize("model_name", MODELS)
@pytest.mark.parametrize("loss", [losses.squared, losses.hinge])
@pytest.mark.parametrize("moved", ["parameters", "data"])
def test_row_01_every_combination_runs_from_the_same_lines(model_name: str, loss: Any, moved: str, engine: str) -> None:
    x, t = cr.datasets.two_gaussians(50, seed=0)
    model = MODELS[model_name]().initialize(seed=1)
    fit = cr.fit if moved == "parameters" else cr.fit_data
    before = model.state_dict()
    history = fit(model, loss, optim.SGD(0.01), x, t, steps=3000, batch_size=1, seed=0, engine=engine)
    assert history.final is not None
    assert history.final < 0.9 * history.loss[0]
    changed = [path for path, value in model.state_dict().items() if (value != before[path]).any()]
    assert bool(changed) == (moved == "parameters")
    assert (history.data is not None) == (moved == "data")
    np.testing.assert_array_equal(x, cr.datasets.two_gaussians(50, seed=0)[0])
