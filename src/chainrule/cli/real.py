"""Real data in the demo: what `chainrule fit` does, on data sets that scikit-learn carries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.cli.learn import Choices, Outcome, learn
from chainrule.cli.outcome import influence, outcome_sections
from chainrule.data import datasets
from chainrule.errors import MissingExtraError
from chainrule.plot.canvas import figure
from chainrule.report import Picture, Section, Table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["as_table", "breast_cancer", "digits", "train"]

Say = Callable[[str], None]
TARGET = "class"


def as_table(dataset: datasets.Dataset) -> pd.DataFrame:
    """A data set as a table with named columns; the last one, "class", holds class names, or numbers."""
    try:
        import pandas as pd
    except ImportError:
        raise MissingExtraError.of("pandas", "table", "a table") from None
    frame = pd.DataFrame(dataset.x, columns=list(dataset.feature_names))
    return frame.assign(**{TARGET: np.array(dataset.target_names)[dataset.t] if dataset.target_names else dataset.t})


def train(dataset: datasets.Dataset, seeds: int = 5, say: Say = print) -> list[Outcome]:
    """One outcome for each of the seeds 0, 1, ...: another split, other first weights."""
    found = []
    for seed in range(seeds):
        found.append(learn(as_table(dataset), TARGET, Choices(seed=seed), progress=False))
        say(f"  seed {seed}: {found[-1].score.rows} held-out rows, {found[-1].score.lines()[0]}")
    return found


def breast_cancer(seeds: int = 5, say: Say = print) -> Section:
    """Two classes: benign or malignant."""
    say("breast cancer, 569 tumors")
    outcomes = train(datasets.breast_cancer(), seeds, say)
    text = """569 tumors, each described by 30 measurements of its cells; the network is to say whether it is
    malignant. A quarter of the tumors is held out. This is what `chainrule fit FILE.csv --target COLUMN` does
    with your own table."""
    return _section("Real data: is the tumor malignant?", text, outcomes, say)


def digits(seeds: int = 5, say: Say = print) -> Section:
    """Ten classes: handwritten digits."""
    say("handwritten digits, 1797 images of 8 x 8 pixels")
    dataset = datasets.digits()
    outcomes = train(dataset, seeds, say)
    text = """1797 handwritten digits, 8 x 8 pixels each. The network has one output a class, and softmax with
    cross-entropy as its loss. A quarter of the images is held out."""
    section = _section("Real data, ten classes: which digit is it?", text, outcomes, say)
    images = dataset.x[outcomes[0].test_rows].reshape(-1, 8, 8)
    first, *_, training = section.pictures
    pictures = [first, training, _mistakes(outcomes[0], images), _pixels(outcomes[0])]
    return replace(section, pictures=pictures)


def _section(title: str, text: str, outcomes: list[Outcome], say: Say) -> Section:
    scores = [outcome.score.measures["accuracy"] for outcome in outcomes]
    middle = median(own for own, _ in scores)
    say(f"  held-out accuracy, median of {len(scores)} seeds: {middle:.4f}")
    first = outcomes[0]
    score, training, _ = outcome_sections(first)
    rows = [
        (str(seed), str(outcome.score.rows), f"{own:.4f}", f"{other:.4f}", f"{outcome.epochs}")
        for seed, (outcome, (own, other)) in enumerate(zip(outcomes, scores, strict=True))
    ]
    return Section(
        title, text,
        facts=[
            (f"held-out accuracy, median of {len(scores)} seeds", f"{middle:.2%}"),
            ("for always the most frequent class", f"{scores[0][1]:.2%}"),
            (f"seconds of training, {first.epochs} epochs", f"{first.history.seconds:.1f}"),
        ],
        pictures=[*score.pictures, *training.pictures],
        tables=[Table(("seed", "held-out rows", "accuracy", "most frequent class", "epochs"), rows)],
    )  # fmt: skip


def _pixels(outcome: Outcome) -> Picture:
    """Which pixels the outputs hang on."""
    ax = figure(None, (6.8, 5.2)).add_subplot()
    image = ax.imshow(influence(outcome).reshape(8, 8), cmap="viridis")
    ax.figure.colorbar(image, ax=ax, label="mean |dy/dx|, pixels standardized")
    ax.set_axis_off()
    ax.set_title("Gradients of the outputs for the pixels")
    caption = (
        "The gradient for the data, pixel by pixel, on average over held-out images: on bright ones the outputs hang."
    )
    return Picture.of(ax, "What it looks at", caption)


def _mistakes(outcome: Outcome, images: Any) -> Picture:
    """Held-out images (n, 8, 8) that were taken for another digit, by how sure the network was."""
    probabilities = outcome.learner.task_loss.probabilities
    assert probabilities is not None
    shares = probabilities(outcome.outputs)
    wrong = np.flatnonzero(outcome.answers != outcome.test)
    wrong = wrong[np.argsort(-shares[wrong, outcome.answers[wrong]])][:12]
    fig = figure(None, (6.8, 5.2))
    panels: Any = fig.subplots(3, 4).ravel()
    for ax in panels:
        ax.set_axis_off()
    for ax, row in zip(panels, wrong, strict=False):
        ax.imshow(images[row], cmap="gray_r")
        answer = outcome.answers[row]
        ax.set_title(f"{outcome.test[row]} taken for {answer} ({shares[row, answer]:.0%})", fontsize=9)
    caption = "Held-out images it got wrong, those first where it was most sure. Could you tell?"
    return Picture.of(fig, "Mistakes", caption)
