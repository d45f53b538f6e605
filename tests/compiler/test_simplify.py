"""Equal operations are computed once: which are equal, and that the numbers stay the same."""

from __future__ import annotations

import numpy as np
import pytest
from tests.compiler.graphs import random_graph

import chainrule as cr
from chainrule import losses, nn, optim
from chainrule.compiler import CompiledProgram
from chainrule.compiler.simplify import without_repeats
from chainrule.evaluate import Program
from chainrule.graph import walk


def count(outputs: list[cr.Tensor], name: str) -> int:
    """How many operations of this name are left."""
    made = without_repeats(outputs)
    return sum(node.primitive is not None and node.primitive.name == name for node in walk([made[y] for y in outputs]))


def test_the_same_operation_on_the_same_inputs_is_one() -> None:
    x = cr.Input((3,), name="x")
    assert count([cr.exp(x) + 1, cr.exp(x) * 2, cr.exp(x + 0.5), cr.exp(x + 0.5)], "exp") == 2


def test_other_attributes_numbers_and_names_are_others() -> None:
    x = cr.Input((3, 3), name="x")
    assert count([x.sum(axis=0), x.sum(axis=1)], "sum") == 2
    assert count([x * 0.0, x * -0.0], "multiply") == 2
    assert count([cr.exp(x).named("a"), cr.exp(x).named("b")], "alias") == 2
    assert count([cr.exp(x).named("a"), cr.exp(x).named("b")], "exp") == 1


def test_what_is_kept_stands_for_itself() -> None:
    x = cr.Input((3,), name="x")
    one, two = cr.exp(x), cr.exp(x)
    made = without_repeats([one, two], {one, two})
    assert made[one] is one and made[two] is two
    made = without_repeats([one, two])
    assert made[one] is made[two]


def test_random_numbers_of_different_streams_stay_different() -> None:
    model = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.5))
    x = np.ones((64, 8))
    found = []
    for engine in ("reference", "compiled"):
        net = nn.Sequential(nn.Linear(8, 1, dtype="float64", seed=0))
        whole = nn.Sequential(*model, *net)
        cr.fit(whole, losses.squared, optim.SGD(0.1), x, np.ones((64, 1)), steps=5, batch_size=16, engine=engine)
        found.append(net.state_dict()["0.weight"])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_a_graph_and_its_copy_agree_with_the_reference(seed: int) -> None:
    inputs, outputs = random_graph(seed)
    twice = [*outputs, *(y + y for y in outputs), *(y + y for y in outputs)]
    arrays = np.random.default_rng(seed).standard_normal((2, 5, 5))
    for found, wanted in zip(CompiledProgram(inputs, twice)(*arrays), Program(inputs, twice)(*arrays), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


def test_an_optimizer_s_correction_is_computed_once_for_all_parameters() -> None:
    net = nn.Sequential(nn.Linear(4, 20, seed=0), nn.ReLU(), nn.Linear(20, 1, seed=0))
    x = np.random.default_rng(0).standard_normal((50, 4))
    history = cr.fit(net, losses.squared, optim.Adam(), x, x[:, :1], steps=3, batch_size=5, engine="compiled")
    assert history.compiled.loops().count("0.999 **") == 1
