"""vmap and per-sample gradients against a Python loop over the samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.engines import listed
from tests.table import Row
from tests.test_operations import ROWS, draw_points

import chainrule as cr
from chainrule.errors import OptionError, ShapeError, TraceError

rng = np.random.default_rng(0)


def check_row(row: Row, draw: Any) -> None:
    """Mapping over three samples equals calling three times; float operands are mapped or the same for all."""
    case = row.case(draw)
    samples = [draw_points(draw, row, case) for _ in range(3)]
    mapped = [isinstance(a, np.ndarray) and a.dtype.kind == "f" and draw(st.booleans()) for a in samples[0]]
    free = [i for i, a in enumerate(samples[0]) if a.dtype.kind == "f"]
    if not free:
        return
    mapped[free[0]] = True
    for sample in samples:
        sample[:] = [a if on else b for a, b, on in zip(sample, samples[0], mapped, strict=True)]
    args = [np.stack([s[i] for s in samples]) if on else samples[0][i] for i, on in enumerate(mapped)]
    found = listed(cr.vmap(case.ours, [0 if on else None for on in mapped])(*args))
    wanted = [listed(case.ours(*sample)) for sample in samples]
    for i, y in enumerate(found):
        stacked = np.stack([np.asarray(w[i]) for w in wanted])
        assert (y.shape, y.dtype) == (stacked.shape, stacked.dtype)
        np.testing.assert_allclose(y.numpy(), stacked, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("row", ROWS)
def test_every_operation_can_be_mapped(row: Row) -> None:
    if row.name in ("<random.uniform>", "one_hot"):
        pytest.skip("no float operand to map over")

    @settings(max_examples=8, deadline=None, phases=[Phase.generate, Phase.shrink])
    @given(st.data())
    def cases(data: st.DataObject) -> None:
        check_row(row, data.draw)

    cases()


w1, b1 = cr.Parameter(rng.normal(size=(3, 4)), "w1"), cr.Parameter(rng.normal(size=4), "b1")
w2, b2 = cr.Parameter(rng.normal(size=(4, 2)), "w2"), cr.Parameter(rng.normal(size=2), "b2")
unused = cr.Parameter(np.ones((2, 2)), "unused")
PARAMETERS = [w1, b1, w2, b2, unused]


def linear(x: Any, t: Any) -> cr.Tensor:
    return ((x @ w1 + b1 - t.sum()) ** 2).sum()


def mlp(x: Any, t: Any) -> cr.Tensor:
    h = cr.tanh(x @ w1 + b1)
    h = h / (1 + cr.square(h).mean(keepdims=True)) + cr.softmax(h)
    return -(cr.log_softmax(h @ w2 + b2) * t).sum()


@pytest.mark.parametrize("loss", [linear, mlp])
def test_per_sample_gradients_equal_a_loop(loss: Callable[..., Any]) -> None:
    x, t = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    found = cr.per_sample_grad(loss, [*PARAMETERS, 0])(x, t)
    one = cr.grad(loss, [*PARAMETERS, 0])
    loop = [one(a, b) for a, b in zip(x, t, strict=True)]
    for i, (g, p) in enumerate(zip(found, [*PARAMETERS, cr.as_tensor(x[0])], strict=True)):
        assert g.shape == (5, *p.shape)
        np.testing.assert_allclose(g.numpy(), [np.asarray(row[i]) for row in loop], rtol=1e-12, atol=1e-15)


def test_per_sample_gradients_add_up_to_the_gradient_of_the_batch() -> None:
    x, t = rng.normal(size=(6, 3)), rng.normal(size=(6, 2))
    whole = cr.grad(lambda x, t: cr.vmap(mlp)(x, t).sum(), w1)(x, t)
    np.testing.assert_allclose(cr.per_sample_grad(mlp, w1)(x, t).numpy().sum(0), whole.numpy(), rtol=1e-12)


def test_a_parameter_is_not_repeated_for_every_sample() -> None:
    """The products of a batch with a weight are one product with that weight."""
    y = cr.vmap(lambda x: x @ w1)(cr.Input((1000, 3)))
    assert y.primitive is not None and y.primitive.name == "contract"
    assert any(x is w1 for x in y.inputs)


def test_gradients_through_vmap_to_second_order() -> None:
    x = rng.normal(size=(4, 3))
    found = cr.hessian(lambda x: cr.vmap(lambda r: cr.prod(r) * cr.sin(r[0]))(x).sum())(x).numpy()
    for i, row in enumerate(x):
        block = cr.hessian(lambda r: cr.prod(r) * cr.sin(r[0]))(row).numpy()
        np.testing.assert_allclose(found[i, :, i], block, rtol=1e-12, atol=1e-14)
    assert found[0, :, 1].any() is np.False_


def test_vmap_of_vmap() -> None:
    x, y = rng.normal(size=(3, 2)), rng.normal(size=(4, 2))
    table = cr.vmap(lambda a: cr.vmap(lambda b: (a * cr.exp(b)).sum())(y))(x)
    np.testing.assert_allclose(table.numpy(), x @ np.exp(y).T, rtol=1e-14)


def test_other_axes_and_several_results() -> None:
    x, y = rng.normal(size=(2, 3)), rng.normal(size=2)
    found = cr.vmap(lambda a, b: {"dot": a @ b, "both": (a + b, b)}, (1, None))(x, y)
    np.testing.assert_allclose(found["dot"].numpy(), x.T @ y)
    np.testing.assert_array_equal(found["both"][0].numpy(), x.T + y)
    np.testing.assert_array_equal(found["both"][1].numpy(), np.tile(y, (3, 1)))
    np.testing.assert_array_equal(cr.vmap(lambda a: a * 2, -1)(x).numpy(), 2 * x.T)


def test_a_result_that_depends_on_no_sample_is_repeated() -> None:
    np.testing.assert_array_equal(cr.vmap(lambda x: 3.0)([1.0, 2.0]).numpy(), [3.0, 3.0])


def test_no_samples_give_no_results() -> None:
    assert cr.per_sample_grad(mlp, w1)(np.zeros((0, 3)), np.zeros((0, 2))).shape == (0, 3, 4)


def test_jacobian_of_many_outputs_by_vmap() -> None:
    """A Jacobian is the pullback mapped over the rows of the identity."""
    x = rng.normal(size=3)
    y, back = cr.vjp(lambda x: cr.tanh(x @ w1), x)
    np.testing.assert_allclose(
        cr.vmap(lambda row: back(row)[0])(np.eye(4)).numpy(), cr.jacobian(lambda x: cr.tanh(x @ w1))(x).numpy()
    )
    assert y.shape == (4,)


def test_a_custom_operation_is_mapped_with_its_rule() -> None:
    @cr.custom(derivative=lambda g, y, x: g * y.sum() * 3)
    def total(x: cr.Tensor) -> cr.Tensor:
        return x.sum() * cr.ones_like(x)

    x = rng.normal(size=(4, 3))
    found = cr.per_sample_grad(lambda r: (total(r) * r).sum())(x).numpy()
    loop = [cr.grad(lambda r: (total(r) * r).sum())(r).numpy() for r in x]
    np.testing.assert_allclose(found, loop, rtol=1e-12)


def test_random_draws_are_refused_by_name() -> None:
    with pytest.raises(TraceError, match=r"'uniform' .* at test_vectorize.py:\d+.*no form for a whole batch"):
        cr.vmap(lambda seed: cr.random.uniform(seed, 3))(np.arange(3))


def test_draws_that_do_not_depend_on_the_sample_are_shared() -> None:
    found = cr.vmap(lambda x: x * cr.random.uniform(0, 3))(np.ones((2, 3))).numpy()
    np.testing.assert_array_equal(found[0], found[1])


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: cr.vmap(cr.add)([1.0, 2.0], [1.0]), ShapeError, "argument 0 has 2, argument 1 has 1"),
        (lambda: cr.vmap(cr.add, (0,))([1.0], [1.0]), OptionError, "there are 2 arguments"),
        (lambda: cr.vmap(cr.add, None)([1.0], [1.0]), OptionError, "at least one"),
        (lambda: cr.vmap(cr.exp)(1.0), ShapeError, "axis 0"),
        (lambda: cr.vmap(cr.exp, 2)([[1.0]]), ShapeError, "axis 2"),
        (lambda: cr.vmap(lambda x: x if x > 0 else -x)([1.0]), TraceError, "where"),
    ],
)
def test_bad_calls_are_refused(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()
