"""SPEC row 22: on random graphs both modes and differences agree, for every parameter and every data input."""

from __future__ import annotations

import numpy as np
import pytest
from tests.engines import compiled
from tests.random_graphs import random_graph

import chainrule as cr
from chainrule.evaluate import Program

# Seeds that ever failed stay here.
REGRESSIONS: tuple[int, ...] = (278,)


def check(engine: str, seed: int) -> None:
    graph = random_graph(seed)
    leaves = [*graph.parameters, *graph.data]
    rng = np.random.default_rng(seed)
    directions = [rng.uniform(-1, 1, x.shape) for x in leaves]
    reverse = cr.gradient(graph.output, leaves)
    forward = [cr.tangent([graph.output], {x: d})[0] for x, d in zip(leaves, directions, strict=True)]
    outputs = [graph.output, *reverse, *forward]
    program = compiled(engine, leaves, outputs)
    point = [x.numpy() for x in leaves]
    found = program(*point)
    for y, wanted in zip(found, Program(leaves, outputs)(*point), strict=True):
        np.testing.assert_allclose(y, wanted, rtol=1e-10, atol=1e-12, err_msg=f"seed {seed}: {engine} and reference")
    gradients, along = found[1 : 1 + len(leaves)], found[1 + len(leaves) :]
    value = compiled(engine, leaves, [graph.output])
    h = 3e-4
    for i, (x, d) in enumerate(zip(leaves, directions, strict=True)):

        def at(step: float, i: int = i, d: np.ndarray = d) -> float:
            return float(value(*point[:i], point[i] + step * d, *point[i + 1 :])[0])

        difference = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
        scale = max(1e-3, float(np.abs(gradients[i] * d).sum()))
        name = f"seed {seed}: {x.name}"
        assert gradients[i].shape == x.shape, name
        assert abs((gradients[i] * d).sum() - along[i]) <= 1e-11 * scale, f"{name}: reverse and forward mode"
        assert abs(along[i] - difference) <= 1e-6 * scale, f"{name}: differences"


@pytest.mark.parametrize("seed", [*range(60), *REGRESSIONS])
def test_row_22_random_graphs(engine: str, seed: int) -> None:
    check(engine, seed)


@pytest.mark.slow
@pytest.mark.parametrize("hundred", range(10))
def test_row_22_a_thousand_random_graphs(engine: str, hundred: int) -> None:
    for seed in range(100 * hundred, 100 * hundred + 100):
        check(engine, seed)


def test_row_22_the_graphs_are_large_and_mixed() -> None:
    graphs = [random_graph(seed) for seed in range(60)]
    sizes = [graph.size for graph in graphs]
    assert max(sizes) > 150 and min(sizes) < 50
    assert max(sizes) <= 220
    assert len({x.shape for graph in graphs for x in [*graph.parameters, *graph.data]}) == 8
