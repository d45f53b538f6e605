"""What a training on a table looks like: sections of a report."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule import plot
from chainrule.autodiff import gradient
from chainrule.cli.learn import Outcome
from chainrule.cli.score import confusion
from chainrule.inspect import summary
from chainrule.plot.canvas import COLORS, figure
from chainrule.report import Picture, Section, Table
from chainrule.tensor import variable

__all__ = ["influence", "outcome_sections"]

MOST_ROWS = 1000  # for an average that is good enough
MOST_BARS = 15
MOST_NAMED = 12  # classes; the numbers in the cells of more could not be read


def outcome_sections(outcome: Outcome) -> list[Section]:
    """How well, how it came about, and what the model is: sections with pictures."""
    return [_score_section(outcome), _training_section(outcome), _model_section(outcome)]


def _score_section(outcome: Outcome) -> Section:
    learner, score = outcome.learner, outcome.score
    held = f"{outcome.choices.held_out:.0%} of the rows were kept from training, {score.rows} in all. On these:"
    rows = [(name, f"{own:.4g}", f"{other:.4g}") for name, (own, other) in score.measures.items()]
    pictures = [_regression(outcome)] if learner.target.task == "regression" else [_confusion(outcome)]
    if learner.target.task != "multiclass":
        pictures.append(_outputs(outcome))
    pictures.append(_influence(outcome))
    return Section(
        "Rows it has not seen", held, facts=[(name, f"{own:.4g}") for name, (own, _) in score.measures.items()],
        pictures=pictures, tables=[Table(("measure", "this model", score.trivial), rows)],
    )  # fmt: skip


def _training_section(outcome: Outcome) -> Section:
    best = outcome.best_epoch
    text = f"{outcome.epochs} epochs with {outcome.choices.optimizer}, {outcome.history.seconds:.1f} seconds."
    if best is not None:
        text += f"""The validation rows are not trained on; they decide when to stop. The weights of epoch
        {best}, where their loss was lowest, were kept."""
    ax = plot.convergence(outcome.history, title=f"{outcome.learner.loss}, mean over rows", ax=_axes())
    if best is not None:
        ax.axvline(best * outcome.steps_per_epoch, color="#222222", linestyle="dotted", label=f"kept: epoch {best}")
        ax.legend()
    caption = (
        "Both curves should fall. Where validation rises while train goes on falling, the network learns by heart."
    )
    return Section("How it was trained", text, pictures=[Picture.of(ax, "Convergence", caption)])


def _model_section(outcome: Outcome) -> Section:
    learner = outcome.learner
    features = len(learner.columns.feature_names)
    shapes = [layer.cells() for layer in summary(learner.network, (1, features)).layers]
    header = ("layer", "kind", "input", "output", "weights", "dL/dinput", "dL/dweights", "parameters", "dtype")
    columns = [
        (column.name, column.kind, ", ".join(column.categories[:6]) + (", ..." if len(column.categories) > 6 else ""))
        for column in learner.columns.columns
    ]
    wanted = [name for name in learner.network.named_parameters() if name.endswith("weight")]
    weights = plot.parameter_histograms(learner.network, names=wanted)
    caption = "One panel for each layer's weights, as they are now. Far outliers or one bar only would be odd."
    picture = Picture.of(weights, "Weights", caption, wide=True)
    text = "The layers, for one row of data; then what each column of the table is taken for."
    tables = [Table(header, shapes), Table(("column", "kind", "categories"), columns)]
    return Section("What it is", text, pictures=[picture], tables=tables)


def _confusion(outcome: Outcome) -> Picture:
    classes = outcome.learner.target.classes
    counts = confusion(outcome.test, outcome.answers, len(classes))
    ax = _axes()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    few = len(classes) <= MOST_NAMED
    for (i, j), count in np.ndenumerate(counts) if few else ():
        color = "white" if shares[i, j] > 0.5 else "#222222"
        ax.text(j, i, str(count) if count else "·", ha="center", va="center", color=color)
    ax.set(xlabel="predicted", ylabel="true", title=f"{outcome.score.rows} held-out rows")
    if few:
        ax.set_xticks(range(len(classes)), classes, rotation=45 if sum(map(len, classes)) > 40 else 0)
        ax.set_yticks(range(len(classes)), classes)
    caption = (
        "Each row of the picture is a true class, each column what was predicted: errors stand beside the diagonal."
    )
    return Picture.of(ax, "What is taken for what", caption)


def _regression(outcome: Outcome) -> Picture:
    target = outcome.learner.target
    t = target.decode(outcome.test[:, 0])
    ax = _axes()
    ax.scatter(t, outcome.answers, s=14, color=COLORS[0], alpha=0.6)
    ends = [min(t.min(), outcome.answers.min()), max(t.max(), outcome.answers.max())]
    ax.plot(ends, ends, color="#222222", linestyle="dashed", linewidth=1.2)
    ax.set(xlabel=f"true {target.name}", ylabel=f"predicted {target.name}", title=f"{outcome.score.rows} held-out rows")
    return Picture.of(ax, "Predicted against true", "On the dashed line a prediction is exact.")


def _outputs(outcome: Outcome) -> Picture:
    if outcome.learner.target.task == "regression":
        ax = _axes()
        off = outcome.answers - outcome.learner.target.decode(outcome.test[:, 0])
        ax.hist(off, bins=40, color=COLORS[0], alpha=0.6)
        ax.axvline(0, color="#222222", linestyle="dashed", linewidth=1.2)
        ax.set(xlabel="predicted - true", ylabel="rows", title="Errors")
        return Picture.of(ax, "Errors", "They should lie around 0, as many on either side.")
    classes = np.array(outcome.learner.target.classes)
    found = plot.output_histogram(lambda y: y, outcome.outputs, classes[outcome.test], ax=_axes())
    caption = (
        "The network's output for held-out rows, by their true class: what lies on the wrong side of 0 is an error."
    )
    return Picture.of(found.axes, "Outputs", caption)


def influence(outcome: Outcome) -> Any:
    """How much each feature moves the outputs: the mean of |dy/dx| over held-out rows and outputs, (features,)."""
    x = variable(outcome.features[:MOST_ROWS])
    y = outcome.learner.network(x)
    slopes = [np.abs(gradient(y[:, i].sum(), [x])[0].numpy()).mean(axis=0) for i in range(y.shape[1])]
    return np.mean(slopes, axis=0)


def _influence(outcome: Outcome) -> Picture:
    found, names = influence(outcome), outcome.learner.columns.feature_names
    top = np.argsort(found)[::-1][:MOST_BARS][::-1]
    ax = _axes()
    ax.barh([names[i] if len(names[i]) <= 30 else names[i][:29] + "…" for i in top], found[top], color=COLORS[0])
    ax.set(xlabel="mean |dy/dx|, features standardized", title="Gradients of the output")
    caption = "The gradient for the data, on average over held-out rows: which features the output hangs on most."
    return Picture.of(ax, "What it looks at", caption)


def _axes() -> Any:
    return figure(None, (6.8, 5.2)).add_subplot()
