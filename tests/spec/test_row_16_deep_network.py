"""Row 16: in the MLP 2-10-100-30-10-1 every layer's weights move; an output that cannot reach its target is said so."""

from __future__ import annotations

import itertools

import pytest

import chainrule as cr
from chainrule import losses, nn, optim

SIZES = (2, 10, 100, 30, 10, 1)


def network() -> list[nn.Module]:
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(SIZES):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return layers


def test_row_16_every_layer_moves(engine: str) -> None:
    x, t = cr.datasets.two_gaussians(1000, seed=0)
    net = nn.Sequential(*network()[:-1]).initialize(0)
    before = net.state_dict()
    history = cr.fit(
        net, losses.squared, optim.SGD(1e-3), x, t, steps=3000, batch_size=1, record_every=500, engine=engine
    )
    for path, value in net.state_dict().items():
        assert abs(value - before[path]).max() > 1e-4, path
    assert history.final is not None
    assert history.final < 0.5 * history.loss[0]


def test_row_16_a_relu_output_against_minus_one_draws_a_warning(engine: str) -> None:
    x, t = cr.datasets.two_gaussians(100, seed=0)
    net = nn.Sequential(*network()).initialize(0)
    with pytest.warns(UserWarning, match="cannot reach it"):
        cr.fit(net, losses.squared, optim.SGD(1e-3), x, t, steps=1, engine=engine)
