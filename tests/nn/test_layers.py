"""Every layer: its value against NumPy or SciPy, its gradients against finite differences, in one table."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from scipy import special

import chainrule as cr
from chainrule import nn
from chainrule.errors import DTypeError, OptionError, ShapeError


def spread(shape: tuple[int, ...]) -> np.ndarray:
    """Numbers of either sign, all at least 0.05 from 0, where the kinks are."""
    drawn = np.random.default_rng(7).normal(size=shape)
    return np.asarray(drawn + 0.05 * np.sign(drawn))


def embedded() -> nn.Module:
    table = nn.Embedding(4, 3, seed=0, dtype="float64")
    return nn.Lambda(lambda x: table(np.array([[0, 3], [3, 1]])) * x.sum())


def dense(*sizes: int) -> list[nn.Module]:
    pairs = itertools.pairwise(sizes)
    return [nn.Linear(a, b, seed=i, dtype="float64") for i, (a, b) in enumerate(pairs)]


@dataclass(frozen=True)
class Case:
    make: Callable[[], nn.Module]
    shape: tuple[int, ...] = (5, 3)
    value: Callable[[np.ndarray], Any] | None = None
    training: bool = False


def standardized(x: np.ndarray, axis: int) -> np.ndarray:
    return (x - x.mean(axis, keepdims=True)) / np.sqrt(x.var(axis, keepdims=True) + 1e-5)


CASES = {
    "Linear": Case(lambda: dense(3, 4)[0]),
    "ReLU": Case(nn.ReLU, value=lambda x: np.maximum(x, 0)),
    "LeakyReLU": Case(nn.LeakyReLU, value=lambda x: np.where(x > 0, x, 0.01 * x)),
    "LeakyReLU, slope": Case(lambda: nn.LeakyReLU(slope=0.3), value=lambda x: np.where(x > 0, x, 0.3 * x)),
    "ELU": Case(nn.ELU, value=lambda x: np.where(x > 0, x, np.exp(x) - 1)),
    "GELU": Case(nn.GELU, value=lambda x: x * special.ndtr(x)),
    "SiLU": Case(nn.SiLU, value=lambda x: x * special.expit(x)),
    "Softplus": Case(nn.Softplus, value=lambda x: np.log(1 + np.exp(x))),
    "Tanh": Case(nn.Tanh, value=np.tanh),
    "Sigmoid": Case(nn.Sigmoid, value=special.expit),
    "Softmax": Case(nn.Softmax, value=lambda x: special.softmax(x, -1)),
    "Softmax, axis": Case(lambda: nn.Softmax(axis=0), value=lambda x: special.softmax(x, 0)),
    "LogSoftmax": Case(nn.LogSoftmax, value=lambda x: special.log_softmax(x, -1)),
    "Identity": Case(nn.Identity, value=lambda x: x),
    "Flatten": Case(nn.Flatten, (2, 3, 2), value=lambda x: x.reshape(2, 6)),
    "Lambda": Case(lambda: nn.Lambda(cr.exp), value=np.exp),
    "Dropout": Case(nn.Dropout, value=lambda x: x),
    "Dropout, training": Case(lambda: nn.Dropout(0.3), training=True),
    "LayerNorm": Case(lambda: nn.LayerNorm(3, dtype="float64"), value=lambda x: standardized(x, -1)),
    "BatchNorm": Case(lambda: nn.BatchNorm(3, dtype="float64"), value=lambda x: x / np.sqrt(1 + 1e-5)),
    "BatchNorm, training": Case(
        lambda: nn.BatchNorm(3, dtype="float64"), value=lambda x: standardized(x, 0), training=True
    ),
    "Embedding": Case(embedded),
    "Sequential": Case(lambda: nn.Sequential(*dense(3, 4, 2))),
}
ABSTRACT = {"Module", "Activation"}


def test_every_layer_is_in_the_table() -> None:
    exported = {getattr(nn, name) for name in nn.__all__}
    layers = {cls.__name__ for cls in exported if isinstance(cls, type) and issubclass(cls, nn.Module)}
    assert layers - ABSTRACT == {name.split(",")[0] for name in CASES}


def run(module: nn.Module, x: Any, training: bool) -> Any:
    if not training:
        return module(x)
    with nn.training(seed=3, step=2, write=False):
        return module(x)


def slope(f: Callable[[np.ndarray], float], x: np.ndarray, h: float = 1e-3) -> np.ndarray:
    """The gradient of f at x by five points a coordinate: the error is of the order h^4."""
    found = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[i] = h
        far, near = f(x + 2 * step) - f(x - 2 * step), f(x + step) - f(x - step)
        found[i] = (8 * near - far) / (12 * h)
    return found


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.value])
def test_value(name: str) -> None:
    case, x = CASES[name], spread(CASES[name].shape)
    assert case.value is not None
    np.testing.assert_allclose(run(case.make(), x, case.training), case.value(x), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", CASES)
def test_gradients_of_data_and_parameters_equal_finite_differences(name: str) -> None:
    case, module = CASES[name], CASES[name].make()
    compare(module, spread(case.shape), case.training, rtol=1e-8)


@pytest.mark.parametrize("inputs", [1, 2, 7])
@pytest.mark.parametrize("outputs", [1, 3, 10])
@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("relu", [False, True])
def test_dense_layers_with_several_neurons(inputs: int, outputs: int, batch: int, relu: bool) -> None:
    layer = dense(inputs, outputs)[0]
    module = nn.Sequential(layer, nn.ReLU()) if relu else layer
    x = spread((batch, inputs))
    while abs(layer(x).numpy()).min() < 0.02:  # away from the kink
        x = 1.1 * x
    compare(module, x, False, rtol=1e-8)


def compare(module: nn.Module, x: np.ndarray, training: bool, rtol: float) -> None:
    weights = np.random.default_rng(3).normal(size=run(module, x, training).shape)
    leaf, parameters = cr.variable(x), module.parameters()
    found = cr.gradient((run(module, leaf, training) * weights).sum(), [leaf, *parameters])

    def loss_of_data(value: np.ndarray) -> float:
        return float((run(module, value, training) * weights).sum())

    check(found[0], slope(loss_of_data, x), rtol)
    for p, gradient in zip(parameters, found[1:], strict=True):
        held = p.value

        def loss_of_parameter(value: np.ndarray, p: cr.Parameter = p) -> float:
            p.value = value
            return loss_of_data(x)

        check(gradient, slope(loss_of_parameter, held), rtol)
        p.value = held


def check(found: Any, expected: np.ndarray, rtol: float) -> None:
    scale = max(1.0, abs(expected).max(initial=0.0))
    np.testing.assert_allclose(np.asarray(found), expected, rtol=0, atol=rtol * scale)


def test_backpropagation_is_the_product_of_the_layers_jacobians() -> None:
    first, second, third = dense(3, 4, 5, 2)
    x = spread((3,))
    net = nn.Sequential(first, nn.Tanh(), second, nn.Tanh(), third)
    product, h = np.eye(3), cr.as_tensor(x)
    for layer in net:
        product, h = np.asarray(cr.jacobian(layer)(h.numpy())) @ product, layer(h)
    np.testing.assert_allclose(cr.jacobian(net)(x), product, rtol=1e-12)


def test_an_evaluation_between_forward_and_backward_changes_nothing() -> None:
    net = nn.Sequential(*dense(3, 4), nn.BatchNorm(4, dtype="float64"), nn.ReLU(), nn.Dropout(0.5), *dense(4, 2))
    x, other = spread((5, 3)), 3 * spread((8, 3))

    def gradients(disturbed: bool) -> list[np.ndarray]:
        with nn.training(seed=1, step=1, write=False):
            y = net(x)
        if disturbed:
            net(other)
        return [np.asarray(g) for g in cr.gradient((y**2).sum(), net.parameters())]

    for plain, disturbed in zip(gradients(False), gradients(True), strict=True):
        np.testing.assert_array_equal(plain, disturbed)


def test_embedding_takes_whole_numbers_in_range() -> None:
    table = nn.Embedding(4, 3, seed=0)
    np.testing.assert_array_equal(table([2, 0])[0], table.weight.value[2])
    with pytest.raises(DTypeError, match=r"Embedding at test_layers.py:\d+: x is of float64: it takes whole numbers"):
        table([1.0])
    with pytest.raises(ShapeError):
        table([4])


@pytest.mark.parametrize("make", [nn.LayerNorm, nn.BatchNorm])
def test_normalization_refuses_another_width(make: Any) -> None:
    with pytest.raises(
        ShapeError, match=rf"{make.__name__} at .*x is \(2, 4\), weight is \(3,\): .*{make.__name__}\(4\)"
    ):
        make(3)(np.zeros((2, 4)))


REFUSED = {
    "rate = 1": (lambda: nn.Dropout(1), r"Dropout: rate = 1: it is from 0 to less than 1"),
    "rate = -0.1": (lambda: nn.Dropout(-0.1), r"rate = -0.1"),
    "momentum": (lambda: nn.BatchNorm(3, momentum=2), r"BatchNorm: momentum = 2"),
    "eps": (lambda: nn.LayerNorm(3, eps=0), r"LayerNorm: eps = 0: it is positive"),
    "features": (lambda: nn.BatchNorm(0), r"BatchNorm: features = 0"),
    "features, a float": (lambda: nn.LayerNorm(3.0), r"LayerNorm: features = 3.0: it is a whole number"),  # type: ignore[arg-type]
    "table": (lambda: nn.Embedding(0, 3), r"Embedding: count = 0"),
    "width": (lambda: nn.Embedding(4, 3.5), r"Embedding: width = 3.5: it is a whole number"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", REFUSED)
def test_options_out_of_range_are_refused(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(OptionError, match=message):
        make()


@pytest.mark.parametrize(
    "make", [lambda n: nn.LayerNorm(3, eps=n), lambda n: nn.BatchNorm(3, n, n), lambda n: nn.Dropout(n)]
)
def test_numbers_of_numpys_leave_the_dtype(make: Any) -> None:
    layer, x = make(np.float64(0.5)), cr.Input((4, 3), "float32")
    with nn.training(seed=0, step=0):
        assert layer(x).dtype == np.float32


def test_an_activation_names_an_option_it_does_not_have() -> None:
    with pytest.raises(TypeError, match="alpha"):
        nn.ReLU(alpha=1.0)
