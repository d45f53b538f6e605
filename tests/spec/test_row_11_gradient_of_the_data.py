"""SPEC row 11: dL/dx equals differences to 1e-8 for every function and loss, in the same pass as dL/dw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engines import compiled, listed
from tests.table import TABLE, Row
from tests.test_operations import draw_points

import chainrule as cr
from chainrule import losses

rng = np.random.default_rng(11)
SMOOTH = [row for row in TABLE if not row.flat and row.rtol_slopes <= 1e-6]


def check(engine: str, loss: Callable[..., cr.Tensor], arrays: list[np.ndarray]) -> None:
    """One reverse pass gives the gradient for data x and weights w of loss(x * w, ...), right element by element."""
    data = [cr.Input(a.shape, a.dtype) for a in arrays]
    free = [x for x in data if x.dtype.kind == "f"]
    weights = [cr.Parameter(np.ones(x.shape), "w") for x in free]
    scaled = iter([x * w for x, w in zip(free, weights, strict=True)])
    y = loss(*(next(scaled) if x.dtype.kind == "f" else x for x in data))
    program = compiled(engine, data, [y, *cr.gradient(y, [*free, *weights])])
    value = compiled(engine, data, [y])
    found = program(*arrays)
    at_free = [i for i, x in enumerate(data) if x.dtype.kind == "f"]
    for k, i in enumerate(at_free):
        numeric = np.zeros(arrays[i].shape)
        for index in np.ndindex(*numeric.shape):

            def at(step: float, i: int = i, index: tuple[int, ...] = index) -> float:
                moved = arrays[i].copy()
                moved[index] += step
                return float(value(*arrays[:i], moved, *arrays[i + 1 :])[0])

            h = 5e-4
            numeric[index] = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
        scale = 1 + np.abs(numeric).max(initial=0) + abs(float(found[0]))
        np.testing.assert_allclose(found[1 + k], numeric, rtol=1e-8, atol=1e-9 * scale)
        np.testing.assert_allclose(found[1 + len(free) + k], numeric * arrays[i], rtol=1e-8, atol=1e-8 * scale)


@pytest.mark.parametrize("row", [pytest.param(row, id=f"{i}-{row.name}") for i, row in enumerate(SMOOTH)])
def test_row_11_functions(engine: str, row: Row) -> None:
    @settings(max_examples=3, deadline=None)
    @given(st.data())
    def cases(data: st.DataObject) -> None:
        case = row.case(data.draw)

        def loss(*x: cr.Tensor) -> cr.Tensor:
            parts = [y.sum() for y in listed(case.ours(*x)) if y.dtype.kind == "f"]
            return cr.sum(cr.stack(parts)) if parts else x[0].sum() * 0.0

        check(engine, loss, [np.asarray(a) for a in draw_points(data.draw, row, case)])

    cases()


TARGETS: dict[str, Any] = {
    "squared": rng.normal(size=(5, 3)),
    "absolute": rng.normal(size=(5, 3)),
    "huber": rng.normal(size=(5, 3)) * 3,
    "hinge": rng.choice([-1.0, 1.0], (5, 3)),
    "logistic": rng.choice([0.0, 1.0], (5, 3)),
    "softmax_cross_entropy": rng.integers(0, 3, 5),
}


@pytest.mark.parametrize("name", TARGETS)
def test_row_11_losses(engine: str, name: str) -> None:
    loss, t = getattr(losses, name), TARGETS[name]
    check(engine, lambda x: loss(x, t).mean(), [rng.normal(size=(5, 3))])


def test_row_11_a_graph_with_a_split_and_a_join(engine: str) -> None:
    v = cr.Parameter(rng.normal(size=(3, 3)), "v")

    def loss(x: cr.Tensor) -> cr.Tensor:
        h = cr.tanh(x @ v)
        joined = cr.concatenate([h * x, h + cr.sin(x) @ v], axis=1)
        return losses.squared(joined, np.ones((4, 6))).mean()

    check(engine, loss, [rng.normal(size=(4, 3))])
