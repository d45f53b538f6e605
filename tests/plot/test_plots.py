"""Pictures are checked by what is drawn on them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

import chainrule as cr
from chainrule import losses, nn, plot
from chainrule.errors import DataError, MissingExtraError, OptionError, ShapeError
from chainrule.history import History


def history(values: list[float], **more: list[float]) -> History:
    found = History()
    for i, value in enumerate(values):
        found.add(10 * i, {"train": value, **{name: v[i] for name, v in more.items()}}, {})
    return found


def test_several_runs_are_overlaid_and_told_apart() -> None:
    runs = {"a": history([3.0, 1.0], validation=[4.0, 2.0]), "b": history([5.0, 4.0, 3.0])}
    ax = plot.convergence(runs, ax=Figure().add_subplot())
    assert [line.get_label() for line in ax.lines] == ["a, train", "a, validation", "b"]
    assert ax.lines[0].get_color() == ax.lines[1].get_color() != ax.lines[2].get_color()
    assert ax.lines[0].get_linestyle() != ax.lines[1].get_linestyle()
    assert ax.lines[2].get_xdata().tolist() == [0, 10, 20]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a, train", "a, validation", "b"]
    only = plot.convergence([runs["a"]], records=["validation"], ax=Figure().add_subplot())
    assert only.lines[0].get_ydata().tolist() == [4.0, 2.0]


def test_a_loss_of_zero_leaves_a_gap_on_a_log_axis() -> None:
    ax = plot.convergence(history([1.0, 0.0, 0.5]), ax=Figure().add_subplot())
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [1.0, np.nan, 0.5])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plot.convergence([1.0, 2.0], scale="cubic"), "'cubic'"),
        (lambda: plot.convergence(history([1.0]), records=["test"]), "records=test.*recorded were: train"),
        (lambda: plot.convergence(History()), "recorded were: none"),
        (lambda: plot.convergence([1.0], path="a.jpeg"), "a.jpeg.*PNG or SVG"),
        (lambda: plot.parameter_histograms({}), "no snapshots"),
        (lambda: plot.parameter_histograms(nn.Linear(1, 1), names=["w"]), "names=w.*weight, bias"),
    ],
)
def test_bad_options_are_named(call: object, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        call()  # type: ignore[operator]


def test_regions_refuse_what_is_no_plane() -> None:
    with pytest.raises(ShapeError, match=r"\(4, 3\)"):
        plot.decision_regions(nn.Linear(3, 1), np.zeros((4, 3)))
    with pytest.raises(DataError, match=r"x\[1, 0\] is nan"):
        plot.decision_regions(nn.Linear(2, 1), np.array([[0.0, 1.0], [np.nan, 0.0]]))
    with pytest.raises(ShapeError, match=r"one target a row"):
        plot.decision_regions(nn.Linear(2, 1), np.zeros((4, 2)), np.zeros(3))


def test_several_classes_are_shaded_by_the_largest_output() -> None:
    x = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    ax = plot.decision_regions(
        lambda p: cr.stack([-((cr.as_tensor(p) - c) ** 2).sum(axis=1) for c in x], axis=1), x, np.array([0, 1, 2]),
        classes=("a", "b", "c"), resolution=61, ax=Figure().add_subplot(),
    )  # fmt: skip
    (image,) = ax.images
    left, right, bottom, top = image.get_extent()
    n = 61
    first = left + (np.arange(n) + 0.5) * (right - left) / n
    second = bottom + (np.arange(n) + 0.5) * (top - bottom) / n
    points = np.stack(np.meshgrid(first, second), axis=-1)
    nearest = ((points[:, :, None] - x) ** 2).sum(axis=-1).argmin(axis=-1)
    assert (np.asarray(image.get_array()) == nearest).mean() > 0.98  # ties lie on the boundaries
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b", "c", "boundary"]


def test_arrows_are_the_gradient_for_the_data() -> None:
    model = nn.Linear(2, 1, seed=0).astype("float64")
    model.load_state_dict({"weight": np.array([[1.0], [2.0]]), "bias": np.zeros(1)})
    x, t = np.array([[0.1, 0.0], [3.0, 3.0], [0.2, 0.1]]), np.array([1, 1, -1])
    ax = plot.decision_regions(model, x, t, arrows=losses.hinge, ax=Figure().add_subplot())
    (quiver,) = [item for item in ax.collections if type(item).__name__ == "Quiver"]
    # dL/dx = -t w inside the margin, and nothing for the row beyond it
    np.testing.assert_allclose(np.c_[quiver.U, quiver.V], [[-1, -2], [1, 2]], atol=1e-12)
    np.testing.assert_array_equal(quiver.XY, x[[0, 2]])


def test_parameters_through_training_are_one_column_a_snapshot() -> None:
    taken = {0: {"w": np.array([0.0, 0.0, 1.0])}, 10: {"w": np.array([1.0, 1.0, 1.0])}}
    fig = plot.parameter_histograms(taken, bins=2)
    panel = fig.axes[0]
    (mesh,) = panel.collections
    np.testing.assert_allclose(np.ma.filled(mesh.get_array(), 0).reshape(2, 2), [[2 / 3, 0], [1 / 3, 1]])
    assert panel.get_title() == "w (3)" and panel.get_xlabel() == "step"
    assert panel.get_xlim() == (-5, 15)


def test_one_snapshot_is_drawn_as_bars() -> None:
    fig = plot.parameter_histograms(nn.Linear(2, 3, seed=0), bins=4)
    assert [ax.get_title() for ax in fig.axes] == ["weight (6)", "bias (3)"]
    assert fig.axes[0].patches[0].get_data().values.sum() == 6


def test_the_graph_has_its_numbers(tmp_path: Path) -> None:
    x, y, z = cr.variable(-2.0, "x"), cr.variable(5.0, "y"), cr.variable(-4.0, "z")
    ax = plot.graph((((x + y).named("q")) * z).named("f"), path=tmp_path / "graph.svg")
    shown = [text.get_text() for text in ax.texts]
    assert shown.count("1 × -4 = -4") == 2 and {"3 × 1 = 3", "-4 × 1 = -4", "q = add", "-12"} <= set(shown)
    assert (tmp_path / "graph.svg").stat().st_size > 1000


def test_without_matplotlib_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"chainrule\[plot\]"):
        plot.convergence([1.0, 0.5])
