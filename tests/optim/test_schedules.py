"""Schedules: the step size at every step, from the formula."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import optim
from chainrule.errors import OptionError
from chainrule.evaluate import Program


def cosine(i: int) -> float:
    return 0.01 + 0.09 * (1 + math.cos(math.pi * min(i, 8) / 8)) / 2


TABLE: dict[str, tuple[Any, Callable[[int], float]]] = {
    "StepDecay": (optim.StepDecay(0.1, every=4, factor=0.5), lambda i: 0.1 * 0.5 ** (i // 4)),
    "ExponentialDecay": (optim.ExponentialDecay(0.1, factor=0.5, every=4), lambda i: 0.1 * 0.5 ** (i / 4)),
    "CosineDecay": (optim.CosineDecay(0.1, steps=8, final=0.01), cosine),
    "Warmup": (optim.Warmup(0.1, steps=5), lambda i: 0.1 * min(1, (i + 1) / 5)),
    "Warmup, then cosine": (
        optim.Warmup(optim.CosineDecay(0.1, 8, 0.01), 5), lambda i: cosine(i) * min(1, (i + 1) / 5),
    ),
    "Piecewise": (optim.Piecewise((3, 7), (0.1, 0.2, 0.05)), lambda i: 0.1 if i < 3 else 0.2 if i < 7 else 0.05),
    "Piecewise, of a schedule": (
        optim.Piecewise((3,), (0.1, optim.CosineDecay(0.1, 8, 0.01))), lambda i: 0.1 if i < 3 else cosine(i - 3),
    ),
    "a function": (lambda step: 0.1 / (1 + step), lambda i: 0.1 / (1 + i)),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_eager_and_traced_steps_equal_the_formula(name: str) -> None:
    schedule, formula = TABLE[name]
    expected = [formula(i) for i in range(12)]
    np.testing.assert_allclose([float(schedule(cr.as_tensor(i))) for i in range(12)], expected, rtol=1e-14)
    step = cr.Input((), "int64")
    run = Program([step], [schedule(step)])
    np.testing.assert_allclose([run(np.int64(i))[0] for i in range(12)], expected, rtol=1e-14)


@pytest.mark.parametrize("name", TABLE)
def test_an_optimizer_follows_it(name: str) -> None:
    schedule, formula = TABLE[name]
    p, g = cr.variable([1.0]), cr.variable([1.0])
    for i in range(12):
        new, _ = optim.SGD(schedule).update(p, g, {}, cr.as_tensor(i))
        np.testing.assert_allclose(new, [1 - formula(i)], rtol=1e-13)


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "lr": (lambda: optim.StepDecay(-0.1, 4), "StepDecay: lr = -0.1: it is a number, at least 0"),
    "every": (lambda: optim.StepDecay(0.1, 0), "StepDecay: every = 0: it is a number, more than 0"),
    "factor": (lambda: optim.ExponentialDecay(0.1, 0), "ExponentialDecay: factor = 0"),
    "steps": (lambda: optim.CosineDecay(0.1, 0), "CosineDecay: steps = 0"),
    "final": (lambda: optim.CosineDecay(0.1, 5, math.nan), "CosineDecay: final = nan"),
    "warmup": (lambda: optim.Warmup(0.1, -1), "Warmup: steps = -1"),
    "rate": (lambda: optim.Warmup(math.inf, 2), "Warmup: rate = inf"),
    "order": (lambda: optim.Piecewise((5, 3), (1.0, 1.0, 1.0)), "Piecewise: boundaries .5, 3. and 3 rates: .*ascend"),
    "count": (lambda: optim.Piecewise((5,), (1.0,)), "Piecewise: .* 1 rates: .*one rate more"),
    "a rate": (lambda: optim.Piecewise((5,), (1.0, -1.0)), "Piecewise: a rate of -1.0"),
}


def test_numbers_may_be_numpys() -> None:
    assert optim.StepDecay(np.float64(0.5), every=np.int64(2)) == optim.StepDecay(0.5, every=2)
    assert float(optim.Warmup(np.float32(0.5), np.int64(4))(cr.as_tensor(0))) == 0.125
    assert float(optim.Piecewise((2,), (np.float32(0.5), 1.0))(cr.as_tensor(0))) == 0.5
    with pytest.raises(OptionError, match="a rate of 'fast'"):
        optim.Piecewise((2,), ("fast", 1.0))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", REFUSED)
def test_options_out_of_range_are_refused(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(OptionError, match=message):
        make()
