"""Make the pictures of the README and the tutorial: `python docs/make_pictures.py [FOLDER]`."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

import chainrule as cr
from chainrule import inspect, losses, nn, optim
from chainrule.inspect.picture import picture
from chainrule.inspect.svg import draw

IMAGES = Path(__file__).parent / "images"


def glass_box() -> str:
    """The graph of f = (x + y) z at (-2, 5, -4), with the numbers of both passes."""
    x, y, z = cr.variable(-2.0, "x"), cr.variable(5.0, "y"), cr.variable(-4.0, "z")
    q = (x + y).named("q")
    return draw(picture(inspect.trace((q * z).named("f"))), "f = (x + y) z: values and derivatives on every edge")


def moves() -> Figure:
    """Left: the classifier moved to the data. Right: the same classifier held fixed, and the data moved to it."""
    x, t = cr.datasets.moons(50, seed=2, noise=0.25)
    net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)).initialize(0).astype("float64")
    cr.fit(net, losses.hinge, optim.Momentum(0.01), x, t, steps=3000)
    moved = cr.fit_data(net, losses.hinge, optim.SGD(0.01), x, t, steps=3000, batch_size=None).data
    figure = Figure(figsize=(9.6, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    plain = {"resolution": 81, "margins": ()}
    cr.plot.decision_regions(net, x, t, ax=left, title="The classifier moves, the data stay", **plain)
    cr.plot.decision_regions(net, moved, t, ax=right, title="The data move, the classifier stays", **plain)
    far = np.flatnonzero(np.abs(moved - x).max(axis=1) > 0)
    for row in far:
        right.plot(*np.stack([x[row], moved[row]]).T, color="#222222", linewidth=0.9)
    right.scatter(*x[far].T, facecolors="none", edgecolors="#222222", s=16, linewidths=0.8, zorder=4)
    for bar in [ax for ax in figure.axes if ax not in (left, right)]:
        bar.remove()
    return figure


def main(folder: Path) -> None:
    """Write all pictures into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "glass-box.svg").write_text(glass_box() + "\n", encoding="utf-8")
    # the same bytes in every run, and letters that the reader's browser draws
    with matplotlib.rc_context({"svg.hashsalt": "chainrule", "svg.fonttype": "none", "image.composite_image": True}):
        moves().savefig(folder / "moves.svg", metadata={"Date": None}, dpi=30)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES)
