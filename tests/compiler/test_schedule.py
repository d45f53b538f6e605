"""Graph in, kernels out: what is stored, what is fused, said in pseudo-code."""

from __future__ import annotations

from collections.abc import Sequence

import chainrule as cr
from chainrule import nn
from chainrule.compiler.costs import costs
from chainrule.compiler.merge import merged
from chainrule.compiler.pseudocode import printed
from chainrule.compiler.schedule import schedule


def loops(inputs: Sequence[cr.Tensor], *outputs: cr.Tensor) -> list[str]:
    found = schedule(inputs, outputs)
    found.kernels = merged(found.kernels)
    return printed(found).splitlines()


def test_a_layer_is_one_loop_nest_whose_product_sum_and_relu_are_fused() -> None:
    shapes = {"x": (32, 20), "w": (20, 64), "b": (64,)}
    x, w, b = (cr.Input(shape, "float32", name=name) for name, shape in shapes.items())
    h = cr.relu(x @ w + b)
    h.name = "h"
    assert loops([x, w, b], h) == ["for i < 32, j < 64: h[i, j] = maximum(sum(k < 20: x[i, k] * w[k, j]) + b[j], 0)"]


def test_broadcasts_transposes_flips_and_slices_are_index_arithmetic() -> None:
    x, b = cr.Input((8, 6), name="x"), cr.Input((6,), name="b")
    y = (x[::-1, 1:] + b[1:]).T
    y.name = "y"
    assert loops([x, b], y.named("z")) == ["for i < 5, j < 8: z[i, j] = x[-j + 7, i + 1] + b[i + 1]"]


def test_what_several_read_is_computed_once() -> None:
    x = cr.Input((100,), name="x")
    e = cr.exp(x)
    assert loops([x], (e * e + e).named("y")) == ["for i < 100:", "    exp = exp(x[i])", "    y[i] = exp * exp + exp"]


def test_a_gather_reads_by_row_number_and_a_scatter_adds() -> None:
    x, rows = cr.Input((9, 20), name="x"), cr.Input((4,), "int64", name="rows")
    assert loops([x, rows], x[rows].named("y")) == ["for i < 4, j < 20: y[i, j] = x[rows[i], j]"]
    (g,) = cr.gradient((x[rows] * 2).sum(), [x])
    assert loops([x, rows], g) == ["scatter_add[...] = 0", "for i < 4, j < 20: scatter_add[rows[i], j] += 2"]


def test_a_reshape_moves_nothing() -> None:
    x = cr.Input((4, 10), name="x")
    assert loops([x], (x.reshape(5, 8) * 2).named("y")) == ["for i < 5, j < 8: y[i, j] = x.flat[8 * i + j] * 2"]


def test_parameters_are_called_by_their_paths_in_the_model() -> None:
    net = nn.Sequential(nn.Linear(20, 3), nn.Tanh())
    x = cr.Input((50, 20), "float32", name="x")
    assert loops([x], net(x)) == [
        "for i < 50, j < 3: 1.tanh[i, j] = tanh(sum(k < 20: x[i, k] * 0.weight[k, j]) + 0.bias[j])"
    ]


def test_operations_and_bytes_are_those_of_the_arithmetic() -> None:
    x, w = cr.Input((32, 20), "float32", name="x"), cr.Input((20, 40), "float32", name="w")
    kernels, flops, read, written = costs(schedule([x, w], [x @ w]))
    assert (kernels, flops) == (1, 2 * 32 * 20 * 40)
    assert (read, written) == (4 * (32 * 20 + 20 * 40), 4 * 32 * 40)


def test_a_long_chain_is_cut_and_stays_flat() -> None:
    x = y = cr.Input((10,), name="x")
    for _ in range(3000):
        y = cr.tanh(y) * 0.5
    assert 3 < len(schedule([x], [y]).kernels) < 200
