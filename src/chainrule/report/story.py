"""The story of the demo: model, loss and optimizer on two clouds of points, told in sections with pictures.

Each chapter trains anew and returns its section. `say` gets a line of text when something is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import losses, nn, optim, plot
from chainrule.data import datasets
from chainrule.fit import Progress, fit, fit_data
from chainrule.history import History
from chainrule.inspect import Snapshots, summary
from chainrule.plot.canvas import figure
from chainrule.report.page import Picture, Section, Table

__all__ = ["Story"]

Array = NDArray[Any]
Say = Callable[[str], None]
ETA = 0.05  # the step size with which data move


@dataclass
class Story:
    """The chapters on the canonical data D(seed), in order; with `quick` a tenth of the steps.

    Attributes:
        seed: of the data and of all draws.
        quick: for tests and impatience.
        say: what becomes of a line that says what was done.
    """

    seed: int = 0
    quick: bool = False
    say: Say = print
    x: Array = field(init=False)
    t: Array = field(init=False)

    def __post_init__(self) -> None:
        self.x, self.t = datasets.two_gaussians(1000, seed=self.seed)

    def sections(self) -> Iterator[Section]:
        """Every chapter, told one by one."""
        yield self.squared()
        line = self._line(losses.hinge)
        yield self.hinge(*line)
        yield self.moved(line[0])
        yield self.layers()

    def squared(self) -> Section:
        """A linear model, the squared loss, one sample a step."""
        line, history = self._line(losses.squared)
        best = self._least_squares()
        mine = float(((line(self.x).numpy() - self.t) ** 2).sum())
        self.say(f"linear model, squared loss: accuracy {self._accuracy(line):.4f}, {mine / best:.4f} x least squares")
        regions = plot.decision_regions(line, self.x, self.t, title="Linear model, squared loss", ax=_axes())
        curve = plot.convergence(history, title="Squared loss over all rows", ax=_axes())
        return Section(
            "A line, the squared loss, one sample a step",
            """Two clouds of 1000 points, with the targets -1 and +1. The model is y = x w + b, from w = 0. Each
            step draws one row, and moves w and b a little against the gradient of that row's loss (t - y)². No
            step sees more than one row; the curve shows the loss over all of them.""",
            "line = nn.Linear(2, 1)\nhistory = cr.fit(line, losses.squared, optim.SGD(1e-3), x, t, "
            f"steps={self._steps:_}, batch_size=1, record_every=100)",
            [
                ("rows on the right side", f"{self._accuracy(line):.2%}"),
                ("of the squared error of exact least squares", f"{mine / best:.4f} ×"),
                (f"steps in {history.seconds:.1f} s", f"{history.steps_done:,}"),
            ],
            [
                Picture.of(
                    regions, "What the line says of the plane",
                    """The solid contour is y = 0, the decision; the dashed ones are y = -1 and y = +1. Squared
                    loss wants each cloud on its dashed line, and punishes points that are right by too much as
                    well.""",
                ),
                Picture.of(
                    curve, "Convergence",
                    """Most of the way is made in the first tenth of the steps; then the
                    loss stays near that of exact least squares, with the small unrest of single samples.""",
                ),
            ],
        )  # fmt: skip

    def hinge(self, line: nn.Module, history: History) -> Section:
        """The same line with another loss: one argument is exchanged."""
        self.say(f"linear model, hinge loss: accuracy {self._accuracy(line):.4f}, hinge sum {self._hinge(line):.1f}")
        regions = plot.decision_regions(
            line, self.x, self.t, arrows=losses.hinge, title="Linear model, hinge loss", ax=_axes()
        )
        curve = plot.convergence(history, title="Hinge loss over all rows", ax=_axes())
        share = float((self._margins(line, self.x) >= 1).mean())
        return Section(
            "Another loss: hinge",
            """Model, loss and optimizer do not know each other, so any of them can be exchanged. The hinge loss
            max(0, 1 - t y) is content with a row that is right with a margin of 1, and pulls only at the others.""",
            "cr.fit(line, losses.hinge, optim.SGD(1e-3), x, t, "
            f"steps={self._steps:_}, batch_size=1, record_every=100)",
            [
                ("rows on the right side", f"{self._accuracy(line):.2%}"),
                ("hinge loss, sum over all rows", f"{self._hinge(line):.1f}"),
                ("rows beyond the margin, which pull no more", f"{share:.1%}"),
            ],
            [
                Picture.of(
                    regions, "The margins, and who still pulls",
                    """The arrows are dL/dx, the direction in which a row's loss would grow: rows outside the
                    dashed margins on their own side have none. All arrows are parallel, for a line has one
                    direction w only.""",
                ),
                Picture.of(curve, "Convergence", "The loss over all rows, recorded every 100 steps."),
            ],
        )  # fmt: skip

    def moved(self, line: nn.Module) -> Section:
        """The gradient for the data: the line stays, the rows move until all are right."""
        before = self._margins(line, self.x)
        history = fit_data(
            line, losses.hinge, optim.SGD(ETA), self.x, self.t, steps=20_000 if self.quick else 2_000_000,
            seed=self.seed, record_every=5000, callbacks=_nothing_left,
        )  # fmt: skip
        data = history.data
        assert data is not None
        left = float(losses.hinge(line(data), self.t).sum().item())
        wrong = float((line(data).numpy() * self.t <= 0).mean())
        moved = np.flatnonzero((data != self.x).any(axis=1))
        reach = ETA * float((line.state_dict()["weight"] ** 2).sum())
        needed = int(np.ceil(np.maximum(1 - before, 0) / reach).sum())
        self.say(
            f"data moved: hinge sum {left}, accuracy {1 - wrong:.4f}, {len(moved)} rows in {history.updates} moves, "
            f"{history.steps_done} draws, {history.seconds:.1f} s"
        )
        return Section(
            "The data move, the line stays",
            f"""The chain rule does not stop at the weights: the same pass gives dL/dx, how the loss would change
            if a row of the data moved. Now the line is kept, and every row that is drawn moves against its own
            gradient, until nothing is left to gain. A row moves straight along w, by {ETA} w each time it is
            drawn, and rests as soon as its margin t y reaches 1. So it can be said beforehand how many moves all
            rows need together: {needed:,}.""",
            "moved = cr.fit_data(line, losses.hinge, optim.SGD(0.05), x, t, steps=...).data",
            [
                ("hinge loss, sum over all rows", f"{left:g}"),
                ("rows on the right side", f"{1 - wrong:.2%}"),
                ("rows that moved, of 2,000", f"{len(moved):,}"),
                (f"moves, in {history.steps_done:,} draws", f"{history.updates:,}"),
            ],
            [
                Picture.of(
                    _before_and_after(line, self.x, self.t, data, moved), "Before and after",
                    """Left the data as they were, right as they are now, with a stroke from where each moved row
                    stood. Look for: all strokes are parallel to w, they end on the row's own margin line or just
                    beyond it, and rows that were already beyond it have not moved at all.""", wide=True,
                ),
                Picture.of(
                    _margin_histograms(before, self._margins(line, data)), "Margins t y, before and after",
                    "Everything left of 1 was carried to 1 or just beyond it; the rest is as it was.",
                ),
                Picture.of(
                    plot.convergence(history, scale="linear", title="Hinge loss while the data move", ax=_axes()),
                    "Convergence",
                    """Rows far on the wrong side need many draws, so the end is slow; it reaches
                    exactly 0.""",
                ),
            ],
        )  # fmt: skip

    def layers(self) -> Section:
        """A network of three layers, with all that can be seen of it."""
        net = nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 1)).astype("float64")
        seen = Snapshots(net.initialize(self.seed))
        history = fit(
            net, losses.squared, optim.SGD(1e-3), self.x, self.t, steps=self._steps, batch_size=1, seed=self.seed,
            record_every=100, callbacks=_now_and_then(seen, self._steps // 50),
        )  # fmt: skip
        sum_of_squares = 2000 * (history.final or 0.0)
        self.say(f"MLP 2-5-5-1: accuracy {self._accuracy(net):.4f}, sum of squares {sum_of_squares:.1f}")
        shapes = [layer.cells() for layer in summary(net, (2000, 2), loss=losses.squared, t=(2000, 1)).layers]
        columns = ("layer", "kind", "input", "output", "weights", "dL/dinput", "dL/dweights", "parameters", "dtype")
        return Section(
            "Layers: the boundary bends",
            """Three linear layers with ReLU between them, 2 - 5 - 5 - 1. Backpropagation is the chain rule,
            layer by layer: each gets the gradient of its output, and gives those of its weights and of its input.
            The table shows the shapes of all of them; a gradient always has the shape of what it belongs to.""",
            "net = nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 1))\n"
            f"cr.fit(net, losses.squared, optim.SGD(1e-3), x, t, steps={self._steps:_}, batch_size=1)",
            [
                ("rows on the right side", f"{self._accuracy(net):.2%}"),
                ("squared loss, sum over all rows", f"{sum_of_squares:.1f}"),
                ("the same for the best line there is", f"{self._least_squares():.1f}"),
            ],
            [
                Picture.of(
                    plot.decision_regions(net, self.x, self.t, title="MLP 2-5-5-1, squared loss", ax=_axes()),
                    "What the network says of the plane",
                    """Flat plateaus near -1 and +1 with a steep step between: the squared loss is now small on
                    both sides. On the plateaus the output is almost level, so the dashed contours of -1 and +1
                    wander.""",
                ),
                Picture.of(
                    plot.convergence(history, title="Squared loss over all rows", ax=_axes()), "Convergence",
                    "A fast fall, then a long improvement while the kinks of the ReLUs find their places.",
                ),
                Picture.of(
                    plot.output_histogram(net, self.x, self.t, ax=_axes()).axes, "Outputs",
                    """Two peaks, near -1 and near +1. What lies between them, or at the wrong one, are the rows
                    where the clouds overlap: no model can know better there.""",
                ),
                Picture.of(
                    plot.decision_regions(
                        net, self.x, self.t, arrows=losses.squared, title="Where the loss of a row grows", ax=_axes()
                    ),
                    "The gradient for the data",
                    """Backpropagation does not end at the first layer: the arrows are dL/dx, the direction in which
                    a row's loss grows. A line has one direction only; here every linear piece has its own.""",
                ),
                Picture.of(
                    plot.parameter_histograms(seen), "Parameters through training",
                    """Each column of a panel is a histogram at one moment; a few weights show as lines. Lines that run
                    apart and then rest have found their places; if all were level from the left to the right, the layer
                    would not have learned.""",
                    wide=True,
                ),
            ],
            [Table(columns, shapes)],
        )  # fmt: skip

    @property
    def _steps(self) -> int:
        return 10_000 if self.quick else 100_000

    def _line(self, loss: Any) -> tuple[nn.Module, History]:
        line = nn.Linear(2, 1, init=nn.initializers.zeros, init_bias=nn.initializers.zeros, dtype="float64")
        history = fit(
            line, loss, optim.SGD(1e-3), self.x, self.t, steps=self._steps, batch_size=1, record_every=100,
            seed=self.seed,
        )  # fmt: skip
        return line, history

    def _least_squares(self) -> float:
        design = np.column_stack((self.x, np.ones(len(self.x))))
        return float(np.linalg.lstsq(design, self.t, rcond=None)[1][0])

    def _accuracy(self, model: nn.Module) -> float:
        return float((self._margins(model, self.x) > 0).mean())

    def _margins(self, model: nn.Module, x: Array) -> Array:
        return (model(x).numpy() * self.t)[:, 0]

    def _hinge(self, model: nn.Module) -> float:
        return float(losses.hinge(model(self.x), self.t).sum().item())


