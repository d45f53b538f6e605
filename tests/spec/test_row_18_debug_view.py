"""SPEC row 18: for every layer the shapes of its input, output, weights and both gradients; mismatches are named."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import losses, nn
from chainrule.errors import ShapeError


def test_row_18_every_layer_is_a_row_of_shapes() -> None:
    net = nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 3), nn.ReLU(), nn.Linear(3, 1))
    found = net.summary(np.zeros((32, 2)), t=np.zeros((32, 1)), loss=losses.squared)
    rows = [(layer.path, layer.kind, layer.inputs, layer.outputs) for layer in found.layers]
    assert rows == [
        ("0", "Linear", ((32, 2),), ((32, 5),)),
        ("1", "ReLU", ((32, 5),), ((32, 5),)),
        ("2", "Linear", ((32, 5),), ((32, 3),)),
        ("3", "ReLU", ((32, 3),), ((32, 3),)),
        ("4", "Linear", ((32, 3),), ((32, 1),)),
    ]
    assert [layer.input_gradients for layer in found.layers] == [layer.inputs for layer in found.layers]
    assert found.layers[2].weights == {"weight": (5, 3), "bias": (3,)} == found.layers[2].weight_gradients
    assert [layer.parameters for layer in found.layers] == [15, 0, 18, 0, 4] and found.parameters == 37


def test_row_18_it_prints_as_a_table() -> None:
    lines = str(nn.Sequential(nn.Linear(2, 5), nn.ReLU()).summary((32, 2))).splitlines()
    head = ["layer", "kind", "input", "output", "weights", "dL/dinput", "dL/dweights", "parameters", "dtype"]
    assert lines[0].split() == head
    assert "(32, 2)  (32, 5)  weight (2, 5), bias (5,)" in lines[2]
    assert lines[-1] == "15 parameters, 15 trainable"


def test_row_18_a_mismatch_names_both_sides_and_the_users_line_before_any_arithmetic() -> None:
    net = nn.Sequential(nn.Linear(2, 5), nn.Linear(4, 1))
    with pytest.raises(ShapeError, match=r'Linear "1" at test_row_18_debug_view.py:\d+: x is \(32, 5\), .*\(4, 1\)'):
        net.summary((32, 2))


def test_row_18_no_arithmetic_is_done_on_data() -> None:
    """Rows that would take 16 GB are summarized at once."""
    found = cr.summary(nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 1)), (10**9, 2))
    assert found.layers[2].outputs == ((10**9, 1),) and found.layers[0].input_gradients == ((10**9, 2),)
