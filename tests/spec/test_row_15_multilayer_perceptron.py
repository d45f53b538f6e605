"""Row 15: the MLP 2-5-5-1 learns from N(0, 1) weights by single-sample SGD, below what any linear model can reach."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import losses, nn, optim

LINEAR_OPTIMUM = 347


def network(seed: int) -> nn.Sequential:
    normal = nn.initializers.normal(1.0)
    layers = [
        nn.Linear(2, 5, init=normal),
        nn.ReLU(),
        nn.Linear(5, 5, init=normal),
        nn.ReLU(),
        nn.Linear(5, 1, init=normal),
    ]
    net = nn.Sequential(*layers).initialize(seed)
    for i, layer in enumerate(net[::2]):
        layer.bias.value = cr.random.normal(seed, layer.bias.shape, stream=i).numpy()
    return net


def train(seed: int, steps: int, engine: str) -> tuple[float, float]:
    """The final sum of squares, and the accuracy."""
    x, t = cr.datasets.two_gaussians(1000, seed=seed)
    net = network(seed)
    history = cr.fit(
        net,
        losses.squared,
        optim.SGD(1e-3),
        x,
        t,
        steps=steps,
        batch_size=1,
        record_every=100,
        seed=seed,
        engine=engine,
    )
    assert len(history.loss) == steps // 100
    y = net(x).numpy()
    np.testing.assert_allclose(((y - t) ** 2).mean(), history.final, rtol=1e-6)
    return float(((y - t) ** 2).sum()), float((np.sign(y) == t).mean())


def test_row_15_a_short_run_is_below_the_linear_optimum(engine: str) -> None:
    total, accuracy = train(0, 20_000, engine)
    assert total < LINEAR_OPTIMUM
    assert accuracy >= 0.975


@pytest.mark.slow
def test_row_15_ten_seeds(engine: str) -> None:
    totals, accuracies = zip(*(train(seed, 100_000, engine) for seed in range(10)), strict=True)
    assert 95 <= np.median(totals) <= 120, totals
    assert np.median(accuracies) >= 0.981, accuracies
    assert max(totals) < LINEAR_OPTIMUM, totals