def _nothing_left(progress: Progress) -> bool:
    found = progress.history.loss
    return bool(len(found)) and bool(found[-1] == 0)


def _now_and_then(seen: Snapshots, every: int) -> Callable[[Progress], None]:
    """A callback that takes a snapshot of what is there before the first step, and then about `every` steps."""
    seen.take(0)
    due = every

    def take(progress: Progress) -> None:
        nonlocal due
        if progress.step >= due:
            seen.take(progress.step)
            due = progress.step - progress.step % every + every

    return take


def _axes() -> Any:
    return figure(None, (6.8, 5.2)).add_subplot()


def _before_and_after(line: nn.Module, x: Array, t: Array, data: Array, moved: Array) -> Any:
    from matplotlib.collections import LineCollection

    fig = figure(None, (13.2, 5.4))
    left, right = fig.subplots(1, 2)
    plot.decision_regions(line, x, t, title="Before", ax=left)
    plot.decision_regions(line, data, t, title="After", ax=right)
    strokes = np.stack((x[moved], data[moved]), axis=1)
    right.add_collection(LineCollection(list(strokes), colors="#222222", linewidths=0.8, alpha=0.6, zorder=4))
    right.scatter(*data[moved].T, s=6, color="#222222", zorder=5)
    right.set(xlim=left.get_xlim(), ylim=left.get_ylim())
    return fig


def _margin_histograms(before: Array, after: Array) -> Any:
    ax = _axes()
    edges = np.linspace(min(before.min(), after.min()), np.quantile(before, 0.999), 80)
    for values, name, style in ((before, "before", {"color": "#0072b2"}), (after, "after", {"color": "#d55e00"})):
        counts = np.histogram(values, edges)[0]
        ax.stairs(counts, edges, fill=True, alpha=0.35, **style)
        ax.stairs(counts, edges, label=name, linewidth=1.4, **style)
    ax.axvline(1, color="#222222", linestyle="dashed", linewidth=1.2)
    ax.set(xlabel="margin t y", ylabel="rows", title="Margins")
    ax.legend()
    return ax
