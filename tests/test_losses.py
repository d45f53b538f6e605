"""Losses: values from the formula, both gradients, and every target that does not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
from scipy import special

import chainrule as cr
from chainrule import losses
from chainrule.errors import DTypeError, OptionError, ShapeError, TargetError

Y = np.array([[0.7, -1.3], [2.4, 0.2], [-0.6, 3.1], [0.1, -0.4]])
SIGNS = np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
LABELS = np.array([1, 0, 1, 1])


@dataclass(frozen=True)
class Case:
    loss: Callable[..., cr.Tensor]
    t: np.ndarray
    value: Callable[[np.ndarray, np.ndarray], np.ndarray]  # one a sample


def bent(y: np.ndarray, t: np.ndarray, delta: float) -> np.ndarray:
    d = abs(t - y)
    return np.where(d <= delta, d * d / 2, delta * (d - delta / 2)).sum(1)


CASES = {
    "squared": Case(losses.squared, SIGNS, lambda y, t: ((t - y) ** 2).sum(1)),
    "absolute": Case(losses.absolute, SIGNS, lambda y, t: abs(t - y).sum(1)),
    "huber": Case(losses.huber, SIGNS, lambda y, t: bent(y, t, 1.0)),
    "huber, delta": Case(partial(losses.huber, delta=2.0), SIGNS, lambda y, t: bent(y, t, 2.0)),
    "hinge": Case(losses.hinge, SIGNS, lambda y, t: np.maximum(0, 1 - t * y).sum(1)),
    "logistic": Case(
        losses.logistic, (SIGNS + 1) / 2, lambda y, t: -np.log(special.expit(np.where(t == 1, y, -y))).sum(1)
    ),
    "softmax_cross_entropy": Case(
        losses.softmax_cross_entropy, LABELS, lambda y, t: -special.log_softmax(y, 1)[np.arange(4), t]
    ),
}  # fmt: skip


def test_every_loss_is_in_the_table() -> None:
    assert {name for name in losses.__all__ if name != "targets"} == {name.split(",")[0] for name in CASES}


@pytest.mark.parametrize("name", CASES)
def test_one_value_a_sample(name: str) -> None:
    case = CASES[name]
    found = case.loss(Y, case.t)
    assert found.shape == (4,)
    np.testing.assert_allclose(found, case.value(Y, case.t), rtol=1e-14)


def slope(f: Callable[[np.ndarray], float], x: np.ndarray, h: float = 1e-3) -> np.ndarray:
    """The gradient of f at x by five points a coordinate."""
    found = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[i] = h
        far, near = f(x + 2 * step) - f(x - 2 * step), f(x + step) - f(x - step)
        found[i] = (8 * near - far) / (12 * h)
    return found


@pytest.mark.parametrize("name", CASES)
def test_gradient_with_respect_to_the_output(name: str) -> None:
    case, weights = CASES[name], np.array([1.0, 2.0, -0.5, 0.3])
    found = cr.grad(lambda y: (case.loss(y, case.t) * weights).sum())(Y)
    expected = slope(lambda y: float((case.value(y, case.t) * weights).sum()), Y)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", ["squared", "absolute", "huber"])
def test_gradient_with_respect_to_the_target(name: str) -> None:
    case = CASES[name]
    found = cr.grad(lambda t: case.loss(Y, t).sum())(case.t)
    expected = slope(lambda t: float(case.value(Y, t).sum()), case.t)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)


def test_the_squared_loss_of_the_notebook_to_the_bit() -> None:
    value, derivative = cr.value_and_grad(lambda y: losses.squared(y, 1.0))(0.1)
    assert float(value) == 0.81
    assert float(derivative) == -1.8


@pytest.mark.parametrize(
    ("y", "t", "expected"), [(0.5, 1, -1), (0.5, -1, 1), (2, 1, 0), (1, 1, 0), (-1, -1, 0), (-2, 1, -1)]
)
def test_the_derivative_of_hinge_on_one_sample(y: float, t: float, expected: float) -> None:
    assert float(cr.grad(lambda y: losses.hinge(y, t))(float(y))) == expected


def test_kinks_have_the_documented_derivative() -> None:
    assert float(cr.grad(lambda y: losses.absolute(y, 1.0))(1.0)) == 0
    assert float(cr.grad(lambda y: losses.huber(y, 0.0, delta=1.0))(1.0)) == 1


@pytest.mark.parametrize("name", ["logistic", "softmax_cross_entropy"])
def test_large_logits_do_not_overflow(name: str) -> None:
    loss = CASES[name].loss
    y, t = (np.array([1e4, -1e4]), [0, 1]) if name == "logistic" else (np.array([[1e4, 0.0], [0.0, -1e4]]), [1, 1])
    np.testing.assert_allclose(loss(y, t), 1e4)
    assert np.isfinite(np.asarray(cr.grad(lambda y: loss(y, t).sum())(y))).all()


@pytest.mark.parametrize("name", CASES)
def test_values_are_floats_of_the_outputs_dtype_for_integer_targets(name: str) -> None:
    case = CASES[name]
    assert case.loss(Y.astype("float32"), case.t.astype("int64")).dtype == np.float32


@pytest.mark.parametrize("loss", [losses.squared, losses.hinge])
def test_targets_of_one_axis_fit_outputs_of_one_column(loss: Any) -> None:
    np.testing.assert_array_equal(loss(Y[:, :1], SIGNS[:, 0]), loss(Y[:, :1], SIGNS[:, :1]))


def test_labels_may_be_a_column_or_one_sample() -> None:
    loss = losses.softmax_cross_entropy
    np.testing.assert_array_equal(loss(Y, LABELS[:, None]), loss(Y, LABELS))
    assert loss(Y[0], 1).shape == ()
    assert float(loss(Y[0], 1)) == float(loss(Y, LABELS)[0])


MISFITS = {
    "(n,) and (n, 1)": (losses.squared, Y[:, 0], SIGNS[:, :1], r"or reshape: t.reshape\(\(4,\)\)"),
    "two columns": (losses.absolute, Y, SIGNS[:, :1], r"is \(4, 2\), the target .* is \(4, 1\): .*one output for"),
    "rows": (losses.hinge, Y[:3], SIGNS, r"is \(3, 2\).*is \(4, 2\): they must have one shape, and are not broadcast"),
    "a number": (losses.huber, Y, np.array(1.0), "they must have one shape"),
    "labels": (losses.softmax_cross_entropy, Y, LABELS[:3], r"is \(4, 2\).* is \(3,\): y has a column for every class"),
    "one-hot": (losses.softmax_cross_entropy, Y, np.eye(2, dtype=int)[LABELS], r"t.argmax\(axis=1\)"),
}  # fmt: skip


@pytest.mark.parametrize("placeholder", [False, True])
@pytest.mark.parametrize("name", MISFITS)
def test_shapes_that_do_not_fit_are_refused_and_not_broadcast(name: str, placeholder: bool) -> None:
    loss, y, t, message = MISFITS[name]
    given = (cr.Input(y.shape), cr.Input(t.shape, t.dtype)) if placeholder else (y, t)
    with pytest.raises(ShapeError, match=message):
        loss(*given)


def test_the_message_names_the_users_line() -> None:
    with pytest.raises(ShapeError, match=r"squared\(.*\) at test_losses.py:\d+"):
        losses.squared(Y, SIGNS[0])


BAD_TARGETS = {
    "hinge, 0 and 1": (losses.hinge, np.array([1.0, 1.0, 0.0]), r"target 0.0 in row 2: .* -1 or \+1. .*2 \* t - 1"),
    "hinge, NaN": (losses.hinge, np.array([1.0, np.nan, 1.0]), "target nan in row 1"),
    "logistic, -1": (losses.logistic, np.array([1, 0, -1]), r"target -1 in row 2: .*0 or 1. .*\(t \+ 1\) / 2"),
    "labels, floats": (
        losses.softmax_cross_entropy, np.array([0.0, 1.0, 1.0]), "of float64: .*an integer. Convert whole numbers by",
    ),
    "labels, negative": (losses.softmax_cross_entropy, np.array([0, -1, 1]), "target -1 in row 1: .*from 0"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_TARGETS)
def test_targets_that_a_loss_is_not_defined_for(name: str) -> None:
    loss, t, message = BAD_TARGETS[name]
    y = np.zeros((3, 2)) if "labels" in name else np.zeros(3)
    with pytest.raises(TargetError, match=message):
        loss(y, t)
    for given in (t, list(t), cr.as_tensor(t)):
        with pytest.raises(TargetError, match=message):
            loss.check_targets(given)


def test_a_label_beyond_the_columns_is_refused_where_they_are_known() -> None:
    message = "target 2 in row 1: .*from 0 to 1: y has 2 columns"
    with pytest.raises(TargetError, match=message):
        losses.softmax_cross_entropy(np.zeros((2, 2)), np.array([0, 2]))
    with pytest.raises(TargetError, match=message):
        losses.softmax_cross_entropy.check_targets(np.array([0, 2]), (2, 2))
    losses.softmax_cross_entropy.check_targets(np.array([0, 2]))


def test_a_model_with_too_few_outputs_for_the_labels_is_told_how_many() -> None:
    check = losses.softmax_cross_entropy.check_targets
    with pytest.raises(TargetError, match=r"target 1 in row 1.*from 0 to 0: y has 1 column\. Give the model 3 outputs"):
        check(np.array([0, 1, 2]), (3, 1))
    with pytest.raises(TargetError, match=r"target -1 .*Give the model 2 outputs, .*numbered from 0"):
        check(np.array([-1, 1]), (2, 1))
    with pytest.raises(TargetError, match=r"target -1 in row 0.*Number the classes from 0"):
        check(np.array([-1, 1]), (2, 2))


def test_labels_that_are_floats_are_refused_with_the_conversion() -> None:
    with pytest.raises(TargetError, match=r"targets of float64: .*an integer.*t\.astype\(int\)"):
        losses.softmax_cross_entropy(np.zeros((2, 2)), np.array([0.0, 1.0]))
    with pytest.raises(DTypeError, match=r"\(y, t\) at test_losses.py:\d+: targets of float64.*t\.astype\(int\)"):
        losses.softmax_cross_entropy(cr.Input((2, 2), name="y"), cr.Input((2,), name="t"))


def test_a_check_reads_many_targets_in_pieces_and_names_the_row() -> None:
    t = np.ones((200_000, 3))
    losses.hinge.check_targets(t)
    t[150_000, 2] = 0.5
    with pytest.raises(TargetError, match=r"target 0.5 in row 150000"):
        losses.hinge.check_targets(t)


def test_good_targets_of_any_dtype_pass() -> None:
    losses.hinge.check_targets(np.array([1, -1], "int8"))
    losses.logistic.check_targets(np.array([True, False]))
    losses.softmax_cross_entropy.check_targets(np.array([0, 7], "uint8"))


def test_a_users_loss_can_check_its_targets() -> None:
    def check(t: Any, shape: Any) -> None:
        if (t <= 0).any():
            raise TargetError("positive ones")

    @losses.targets(check)
    def relative(y: cr.Tensor, t: cr.Tensor) -> cr.Tensor:
        return abs(y - t) / t

    np.testing.assert_array_equal(relative([1.0, 3.0], [2.0, 2.0]), [0.5, 0.5])
    for call in (relative.check_targets, partial(relative, [1.0])):
        with pytest.raises(TargetError, match="positive ones"):
            call([-1.0])


def test_a_placeholder_is_not_checked() -> None:
    assert losses.hinge(cr.Input((3,)), cr.Input((3,))).shape == (3,)


@pytest.mark.parametrize("delta", [0.0, -1.0, np.nan])
def test_delta_is_positive(delta: float) -> None:
    with pytest.raises(OptionError, match=r"huber: delta = .*: it is positive"):
        losses.huber(1.0, 1.0, delta=delta)


@pytest.mark.peers
@pytest.mark.parametrize("name", ["squared", "absolute", "huber, delta", "logistic", "softmax_cross_entropy", "hinge"])
def test_pytorch_agrees(name: str) -> None:
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    theirs = {
        "squared": F.mse_loss,
        "absolute": F.l1_loss,
        "huber, delta": partial(F.huber_loss, delta=2.0),
        "logistic": F.binary_cross_entropy_with_logits,
        "softmax_cross_entropy": F.cross_entropy,
        "hinge": lambda y, t, reduction: torch.clamp(1 - y * t, min=0).sum(),
    }[name]
    case = CASES[name]
    leaf, peer = cr.variable(Y), torch.tensor(Y, requires_grad=True)
    total, expected = case.loss(leaf, case.t).sum(), theirs(peer, torch.tensor(case.t), reduction="sum")
    expected.backward()
    assert float(total) == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(cr.gradient(total, [leaf])[0], peer.grad.numpy(), rtol=1e-12, atol=1e-14)
