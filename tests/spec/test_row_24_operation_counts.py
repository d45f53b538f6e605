"""SPEC row 24: the operation counts of both modes are shown."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.inspect import trace


def test_row_24_numbers_of_both_modes_and_their_costs() -> None:
    w, x, b = cr.variable(2.0, "w"), cr.variable(3.0, "x"), cr.variable(1.0, "b")
    y = cr.sigmoid(w * x + b).named("y")
    seen = trace(y)
    assert seen["y"].value == pytest.approx(0.99908895, abs=5e-9)
    for leaf, expected in ((x, 0.00182044), (w, 0.00273066), (b, 0.00091022)):
        assert seen[leaf].gradient == pytest.approx(expected, abs=5e-9)
        forward = cr.tangent([y], {leaf: 1.0})[0].item()
        assert abs(forward - seen[leaf].gradient) <= 1e-15
    assert seen.value_cost == 3  # times, plus, sigmoid
    # s = y (1 - y) is two operations; reverse: g = s, then g x and g w, and s times the seed
    assert (seen.reverse_cost.passes, seen.reverse_cost.operations) == (1, 5)
    # forward: 3 times s (2 operations) times the tangent (1), and for w and x one product each
    assert (seen.forward_cost.passes, seen.forward_cost.operations) == (3, 11)
    text = str(seen)
    assert "value: 3 operations" in text
    assert "reverse mode: 1 pass, 5 operations" in text and "forward mode: 3 passes, 11 operations" in text


@pytest.mark.parametrize("n", [1, 10, 100])
def test_row_24_reverse_is_one_pass_and_forward_one_for_every_input(n: int) -> None:
    x = cr.variable(np.linspace(0.1, 1.0, n), "x")
    seen = trace(cr.tanh(x * 2.0).sum())
    assert seen.reverse_cost.passes == 1 and seen.forward_cost.passes == n
    one = trace(cr.tanh(cr.variable([0.3], "x") * 2.0).sum())
    assert seen.reverse_cost == one.reverse_cost, "the number of inputs does not matter"
    assert seen.forward_cost.operations == n * one.forward_cost.operations
