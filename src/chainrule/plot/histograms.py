"""Histograms: of a model's outputs, and of its parameters and gradients through a training run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule.errors import OptionError, ShapeError, explain
from chainrule.inspect import Snapshots
from chainrule.nn import Module
from chainrule.plot.canvas import COLORS, Path, axes, figure, save
from chainrule.plot.regions import scores

__all__ = ["OutputHistogram", "output_histogram", "parameter_histograms"]

HATCHES = ("", "//", "\\\\", "..", "xx", "++")


class OutputHistogram(NamedTuple):
    """What `output_histogram` counted.

    Attributes:
        counts: how many outputs fall into each bin, by group: (bins,) int64.
        edges: the bins' bounds: (bins + 1,).
        axes: where it is drawn.
    """

    counts: dict[str, np.ndarray]
    edges: np.ndarray
    axes: Any

    @property
    def total(self) -> np.ndarray:
        """The counts of all groups together."""
        return np.sum(list(self.counts.values()), axis=0)


def output_histogram(
    model: Callable[..., Any],
    x: Any,
    t: Any = None,
    *,
    bins: int | Sequence[float] = 50,
    title: str = "Outputs",
    ax: Any = None,
    path: Path = None,
) -> OutputHistogram:
    """How the outputs of `model` are spread, by the target of their rows.

    Args:
        model: rows -> (n,), (n, 1), or (n, k), whose columns are then the groups.
        x: data, one row a sample.
        t: one target a row; its values, if they are at most 10, are the groups of a model of one output.
        bins: how many of one width, or their edges.
        title, ax, path: texts, and see the package.

    Raises DataError for outputs that are not finite.
    """
    y = scores(model, np.asarray(x))
    groups = _groups(y.reshape(len(y), -1), t)
    edges = np.histogram_bin_edges(y, bins)
    counts = {name: np.histogram(values, edges)[0] for name, values in groups.items()}
    ax = axes(ax, path)
    for i, (name, count) in enumerate(counts.items()):
        color, hatch = COLORS[i % len(COLORS)], HATCHES[i % len(HATCHES)]
        ax.stairs(count, edges, fill=True, color=color, alpha=0.35)
        ax.stairs(count, edges, color=color, linewidth=1.4, hatch=hatch, label=name)
    ax.set(xlabel="output", ylabel=f"rows (of {len(y):,})", title=title)
    if len(counts) > 1:
        ax.legend()
    save(ax.figure, path)
    return OutputHistogram(counts, edges, ax)


def _groups(y: np.ndarray, t: Any) -> dict[str, np.ndarray]:
    if y.shape[1] > 1:
        return {f"output {i}": y[:, i] for i in range(y.shape[1])}
    if t is None:
        return {"all": y[:, 0]}
    t = np.asarray(t)
    if t.size != len(y):
        raise ShapeError(explain("output_histogram", f"{len(y)} rows, t is {t.shape}", "there is one target a row"))
    t = t.reshape(-1)
    kinds = np.unique(t)
    if len(kinds) > 10:
        return {"all": y[:, 0]}
    return {f"t = {kind:g}" if t.dtype.kind in "fiu" else f"t = {kind}": y[t == kind, 0] for kind in kinds}


def parameter_histograms(
    source: Snapshots | Module | Mapping[int, Mapping[str, Any]],
    *,
    names: Sequence[str] | None = None,
    gradients: bool = False,
    bins: int = 40,
    path: Path = None,
) -> Any:
    """How parameters, or their gradients, are spread, and how that changes with the step: one panel a parameter.

    Args:
        source: `inspect.Snapshots` that was a callback of `fit`; {step: {name: array}}; or a module as it is now.
        names: which parameters; None: all.
        gradients: show the gradients that `Snapshots` kept, not the values.
        bins: bins of every panel.
        path: see the package.

    Returns the Figure. Each column of a panel is the histogram of one snapshot; a single snapshot is drawn as bars.
    Raises OptionError when there is nothing to show.
    """
    taken = _taken(source, gradients)
    steps = sorted(taken)
    known = list(taken[steps[0]]) if steps else []
    shown = known if names is None else list(names)
    if not shown or not set(shown) <= set(known):
        got = "no snapshots" if not known else f"names={', '.join(sorted(set(shown) - set(known)))}"
        rule = f"there are: {', '.join(known) or 'none'}"
        raise OptionError(explain("parameter_histograms", got, rule, "Give fit the Snapshots in callbacks=[...]."))
    across = min(3, len(shown))
    down = -(-len(shown) // across)
    fig = figure(path, (4.0 * across, 2.8 * down + 0.3))
    panels = fig.subplots(down, across, squeeze=False).ravel()
    what = "gradient" if gradients else "value"
    for ax, name in zip(panels, shown, strict=False):
        _panel(ax, steps, [np.asarray(taken[step][name]).ravel() for step in steps], bins, name, what)
    for ax in panels[len(shown) :]:
        ax.remove()
    fig.suptitle("Gradients through training" if gradients else "Parameters through training")
    save(fig, path)
    return fig


def _taken(source: Any, gradients: bool) -> Mapping[int, Mapping[str, Any]]:
    if isinstance(source, Snapshots):
        return source.gradients if gradients else source.values
    if isinstance(source, Module):
        return {0: {name: p.value for name, p in source.named_parameters(trainable_only=True).items()}}
    return source


def _panel(ax: Any, steps: Sequence[int], values: Sequence[np.ndarray], bins: int, name: str, what: str) -> None:
    edges = np.histogram_bin_edges(np.concatenate(values), bins)
    counts = np.stack([np.histogram(v, edges)[0] for v in values])
    ax.set_title(f"{name} ({values[0].size:,})", fontsize="medium")
    if len(steps) == 1:
        ax.stairs(counts[0], edges, fill=True, color=COLORS[0])
        ax.set(xlabel=what, ylabel="count")
        return
    share = np.ma.masked_equal(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), 0)
    mesh = ax.pcolormesh(_bounds(steps), edges, share.T, cmap="cividis_r", vmin=0)
    ax.figure.colorbar(mesh, ax=ax, label="share")
    ax.set(xlabel="step", ylabel=what)


def _bounds(steps: Sequence[int]) -> np.ndarray:
    """Column bounds halfway between the steps."""
    middles = (np.asarray(steps[1:], float) + np.asarray(steps[:-1], float)) / 2
    first, last = steps[0] - (middles[0] - steps[0]), steps[-1] + (steps[-1] - middles[-1])
    return np.array([first, *middles, last])
