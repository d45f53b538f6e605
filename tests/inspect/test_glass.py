"""The glass box: its numbers are those of the formula, and its parts add up to the library's own gradient."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import losses, nn
from chainrule.errors import GradientError, OptionError
from chainrule.inspect import Trace, trace


def worked_example() -> Trace:
    x, y, z = cr.variable(-2.0, "x"), cr.variable(5.0, "y"), cr.variable(-4.0, "z")
    return trace((((x + y).named("q")) * z).named("f"))


def small_model() -> tuple[Trace, nn.Module, cr.Tensor]:
    net = nn.Sequential(nn.Linear(2, 3, seed=0), nn.Tanh(), nn.Linear(3, 1, seed=1)).astype("float64")
    x = cr.variable(np.random.RandomState(0).randn(4, 2), "x")
    return trace(losses.squared(net(x), np.ones((4, 1))).mean().named("loss")), net, x


def test_naming_a_result_adds_no_node_to_what_is_shown() -> None:
    seen = worked_example()
    assert [run.label for run in seen.nodes] == ["x", "y", "z", "q", "f"]
    assert [run.operation for run in seen.nodes] == ["variable"] * 3 + ["add", "multiply"]
    assert len(seen.edges) == 4


def test_the_contribution_is_local_times_adjoint_and_a_node_is_the_sum_of_its_edges() -> None:
    s = cr.variable([0.5, 3.0], "s")
    seen = trace((s * s + cr.sin(s)).sum())
    for edge in seen.edges:
        if edge.local is not None:
            np.testing.assert_array_equal(edge.contribution, edge.local * edge.adjoint)
    total = sum(edge.contribution for edge in seen.edges if edge.source.label == "s")
    np.testing.assert_array_equal(total, seen["s"].gradient)
    np.testing.assert_allclose(seen["s"].gradient, 2 * np.array([0.5, 3.0]) + np.cos([0.5, 3.0]), rtol=1e-15)


def test_gradients_equal_those_of_autodiff_on_a_model() -> None:
    seen, net, x = small_model()
    wrt = [x, *net.parameters()]
    expected = cr.gradient(seen.output.node, wrt)
    for leaf, g in zip(wrt, expected, strict=True):
        np.testing.assert_array_equal(seen[leaf].gradient, g.numpy())


def test_labels_carry_the_path_in_the_model() -> None:
    seen, net, _ = small_model()
    labels = {run.label for run in seen.nodes}
    assert set(net.named_parameters()) <= labels
    assert {"0.contract", "1.tanh", "2.contract", "loss"} <= labels


def test_the_jacobian_of_a_product_is_made_on_request() -> None:
    x, w = cr.variable([[1.0, 2.0]], "x"), cr.variable([[3.0, 4.0], [5.0, 6.0]], "w")
    edge = trace((x @ w).sum()).edge("x", "contract")
    assert edge.local is None
    np.testing.assert_array_equal(edge.jacobian(), np.array([[[[3.0, 5.0]], [[4.0, 6.0]]]]))
    with pytest.raises(OptionError, match="4 elements, over 3"):
        edge.jacobian(limit=3)


def test_constants_and_blocked_flows_have_no_gradient() -> None:
    x = cr.variable(3.0, "x")
    seen = trace(x * 2.0 + cr.stop_gradient(x))
    assert seen["2"].gradient is None and seen.edge("2", "multiply").contribution is None
    assert seen.edge("x", "stop_gradient").contribution is None
    assert seen["x"].gradient == 2.0


def test_an_edge_that_stands_twice_is_found_by_its_place() -> None:
    x = cr.variable(3.0, "x")
    seen = trace((x * x).named("y"))
    with pytest.raises(KeyError, match=r"2 edges from x to y"):
        seen.edge("x", "y")
    assert seen.edge("x", "y", 1).contribution == 3.0


def test_placeholders_are_fed_and_parameters_have_their_present_value() -> None:
    x, w = cr.Input((), name="x"), cr.Parameter(np.float64(2.0), "w")
    y = w * x
    w.value = np.float64(10.0)
    seen = trace(y, feed={x: 3.0})
    assert seen.output.value == 30.0 and seen["w"].gradient == 3.0 and seen["x"].gradient == 10.0
    with pytest.raises(OptionError, match="'x'"):
        trace(y)
    with pytest.raises(OptionError, match=r"'x'.*\(2,\)"):
        trace(y, feed={x: [1.0, 2.0]})


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(GradientError, match=r"'v'.*\(2,\).*seed"):
        trace(cr.variable([1.0, 2.0]).named("v"))
    assert trace((cr.variable([1.0, 2.0], "x") * 3.0), seed=[1.0, 10.0])["x"].gradient.tolist() == [3.0, 30.0]


def test_the_text_names_the_users_line_and_has_every_number() -> None:
    text = str(worked_example())
    assert "q → f  3      -4                1                   -4" in text
    assert "test_glass.py:" in text
    assert "reverse mode: 1 pass" in text and "forward mode: 3 passes" in text
