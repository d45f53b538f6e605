"""Pictures of graphs: every number is on them, nothing overlaps, large graphs collapse by module."""

from __future__ import annotations

import re
from itertools import combinations
from xml.etree import ElementTree

import numpy as np

import chainrule as cr
from chainrule import losses, nn
from chainrule.inspect import trace
from chainrule.inspect.drawing import Drawing, drawing
from chainrule.inspect.layout import layout
from chainrule.inspect.picture import picture
from chainrule.inspect.svg import draw


def worked_example() -> cr.Tensor:
    x, y, z = cr.variable(-2.0, "x"), cr.variable(5.0, "y"), cr.variable(-4.0, "z")
    return (((x + y).named("q")) * z).named("f")


def deep_loss(layers: int = 6) -> cr.Tensor:
    net = nn.Sequential(*(layer for i in range(layers) for layer in (nn.Linear(2, 2, seed=i), nn.ReLU())))
    x = cr.variable(np.random.RandomState(0).randn(4, 2), "x")
    return losses.squared(net(x), np.zeros((4, 2))).mean().named("loss")


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def assert_nothing_overlaps(found: Drawing) -> None:
    boxes = [(p.x, p.y, p.x + p.width, p.y + p.height) for p in found.places]
    for a, b in combinations(boxes, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], (a, b)
    for x0, y0, x1, y1 in boxes:
        assert x0 >= 0 and y0 >= 0 and x1 <= found.width and y1 <= found.height
    for arrow in found.arrows:
        (x, y), half = arrow.center, arrow.width / 2
        for x0, y0, x1, y1 in boxes if arrow.text else []:
            assert x + half <= x0 or x1 <= x - half or y + 7 <= y0 or y1 <= y - 7, arrow.text


def test_the_worked_example_has_its_numbers_on_every_edge() -> None:
    shown = texts(draw(picture(trace(worked_example()))))
    assert shown.count("1 × -4 = -4") == 2  # x and y: local 1, adjoint -4
    assert {"-4 × 1 = -4", "3 × 1 = 3", "q = add", "f = multiply", "-12"} <= set(shown)


def test_nothing_overlaps() -> None:
    x = cr.variable(3.0, "x")
    for output in (worked_example(), (x * x + cr.sin(x)).named("f"), deep_loss(2)):
        assert_nothing_overlaps(drawing(picture(trace(output), limit=100)))


def test_a_large_graph_collapses_by_module_and_small_ones_do_not() -> None:
    seen = trace(deep_loss())
    assert len(picture(seen, limit=1000).boxes) == len(seen.nodes)
    collapsed = picture(seen)
    titles = [box.title for box in collapsed.boxes]
    assert [f"Sequential.{i}" for i in range(12)] == [title for title in titles if title.startswith("Sequential")]
    assert titles[0] == "x" and len(titles) <= 24
    assert all(link.source < link.target for link in collapsed.links)
    assert_nothing_overlaps(drawing(collapsed))


def test_a_module_that_is_used_twice_makes_no_cycle() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            self.inner = nn.Linear(2, 2, seed=0)

        def forward(self, x: cr.Tensor) -> cr.Tensor:
            return self.inner(cr.relu(self.inner(x))) + x

    collapsed = picture(trace(Twice()(cr.variable(np.ones((1, 2)), "x")).sum()), limit=8)
    assert [box.title for box in collapsed.boxes].count("Twice.inner") in (0, 2)
    assert all(link.source < link.target for link in collapsed.links)


def test_a_long_edge_goes_around_the_boxes_between() -> None:
    found = layout(["a", "b", "c", "d"], [("a", "b"), ("b", "c"), ("c", "d"), ("a", "d")])
    assert [found.places[box][0] for box in "abcd"] == [0, 1, 2, 3]
    between = found.routes[3][1:-1]
    assert len(between) == 2
    assert not set(between) & set(found.places.values())


def test_names_are_escaped() -> None:
    text = draw(picture(trace(cr.variable(1.0, "<b>&").named("y"))))
    ElementTree.fromstring(text)
    assert "&lt;b&gt;&amp;" in text and "<b>" not in text


def test_the_notebook_shows_picture_and_tables() -> None:
    html = trace(worked_example())._repr_html_()
    assert html.count("<svg") == 1 and html.count("<table") == 2
    assert re.search(r"<td>q → f</td><td>3</td><td>-4</td><td>1</td><td>-4</td>", html)


def test_a_graph_without_modules_that_is_too_large_is_cut_and_says_so() -> None:
    x = cr.variable(1.0, "x")
    y = x
    for _ in range(300):
        y = y * 1.01
    seen = trace(y)
    assert "the last 200" in str(seen) and "the last 200" in seen._repr_html_()
    assert "<svg" not in seen._repr_html_()
