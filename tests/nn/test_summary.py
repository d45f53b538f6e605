"""The table of layers, beyond SPEC row 18: several inputs, shared layers, layers that compute nothing."""

from __future__ import annotations

import numpy as np

import chainrule as cr
from chainrule import nn


def test_a_layer_that_computes_nothing_says_so() -> None:
    found = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5)).summary((4, 2))
    assert [layer.kind for layer in found.layers] == ["Linear", "Dropout"]
    assert found.layers[1].inputs == () and "passed on" in str(found)


def test_a_shared_layer_is_counted_once_and_shows_every_call() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            self.a = nn.Linear(2, 2)
            self.b = self.a

        def forward(self, x: cr.Tensor, z: cr.Tensor) -> cr.Tensor:
            return x + self.a(x) * self.b(z)

    found = cr.summary(Twice(), (3, 2), (3, 2))
    assert found.parameters == 6
    model, shared = found.layers
    assert (model.path, model.inputs, model.outputs) == ("", ((3, 2), (3, 2)), ((3, 2),))
    assert shared.inputs == ((3, 2), (3, 2)) == shared.input_gradients


def test_integers_have_no_gradient_and_running_statistics_none_either() -> None:
    found = nn.Sequential(nn.Embedding(10, 4), nn.BatchNorm(4)).summary(np.array([1, 2, 3]))
    embedding, norm = found.layers
    assert embedding.inputs == ((3,),) and embedding.input_gradients == (None,)
    assert set(norm.weights) - set(norm.weight_gradients) == {"running_mean", "running_var"}
    assert found.trainable == found.parameters - 8


def test_as_html() -> None:
    html = nn.Linear(2, 3, seed=0).summary((4, 2))._repr_html_()
    assert "<td>(4, 2)</td><td>(4, 3)</td><td>weight (2, 3), bias (3,)</td>" in html
    assert "9 parameters, 9 trainable" in html
