"""The chapter on graphs: every number of one small run, and a module whose data split and join."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule import losses, nn, optim, plot
from chainrule.data import datasets, split
from chainrule.fit import fit
from chainrule.functions import relu
from chainrule.inspect import Trace, svg, trace
from chainrule.inspect.numbers import brief
from chainrule.inspect.picture import picture
from chainrule.plot.canvas import figure
from chainrule.report.page import Picture, Section, Table
from chainrule.tensor import Tensor, variable

__all__ = ["Residual", "chain_rule", "splits_and_joins"]

Say = Callable[[str], None]


class Residual(nn.Module):
    """y = x + relu(x w + b): x splits into two branches, and + joins them.

    Args:
        width: features of x and of y.
    """

    def __init__(self, width: int):
        self.inner = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """x: (n, width) -> y: (n, width)."""
        return x + relu(self.inner(x))


def chain_rule(say: Say = print) -> Section:
    """f = (x + y) z with every number on its graph."""
    x, y, z = variable(-2.0, "x"), variable(5.0, "y"), variable(-4.0, "z")
    q = (x + y).named("q")
    seen = trace((q * z).named("f"))
    slopes = {name: float(_gradient(seen, name)) for name in "xyz"}
    say(f"f = (x + y) z at (-2, 5, -4): f = {float(seen['f'].value):g}, gradient {list(slopes.values())}")
    rows = [
        (f"{edge.source.label} → {edge.target.label}", *map(brief, (edge.local, edge.adjoint, edge.contribution)))
        for edge in seen.edges
    ]
    return Section(
        "The chain rule with every number on it",
        """All that follows is one rule. Take f = (x + y) z at x = -2, y = 5, z = -4. Forward, values flow from
        left to right: q = 3, f = -12. Backward, each node gets the gradient of f from its user, multiplies it by
        the local derivative on the edge, and hands the product on.""",
        "x, y, z = cr.variable(-2.0, 'x'), cr.variable(5.0, 'y'), cr.variable(-4.0, 'z')\n"
        "q = (x + y).named('q')\ninspect.trace((q * z).named('f'))",
        [(f"df/d{name}", f"{slope:g}") for name, slope in slopes.items()],
        [
            Picture(
                svg.draw(picture(seen), "f = (x + y) z"), "The graph of f",
                """On every edge: local derivative × gradient from the right = what flows on to the left. df/dx =
                -4 says: raise x by a little, and f falls by four times as much.""", wide=True,
            ),
        ],
        [Table(("edge", "local derivative", "× gradient of its end", "= contribution"), rows)],
    )  # fmt: skip


def splits_and_joins(seed: int, quick: bool = False, say: Say = print) -> Section:
    """A residual network on two moons, and the graph of one row's loss."""
    x, t = datasets.moons(400, seed=seed, noise=0.15)
    x, t, x_test, t_test = split(x, t, held_out=0.25, seed=seed)
    net = nn.Sequential(nn.Linear(2, 16), Residual(16), Residual(16), nn.Linear(16, 1)).initialize(seed)
    history = fit(
        net, losses.hinge, optim.Adam(3e-3), x, t, epochs=10 if quick else 60, batch_size=32, seed=seed,
        validation=(x_test, t_test),
    )  # fmt: skip
    accuracy = float((net(x_test).numpy() * t_test > 0).mean())
    say(f"network with splits and joins, two moons: held-out accuracy {accuracy:.4f}")
    return Section(
        "Splits and joins: any graph without cycles",
        """A layer's output may go to several places, and several may meet in one. Here x splits: one branch goes
        through a layer, the other goes straight on, and a sum joins them. The rule for the gradient is short: a
        join hands it to all of its inputs, a split adds up what comes back. `forward` is ordinary Python.""",
        "class Residual(nn.Module):\n    def __init__(self, width):\n        self.inner = nn.Linear(width, width)\n\n"
        "    def forward(self, x):\n        return x + cr.relu(self.inner(x))    # x splits, + joins\n\n"
        "net = nn.Sequential(nn.Linear(2, 16), Residual(16), Residual(16), nn.Linear(16, 1))",
        [("held-out rows on the right side", f"{accuracy:.2%}"), ("parameters", f"{_count(net):,}")],
        [
            Picture(
                svg.draw(picture(_split_and_join(seed)), "a residual block"), "One residual block, with numbers",
                """One row with two features goes through y = x + relu(x w + b), and L is the sum of y. Look for
                x: two edges leave it, and its gradient is the sum of what comes back on both.""", wide=True,
            ),
            Picture.of(
                plot.decision_regions(net, x_test, t_test, title="Held-out rows of two moons", ax=_axes()),
                "What the network says of the plane",
                "The boundary follows the moons; between the dashed margins the network is less sure.",
            ),
            Picture.of(
                plot.convergence(history, title="Hinge loss", ax=_axes()), "Convergence",
                "The gap between both is what does not carry over to rows that were not seen.",
            ),
        ],
    )  # fmt: skip


def _split_and_join(seed: int) -> Trace:
    block = Residual(2).astype("float64").initialize(seed)
    block.load_state_dict({"inner.weight": np.array([[0.5, -1.0], [1.0, 0.25]]), "inner.bias": np.array([0.1, -0.2])})
    y = block(variable(np.array([[1.0, 2.0]]), "x")).named("y")
    return trace(y.sum().named("L"))


def _gradient(seen: Trace, label: str) -> Any:
    found = seen[label].gradient
    assert found is not None
    return found


def _count(net: nn.Module) -> int:
    return sum(p.size for p in net.parameters())


def _axes() -> Any:
    return figure(None, (6.8, 5.2)).add_subplot()
