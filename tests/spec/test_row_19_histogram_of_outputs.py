"""SPEC row 19: a plot and its counts; for row 15 two modes near -1 and +1."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import chainrule as cr
from chainrule import losses, nn, optim


def test_row_19_the_counts_are_those_of_the_outputs() -> None:
    x = np.array([[-2.0], [-1.0], [0.5], [0.6], [3.0]])
    t = np.array([-1, -1, 1, 1, 1])
    found = cr.plot.output_histogram(lambda rows: cr.as_tensor(rows) * 2, x, t, bins=[-4, -1, 2, 6.5])
    assert {name: count.tolist() for name, count in found.counts.items()} == {"t = -1": [2, 0, 0], "t = 1": [0, 2, 1]}
    assert found.total.tolist() == [2, 2, 1] and found.edges.tolist() == [-4, -1, 2, 6.5]
    outlines = [patch.get_data() for patch in found.axes.patches]
    assert any((data.values == [0, 2, 1]).all() and (data.edges == found.edges).all() for data in outlines)


def test_row_19_two_modes_near_the_targets(engine: str, tmp_path: Path) -> None:
    x, t = cr.datasets.two_gaussians(1000, seed=0)
    normal = nn.initializers.normal(1.0)
    make = [nn.Linear(a, b, init=normal, init_bias=normal, seed=s) for s, (a, b) in enumerate([(2, 5), (5, 5), (5, 1)])]
    net = nn.Sequential(make[0], nn.ReLU(), make[1], nn.ReLU(), make[2])
    cr.fit(net, losses.squared, optim.SGD(1e-3), x, t, steps=30_000, batch_size=1, seed=0, engine=engine)
    found = cr.plot.output_histogram(net, x, t, path=tmp_path / "outputs.png")
    assert found.total.sum() == 2000
    centers = (found.edges[1:] + found.edges[:-1]) / 2
    for target in (-1, 1):
        side = np.where(np.sign(centers) == target, found.total, 0)
        assert abs(centers[side.argmax()] - target) < 0.25
        near = found.total[np.abs(centers - target) < 0.5].sum()
        assert near > 800, "most rows of a class are near its target"
    assert found.total[np.abs(centers) < 0.25].sum() < 150, "few are in between"
