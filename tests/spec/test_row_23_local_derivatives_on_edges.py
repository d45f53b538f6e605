"""SPEC row 23: f = (x + y) z at (-2, 5, -4); the local derivatives 1, 1, z, q stand on their edges."""

from __future__ import annotations

import chainrule as cr
from chainrule.evaluate import Program
from chainrule.inspect import Trace, trace


def seen() -> Trace:
    x, y, z = cr.variable(-2.0, "x"), cr.variable(5.0, "y"), cr.variable(-4.0, "z")
    q = (x + y).named("q")
    return trace((q * z).named("f"))


def test_row_23_values_and_gradients() -> None:
    values = {run.label: float(run.value) for run in seen().nodes}
    gradients = {run.label: float(run.gradient) for run in seen().nodes}  # type: ignore[arg-type]
    assert values == {"x": -2, "y": 5, "z": -4, "q": 3, "f": -12}
    assert gradients == {"x": -4, "y": -4, "z": 3, "q": -4, "f": 1}


def test_row_23_what_stands_on_the_edges() -> None:
    edges = {
        (e.source.label, e.target.label): tuple(map(float, (e.value, e.local, e.adjoint, e.contribution)))
        for e in seen().edges
    }
    z, q = -4, 3
    assert edges == {
        ("x", "q"): (-2, 1, -4, -4),
        ("y", "q"): (5, 1, -4, -4),
        ("q", "f"): (3, z, 1, -4),
        ("z", "f"): (-4, q, 1, 3),
    }


def test_row_23_they_are_shown() -> None:
    lines = [line.split() for line in str(seen()).splitlines()]
    for line in ("x → q -2 1 -4 -4", "y → q 5 1 -4 -4", "q → f 3 -4 1 -4", "z → f -4 3 1 3"):
        assert line.split() in lines
    html = seen()._repr_html_()
    for text in (">1 × -4 = -4<", ">-4 × 1 = -4<", ">3 × 1 = 3<"):
        assert text in html


def test_row_23_the_picture_shows_what_the_evaluator_computes() -> None:
    x, y, z = (cr.Input((), name=name) for name in "xyz")
    f = (x + y) * z
    feed = {x: -2.0, y: 5.0, z: -4.0}
    (value,) = Program([x, y, z], [f])(*feed.values())
    assert trace(f, feed=feed).output.value == value == -12
