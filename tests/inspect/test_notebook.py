"""What tensors, modules, histories and summaries show of themselves in a notebook; what snapshots keep."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

import chainrule as cr
from chainrule import losses, nn, optim
from chainrule.history import History
from chainrule.inspect import Snapshots


def test_a_tensor_shows_its_corner_shaded_by_size() -> None:
    html = cr.variable(np.arange(-10.0, 190.0).reshape(20, 10), "x")._repr_html_()
    assert "<b>x</b> Tensor (20, 10) float64" in html and "the first 8 x 8 of 20 x 10" in html
    assert html.count("<td") == 64
    assert '<td style="background:rgba(213,94,0,0.07)">-10</td>' in html  # 0.5 * 10 / 67 is the corner's largest
    assert cr.Input((2, 3), "float32", "a<b")._repr_html_() == "<b>a&lt;b</b> Input (2, 3) float32"
    assert ">nan<" in cr.as_tensor([np.nan, 1.0])._repr_html_()
    assert "the first" not in cr.as_tensor(3)._repr_html_()
    assert "(0, 2)" in cr.as_tensor(np.zeros((0, 2)))._repr_html_()


def test_a_module_shows_its_tree_and_counts() -> None:
    html = nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 1))._repr_html_()
    assert "<b>Sequential</b>() 21 parameters" in html
    assert "<li>0: <b>Linear</b>(inputs=2, outputs=5) 15 parameters</li>" in html
    ElementTree.fromstring(f"<div>{html}</div>")


def test_a_history_shows_its_curve_and_its_ends() -> None:
    history = History(steps_done=30, final_records={"train": 0.5})
    for step, loss in ((0, 4.0), (10, 2.0), (20, 1.0)):
        history.add(step, {"train": loss}, {})
    html = history._repr_html_()
    assert "finished after 30 steps" in html and "<td>4</td><td>0.5</td>" in html
    assert 'points="2.0,2.0 120.0,31.3 238.0,46.0"' in html  # 4, 2, 1 between the top, 2, and the bottom, 46
    assert "<table" not in History()._repr_html_()


def test_snapshots_keep_values_and_gradients_by_step() -> None:
    x, t = np.array([[1.0], [2.0]]), np.array([[0.0], [1.0]])
    model = nn.Linear(1, 1, seed=0).astype("float64")
    seen = Snapshots(model, losses.squared, x, t)
    seen.take(0)
    w0, b0 = (float(seen.values[0][name].item()) for name in ("weight", "bias"))
    expected = np.mean(2 * (w0 * x + b0 - t) * x)
    assert seen.gradients[0]["weight"].item() == pytest.approx(expected, rel=1e-12)
    cr.fit(model, losses.squared, optim.SGD(0.1), x, t, steps=3, record_every=1, callbacks=[seen])
    assert max(seen.values) == 3
    assert seen.values[3]["weight"] == model.weight.value != w0
    assert seen.values[0]["weight"] == w0, "what was kept does not change"


def test_snapshots_thin_themselves_out() -> None:
    seen = Snapshots(nn.Linear(1, 1), most=8)
    for step in range(100):
        seen.take(step)
    assert len(seen.values) <= 8 and 0 in seen.values
