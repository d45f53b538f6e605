"""An update is made in the loop of the sum over what it replaces, and computes what it would by itself."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from tests.compiler.graphs import trained_step

import chainrule as cr
from chainrule import losses, nn, optim
from chainrule.compiler.beside import updated_beside
from chainrule.compiler.carried import carried_buffers
from chainrule.compiler.kernels import Buffer, Kernel
from chainrule.compiler.memory import after_readers
from chainrule.compiler.merge import merged
from chainrule.compiler.program import assemble
from chainrule.compiler.schedule import schedule


def beside(kernels: list[Kernel]) -> list[Buffer]:
    return [write.target for kernel in kernels if isinstance(kernel, Kernel) for write in kernel.beside]


def test_the_weights_that_errors_go_back_through_are_updated_on_the_way() -> None:
    found, loop = trained_step()
    carried = carried_buffers(found, loop)
    before = after_readers(merged(found.kernels), carried)
    found.kernels = updated_beside(before, carried)
    assert {b.shape for b in beside(found.kernels)} == {(12, 20), (20, 9)}  # not the first: no error goes back there
    assert len(found.kernels) == len(before) - 2
    assert assemble(found, loop).in_place == {out for out, _ in carried}


def step(change: Any, shape: tuple[int, ...] = (12, 20)) -> list[Kernel]:
    """The kernels that give w @ g and, carried to w, what `change` makes of w, g and w @ g."""
    w, g = cr.Input(shape, name="w"), cr.Input(shape[-1:], name="g")
    back = cr.tanh(w @ g)
    found = schedule([w, g], [change(w, g, back).named("new"), back])
    (out,) = (b for b in found.buffers if b.name == "new")
    (source,) = (b for b in found.buffers if b.name == "w")
    carried = [(out, source)]
    return updated_beside(after_readers(merged(found.kernels), carried), carried)


def test_what_cannot_be_made_there_stays_by_itself() -> None:
    assert beside(step(lambda w, g, back: w - 0.1 * g))
    assert not beside(step(lambda w, g, back: w - 0.1 * back[:, None]))  # needs the sum
    assert not beside(step(lambda w, g, back: w.T - 0.1 * g, (20, 20)))  # other elements
    assert not beside(step(lambda w, g, back: w[::-1] - 0.1 * g))
    assert not beside(step(lambda w, g, back: w[:, ::-1] - 0.1 * g))
    assert not beside(step(lambda w, g, back: w - 0.1 * g, (512, 512)))  # threads share it


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("widths", [(2, 10, 100, 30, 10, 1), (3, 17, 9, 33, 2), (1, 9, 70, 5, 4)])
@pytest.mark.parametrize("optimizer", [optim.SGD(1e-2), optim.Momentum(1e-3), optim.Adam(1e-2)], ids=repr)
def test_a_run_of_single_rows_is_the_references(optimizer: Any, widths: tuple[int, ...], dtype: str) -> None:
    random = np.random.RandomState(0)
    x = random.randn(50, widths[0]).astype(dtype)
    t = random.uniform(-1, 1, (50, widths[-1])).astype(dtype)
    final = []
    for engine in ("compiled", "reference"):
        layers: list[Any] = []
        for n, m in itertools.pairwise(widths):
            layers += [nn.Linear(n, m, dtype=dtype, seed=0), nn.Tanh()]
        net = nn.Sequential(*layers)
        history = cr.fit(
            net, losses.squared, optimizer, x, t, steps=40, batch_size=1, record_every=10, seed=0, engine=engine
        )
        if engine == "compiled":
            assert "in the loop of the sum" in history.compiled.loops()
        final.append([*net.state_dict().values(), np.array(history.records["train"])])
    for ours, theirs in zip(*final, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5 if dtype == "float32" else 1e-12)
