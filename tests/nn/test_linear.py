"""The linear layer: values, both gradients, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.errors import DTypeError, OptionError, ShapeError
from chainrule.nn import initializers


def layer(inputs: int, outputs: int, bias: bool = True) -> nn.Linear:
    return nn.Linear(inputs, outputs, bias, seed=1, dtype="float64")


def test_one_row_a_batch_and_a_grid_agree() -> None:
    x = np.random.default_rng(0).normal(size=(7, 5, 3))
    net = layer(3, 4)
    expected = x @ net.weight.value + net.bias.value
    np.testing.assert_allclose(net(x), expected, rtol=1e-14)
    np.testing.assert_allclose(net(x[2]), expected[2], rtol=1e-14)
    np.testing.assert_allclose(net(x[2, 1]), expected[2, 1], rtol=1e-14)


@pytest.mark.parametrize("inputs", [1, 2, 7])
@pytest.mark.parametrize("outputs", [1, 3, 10])
@pytest.mark.parametrize("batch", [1, 5])
def test_gradients_are_the_textbook_products(inputs: int, outputs: int, batch: int) -> None:
    """dL/dw = x^T g, dL/db = sum of g over rows, dL/dx = g w^T, for any g = dL/dy."""
    rng = np.random.default_rng(inputs + 10 * outputs)
    net, x, g = layer(inputs, outputs), rng.normal(size=(batch, inputs)), rng.normal(size=(batch, outputs))
    leaf = cr.variable(x)
    dx, dw, db = cr.gradient((net(leaf) * g).sum(), [leaf, net.weight, net.bias])
    np.testing.assert_allclose(dx, g @ net.weight.value.T, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(dw, x.T @ g, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(db, g.sum(0), rtol=1e-12, atol=1e-14)


def test_without_bias() -> None:
    net = layer(3, 2, bias=False)
    assert list(net.named_parameters()) == ["weight"]
    assert repr(net) == "Linear(inputs=3, outputs=2, bias=False)"
    np.testing.assert_array_equal(net(np.zeros((1, 3))), np.zeros((1, 2)))


def test_the_first_values_follow_he_and_the_seed() -> None:
    net = nn.Linear(600, 400, seed=5)
    assert net.weight.dtype == net.bias.dtype == "float32"
    assert abs(net.weight.value).max() <= np.sqrt(6 / 600)
    assert net.weight.value.var() == pytest.approx(2 / 600, rel=0.01)
    assert abs(net.bias.value).max() <= 600**-0.5
    assert net.bias.value.var() == pytest.approx(1 / 1800, rel=0.15)
    np.testing.assert_array_equal(nn.Linear(600, 400, seed=5).weight, net.weight)
    np.testing.assert_array_equal(net.weight, nn.Linear(600, 400).initialize(5).weight)
    np.testing.assert_array_equal(net.bias, nn.Linear(600, 400).initialize(5).bias)
    assert (nn.Linear(600, 400, seed=6).weight.value != net.weight.value).any()
    assert (nn.Linear(600, 400).weight.value != nn.Linear(600, 400).weight.value).any()


def test_the_initializers_can_be_chosen() -> None:
    net = nn.Linear(2, 3, init=initializers.ones, init_bias=initializers.zeros)
    np.testing.assert_array_equal(net.weight, np.ones((2, 3)))
    np.testing.assert_array_equal(net.bias, np.zeros(3))


def test_a_relu_neuron_of_the_notebook() -> None:
    """Weights [1, 2], bias 0; outputs at two points and both Jacobians at the first."""
    neuron = layer(2, 1)
    neuron.weight.value, neuron.bias.value = [[1.0], [2.0]], [0.0]
    net = nn.Sequential(neuron, nn.ReLU())
    x = cr.variable([-0.1, 0.1])
    assert net(x).numpy() == np.array([0.1])
    assert net([0.1, -0.1]).numpy() == np.array([0.0])
    dx, dw, db = cr.gradient(net(x)[0], [x, neuron.weight, neuron.bias])
    np.testing.assert_array_equal(dx, [1, 2])
    np.testing.assert_array_equal(dw, [[-0.1], [0.1]])
    np.testing.assert_array_equal(db, [1])


class Net(nn.Module):
    def __init__(self) -> None:
        self.hidden = nn.Linear(4, 5)

    def forward(self, x: object) -> object:
        return self.hidden(x)


@pytest.mark.parametrize("placeholder", [False, True])
def test_a_wrong_width_names_the_layer_the_line_both_shapes_and_the_cure(placeholder: bool) -> None:
    x = cr.Input((32, 3)) if placeholder else np.zeros((32, 3))
    with pytest.raises(
        ShapeError,
        match=r'Linear "hidden" at test_linear.py:\d+: x is \(32, 3\), weight is \(4, 5\): '
        r"the last axis of x must have 4 elements. Make it Linear\(3, 5\)",
    ):
        Net()(x)


def test_a_number_has_no_axis() -> None:
    with pytest.raises(ShapeError, match=r"Linear at test_linear.py:\d+: x is \(\), weight"):
        layer(1, 1)(3.0)


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ((0, 1), "inputs = 0"),
        ((1, 0), "outputs = 0"),
        ((-1, 2), "inputs = -1"),
        ((2.0, 1), r"inputs = 2.0: .* Write inputs=2\."),
        ((2, 1.5), r"outputs = 1.5"),
        ((2, True), "outputs = True"),
        ((2, "1"), "outputs = '1'"),
        ((None, 1), "inputs = None"),
    ],
)
def test_sizes_are_whole_numbers_from_1(sizes: tuple[Any, Any], said: str) -> None:
    with pytest.raises(OptionError, match=f"^Linear: {said}") as caught:
        nn.Linear(*sizes)
    assert "it is a whole number, at least 1" in str(caught.value)


def test_sizes_may_be_numpys() -> None:
    sizes: Any = np.int64(2), np.uint8(3)
    assert nn.Linear(*sizes).weight.shape == (2, 3)


def test_parameters_are_floats() -> None:
    with pytest.raises(DTypeError, match="parameters: the dtype is int64: they are float32 or float64"):
        nn.Linear(2, 1, dtype="int64")
