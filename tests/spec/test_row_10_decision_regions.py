"""SPEC row 10: scatter by class, shaded score, 0-contour and margins, all on one extent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure

import chainrule as cr
from chainrule import nn

WEIGHT, BIAS = np.array([1.3, -0.7]), 0.4
RESOLUTION = 41


def linear_model() -> nn.Linear:
    model = nn.Linear(2, 1, seed=0).astype("float64")
    model.load_state_dict({"weight": WEIGHT[:, None], "bias": np.array([BIAS])})
    return model


def drawn() -> tuple[Any, np.ndarray, np.ndarray]:
    x, t = cr.datasets.two_gaussians(100, seed=0)
    ax = Figure().add_subplot()
    return cr.plot.decision_regions(linear_model(), x, t, resolution=RESOLUTION, ax=ax), x, t


def contours(ax: Any) -> dict[float, np.ndarray]:
    """level -> the vertices of its contour."""
    sets = [item for item in ax.collections if isinstance(item, QuadContourSet)]
    return {level: path.vertices for item in sets for level, path in zip(item.levels, item.get_paths(), strict=True)}


def test_row_10_the_contours_lie_on_the_analytic_lines() -> None:
    ax, _, _ = drawn()
    cell = np.ptp([ax.get_xlim(), ax.get_ylim()], axis=1) / (RESOLUTION - 1)
    found = contours(ax)
    assert sorted(found) == [-1.0, 0.0, 1.0]
    for level, points in found.items():
        assert len(points) > RESOLUTION // 2
        # how far each vertex is from w x + b = level along either axis, in cells
        for axis in (0, 1):
            off = (points @ WEIGHT + BIAS - level) / WEIGHT[axis] / cell[axis]
            assert np.abs(off).max() < 0.5
        assert np.ptp(points, axis=0).max() > 0.5 * np.ptp(ax.get_xlim()), "the line crosses the picture"


def test_row_10_shading_and_contour_share_one_extent() -> None:
    ax, _, _ = drawn()
    (image,) = ax.images
    left, right, bottom, top = image.get_extent()
    score = np.asarray(image.get_array())
    n = RESOLUTION
    assert score.shape == (n, n)
    first = left + (np.arange(n) + 0.5) * (right - left) / n  # the centers of the pixels
    second = bottom + (np.arange(n) + 0.5) * (top - bottom) / n
    np.testing.assert_allclose(score, WEIGHT[0] * first[None] + WEIGHT[1] * second[:, None] + BIAS, atol=1e-12)
    np.testing.assert_allclose((first[0], first[-1]), ax.get_xlim(), atol=1e-12)
    np.testing.assert_allclose((second[0], second[-1]), ax.get_ylim(), atol=1e-12)
    assert image.origin == "lower"


def test_row_10_the_data_are_scattered_by_class() -> None:
    ax, x, t = drawn()
    clouds = {item.get_label(): item for item in ax.collections if not isinstance(item, QuadContourSet)}
    for label, value in (("t = -1", -1), ("t = 1", 1)):
        np.testing.assert_array_equal(clouds[label].get_offsets(), x[t[:, 0] == value])
    low, high = (tuple(clouds[label].get_facecolor()[0]) for label in ("t = -1", "t = 1"))
    assert low != high
    # and each class has the color of its side of the shading
    (image,) = ax.images
    assert np.abs(np.subtract(image.cmap(0.0)[:3], low[:3])).max() < 0.02
    assert np.abs(np.subtract(image.cmap(1.0)[:3], high[:3])).max() < 0.02
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["t = -1", "t = 1", "score = 0", "score = -1, 1"]


@pytest.mark.parametrize("targets", [(0, 1), (3, 7)])
def test_row_10_margins_are_drawn_for_targets_of_plus_and_minus_one_only(targets: tuple[int, int]) -> None:
    x, t = cr.datasets.two_gaussians(100, seed=0)
    other = np.where(t > 0, targets[1], targets[0])
    ax = cr.plot.decision_regions(linear_model(), x, other, ax=Figure().add_subplot())
    assert list(contours(ax)) == [0.0]
