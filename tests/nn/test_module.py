"""What a module holds, how it is named, saved, drawn again and shown."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.errors import DTypeError, OptionError, ShapeError
from chainrule.graph import walk


class Block(nn.Module):
    """Parameters and modules in every place where they can stand."""

    def __init__(self) -> None:
        self.scale = cr.Parameter([2.0], name="scale")
        self.first = nn.Linear(2, 3, seed=0)
        self.layers = [nn.Linear(3, 3, seed=1), (nn.ReLU(), nn.Linear(3, 3, seed=2))]
        self.heads = {"a": nn.Linear(3, 1, seed=3)}
        self.note = "no parameter"

    def forward(self, x: Any) -> Any:
        h = self.first(x) * self.scale
        h = self.layers[0](h) + self.layers[1][1](h)
        return self.heads["a"](h)


PATHS = [
    "scale", "first.weight", "first.bias", "layers.0.weight", "layers.0.bias", "layers.1.1.weight", "layers.1.1.bias",
    "heads.a.weight", "heads.a.bias",
]  # fmt: skip


def test_parameters_are_found_in_the_order_of_definition() -> None:
    block = Block()
    assert list(block.named_parameters()) == PATHS
    assert list(block.named_modules()) == ["", "first", "layers.0", "layers.1.0", "layers.1.1", "heads.a"]
    assert block.modules()[0] is block
    assert len(block.parameters()) == len(PATHS)


def test_a_tied_parameter_is_one_and_gets_both_gradients() -> None:
    net = nn.Sequential(nn.Linear(2, 2, seed=0, dtype="float64"), nn.Linear(2, 2, seed=1, dtype="float64"))
    net[1].weight = net[0].weight
    assert list(net.named_parameters()) == ["0.weight", "0.bias", "1.bias"]
    x, w, b = np.array([[1.0, -2.0]]), net[0].weight.value, net[0].bias.value
    (found,) = cr.gradient(net(x).sum(), [net[0].weight])
    g = np.ones((1, 2))
    np.testing.assert_allclose(found, (x @ w + b).T @ g + x.T @ (g @ w.T), rtol=1e-14)


def test_a_module_used_twice_and_one_that_holds_its_parent_end() -> None:
    layer = nn.Linear(2, 2)
    net = nn.Sequential(layer, layer)
    net.itself = net
    assert list(net.named_modules()) == ["", "0"]
    assert net(np.zeros((1, 2))).shape == (1, 2)


def test_what_is_not_trainable_is_saved_but_not_moved() -> None:
    norm = nn.BatchNorm(3)
    assert list(norm.named_parameters()) == ["weight", "bias", "running_mean", "running_var"]
    assert list(norm.named_parameters(trainable_only=True)) == ["weight", "bias"]
    assert norm.parameters() == [norm.weight, norm.bias]


def test_nodes_know_the_path_of_their_module() -> None:
    net = nn.Sequential({"body": Block(), "out": nn.Tanh()})
    y = net(cr.Input((4, 2)))
    paths = [node.path for node in walk([y]) if not node.is_leaf]
    assert paths[0] == ("Sequential", "body", "first")
    assert ("Sequential", "body", "layers.1.1") in paths
    assert ("Sequential", "body") in paths
    assert paths[-1] == ("Sequential", "out")


def test_a_module_made_on_the_way_goes_by_its_class() -> None:
    net = nn.Lambda(lambda x: nn.Tanh()(x))
    (node,) = [node for node in walk([net(cr.Input((2,)))]) if not node.is_leaf]
    assert node.path == ("Lambda", "Tanh")


def test_state_goes_into_another_model_to_the_bit() -> None:
    one, other = Block(), Block().initialize(9)
    assert (one.first.weight.value != other.first.weight.value).any()
    other.load_state_dict(one.state_dict())
    for path, value in one.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[path], value)


def spoiled(**changes: Any) -> dict[str, Any]:
    state = {**Block().initialize(5).state_dict(), **{name.replace("__", "."): v for name, v in changes.items()}}
    return {name: value for name, value in state.items() if value is not None}


REFUSED = {
    "missing": (spoiled(first__bias=None), OptionError, "load_state_dict: missing first.bias: it must name exactly"),
    "unexpected": (spoiled(more=np.zeros(2)), OptionError, "unexpected more"),
    "shape": (
        spoiled(heads__a__bias=np.zeros(2, "float32")), ShapeError, r"heads.a.bias is \(1,\), its new value is \(2,\)",
    ),
    "dtype": (spoiled(heads__a__bias=np.zeros(1)), DTypeError, r'float32, .* float64: .*model.astype\("float64"\)'),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_state_that_does_not_fit_changes_nothing(name: str) -> None:
    state, error, message = REFUSED[name]
    block = Block()
    before = block.state_dict()
    with pytest.raises(error, match=message):
        block.load_state_dict(state)
    for path, value in block.state_dict().items():
        assert value is before[path]


def test_initialize_draws_again_and_the_seed_decides() -> None:
    block = Block()
    assert block.initialize(4) is block
    first = block.state_dict()
    second = Block().initialize(4).state_dict()
    for path in first:
        np.testing.assert_array_equal(first[path], second[path])
    assert (first["layers.0.weight"] != first["layers.1.1.weight"]).any()  # a stream of its own for each
    assert (first["first.weight"] != Block().initialize(5).first.weight.value).any()
    np.testing.assert_array_equal(first["scale"], [2.0])  # made of a value: kept


def test_initialize_brings_statistics_back() -> None:
    norm = nn.BatchNorm(1)
    norm.running_mean.value = [3.0]
    np.testing.assert_array_equal(norm.initialize(0).running_mean, [0.0])


def test_astype_keeps_values_ties_and_initializers() -> None:
    block = Block()
    block.layers.append(block.first)
    before = block.state_dict()
    assert block.astype("float64") is block
    assert {p.dtype for p in block.named_parameters().values()} == {np.dtype("float64")}
    for path, value in block.state_dict().items():
        np.testing.assert_array_equal(value, before[path])
    assert block.layers[2] is block.first
    assert not nn.BatchNorm(1).astype("float64").running_mean.trainable
    assert block.initialize(0).first.weight.dtype == np.float64
    with pytest.raises(DTypeError, match=r"parameters: the dtype is int64: they are float32 or float64"):
        block.astype("int64")


def test_repr_nests() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.body = nn.Sequential(nn.Linear(2, 5), nn.LeakyReLU(slope=0.2), cr.tanh)
            self.drop = nn.Dropout(0.1)

    assert repr(Net()) == (
        "Net(\n"
        "  (body): Sequential(\n"
        "    (0): Linear(inputs=2, outputs=5)\n"
        "    (1): LeakyReLU(slope=0.2)\n"
        "    (2): Lambda(tanh)\n"
        "  )\n"
        "  (drop): Dropout(rate=0.1)\n"
        ")"
    )


def test_sequential_is_a_sequence() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    assert len(net) == 2 and net[0] is net.layers["0"] and net[-1] is list(net)[1]
    assert net.append(nn.Linear(3, 1)) is net
    assert list(net[1:].named_modules()) == ["", "1", "2"]
    assert list(net[1:].append(nn.ReLU()).layers) == ["1", "2", "3"]
    assert nn.Sequential({"hidden": net[0]})["hidden"] is net[0]
    with pytest.raises(OptionError, match=r"Write nn.ReLU\(\), with parentheses"):
        nn.Sequential(nn.ReLU)


def test_a_forgotten_return_is_named() -> None:
    class Forgetful(nn.Module):
        def forward(self, x: Any) -> None:
            2 * x

    with pytest.raises(DTypeError, match=r"Forgetful at test_module.py:\d+: forward returned None.*`return`"):
        Forgetful()(1.0)
    net = nn.Sequential(nn.ReLU(), Forgetful(), nn.ReLU())
    with pytest.raises(DTypeError, match=r'Forgetful "1" at test_module.py:\d+: forward returned None'):
        net(1.0)


def test_a_module_without_forward_says_so() -> None:
    with pytest.raises(NotImplementedError, match=r"Module defines no forward\(\)"):
        nn.Module()(1.0)


RANGES = {
    "linear": (nn.Linear(2, 1), (-math.inf, math.inf)),
    "relu": (nn.Sequential(nn.Linear(2, 1), nn.ReLU()), (0, math.inf)),
    "relu, then what passes on": (nn.Sequential(nn.ReLU(), nn.Dropout(0.5), nn.Flatten()), (0, math.inf)),
    "relu inside": (nn.Sequential(nn.ReLU(), nn.Linear(2, 1)), (-math.inf, math.inf)),
    "sigmoid": (nn.Sequential(nn.Sequential(nn.Sigmoid())), (0, 1)),
    "tanh": (nn.Tanh(), (-1, 1)),
    "softmax": (nn.Softmax(), (0, 1)),
    "log_softmax": (nn.LogSoftmax(), (-math.inf, 0)),
    "elu": (nn.ELU(), (-math.inf, math.inf)),
    "nothing": (nn.Sequential(), (-math.inf, math.inf)),
    "function": (np.tanh, (-math.inf, math.inf)),
}


@pytest.mark.parametrize("name", RANGES)
def test_output_range(name: str) -> None:
    model, expected = RANGES[name]
    assert nn.output_range(model) == expected


def test_what_a_subclass_of_sequential_holds_besides_its_layers_is_trained_and_saved() -> None:
    class Scaled(nn.Sequential):
        def __init__(self) -> None:
            super().__init__(nn.Linear(2, 3, seed=0), nn.ReLU())
            self.scale = cr.Parameter([2.0], "scale")
            self.head = nn.Linear(3, 1, seed=1)

        def forward(self, x: Any) -> Any:
            return self.head(super().forward(x)) * self.scale

    net = Scaled()
    assert list(net.state_dict()) == ["scale", "0.weight", "0.bias", "head.weight", "head.bias"]
    assert len(net) == 2
    before = net.state_dict()
    cr.fit(net, cr.losses.squared, cr.optim.SGD(0.1), np.ones((4, 2)), np.ones(4), steps=1)
    assert all((net.state_dict()[name] != before[name]).any() for name in before)
