"""The main job: from a table and the name of its target to a trained model and its score on held-out rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chainrule.cli.choices import OPTIMIZERS, hidden_sizes, optimizer_named, task_loss
from chainrule.cli.learner import Learner
from chainrule.cli.score import Score
from chainrule.data import Preprocessor, TargetEncoder, split_rows
from chainrule.data.column import Missing
from chainrule.data.table import pick, place
from chainrule.data.target import Task
from chainrule.errors import DataError, NonFiniteError, OptionError, explain
from chainrule.fit import EarlyStopping, fit
from chainrule.history import History

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Choices", "Outcome", "learn"]

Array = NDArray[Any]
VALIDATION = 0.15  # of the training rows: they decide when to stop
PATIENCE = 10  # epochs
FEWEST = 100  # training rows, for a validation part to say something


@dataclass(frozen=True)
class Choices:
    """What `chainrule fit` can be told; the defaults are its own.

    Attributes:
        model: "linear", "mlp" (one hidden layer of 64), or the sizes of hidden layers, such as "32,16".
        loss: its name; None: the task's own.
        optimizer: its name.
        lr: the step size; None: the optimizer's usual one.
        epochs: at most so many times through the training rows.
        batch_size: rows a step, at most; a smaller table is taken whole.
        seed: decides the split, the first weights and the order of the rows.
        held_out: the part of the rows that is kept for the score.
        missing: "refuse" or "impute".
        drop: columns to leave out.
        task: "regression", "binary" or "multiclass"; None: found from the target.
    """

    model: str = "mlp"
    loss: str | None = None
    optimizer: str = "adam"
    lr: float | None = None
    epochs: int = 200
    batch_size: int = 32
    seed: int = 0
    held_out: float = 0.25
    missing: Missing = "refuse"
    drop: Sequence[str] = ()
    task: Task | None = None


@dataclass(frozen=True, eq=False)
class Outcome:
    """A trained model with all that is to be said about it.

    Attributes:
        learner: the model.
        choices: what it was made by.
        history: of its training; "validation" is recorded unless the table is small.
        score: on the held-out rows.
        train: encoded targets of the training rows.
        test: encoded targets of the held-out rows.
        test_rows: where in the table the held-out rows stand.
        features: what the network takes of the held-out rows, (n, features).
        outputs: the network's outputs for the held-out rows, (n, outputs).
        answers: class numbers or numbers, (n,), for the held-out rows.
        steps_per_epoch: steps for once through the rows that are trained on; not whole where batches straddle epochs.
        notes: what a user should know, a line each.
    """

    learner: Learner
    choices: Choices
    history: History
    score: Score
    train: Array
    test: Array
    test_rows: Array
    features: Array
    outputs: Array
    answers: Array
    steps_per_epoch: float
    notes: tuple[str, ...] = ()

    @property
    def epochs(self) -> int:
        """How many epochs were made."""
        return round(self.history.steps_done / self.steps_per_epoch)

    @property
    def best_epoch(self) -> int | None:
        """The epoch with the lowest validation loss, whose weights were kept; None without a validation part."""
        losses = self.history.records.get("validation")
        return None if losses is None else round(self.history.steps[int(np.argmin(losses))] / self.steps_per_epoch)


def learn(frame: pd.DataFrame, target: str, choices: Choices | None = None, progress: bool | None = None) -> Outcome:
    """Learn to predict the column `target` of `frame` from its other columns.

    Some rows are held out for the score, with the same mix of classes; of a large enough rest some decide when to
    stop, and the weights of the best epoch are kept. Raises ChainruleError for columns, values and choices that
    cannot be used, before it trains.
    """
    choices = Choices() if choices is None else choices
    _check(choices)
    values = pick(frame, target, "--target")
    if target in choices.drop:
        raise OptionError(explain(f"--drop {target}", "", "this is the target", "Drop other columns."))
    inputs = frame.drop(columns=target)
    if choices.missing == "refuse":
        _check_missing(inputs.drop(columns=[name for name in choices.drop if name in inputs]))
    encoder = TargetEncoder.fit(values, choices.task)
    is_class = encoder.task != "regression"
    classes = encoder.encode(values) if is_class else None
    train, test = split_rows(len(frame), choices.held_out, choices.seed, classes)
    if not is_class:
        encoder = TargetEncoder.fit(values.iloc[train], encoder.task)
    columns = Preprocessor.fit(inputs.iloc[np.sort(train)], drop=choices.drop, missing=choices.missing)
    loss_name, _ = task_loss(encoder.task, choices.loss)
    learner = Learner.new(columns, encoder, hidden_sizes(choices.model), loss_name)
    t = encoder.encode(values)
    x, notes = learner.features(inputs.iloc[train]), []
    try:
        x_test = learner.features(inputs.iloc[test])
    except DataError as error:
        x_test = learner.features(inputs.iloc[test], unseen="ignore")
        notes.append(f"a held-out row has a category that no training row has; it counts as none ({error})")
    history, steps = _train(learner, choices, x, t[train], progress)
    outputs = learner.outputs(x_test)
    answers = learner.answers(outputs)
    score = learner.score(t[test], answers, t[train])
    return Outcome(
        learner, choices, history, score, t[train], t[test], test, x_test, outputs, answers, steps, tuple(notes)
    )


def _train(learner: Learner, choices: Choices, x: Array, t: Array, progress: bool | None) -> tuple[History, float]:
    """Train the learner's network; also returns the steps an epoch has."""
    optimizer = optimizer_named(choices.optimizer, choices.lr)
    targets = learner.task_loss.targets(t)
    rows, kept, stopping = np.arange(len(x)), None, None
    if len(x) >= FEWEST:
        rows, judges = split_rows(len(x), VALIDATION, choices.seed, t if t.ndim == 1 else None)
        kept, stopping = (x[judges], targets[judges]), EarlyStopping(PATIENCE)
    batch_size = min(choices.batch_size, len(rows))
    try:
        history = fit(
            learner.network.initialize(choices.seed), learner.task_loss.loss, optimizer, x[rows], targets[rows],
            epochs=choices.epochs, batch_size=batch_size, seed=choices.seed, validation=kept, early_stopping=stopping,
            record_every=math.ceil(len(rows) / batch_size), progress=progress,
        )  # fmt: skip
    except NonFiniteError as error:
        lr = OPTIMIZERS[choices.optimizer][1] if choices.lr is None else choices.lr
        repair = f"Try a smaller step size, such as --lr {lr / 10:.2g}, or --optimizer adam."
        raise NonFiniteError(f"{error.found}. {repair}") from error
    return history, len(rows) / batch_size


def _check(choices: Choices) -> None:
    """Refuse choices that need no data to be seen wrong."""
    hidden_sizes(choices.model)
    optimizer_named(choices.optimizer, choices.lr)
    for option, value in (("--epochs", choices.epochs), ("--batch-size", choices.batch_size)):
        if value < 1:
            raise OptionError(explain(f"{option} {value}", "", "it is at least 1"))
    if choices.seed < 0:
        raise OptionError(explain(f"--seed {choices.seed}", "", "it is not negative"))
    if not 0 < choices.held_out < 1:
        raise OptionError(explain(f"--held-out {choices.held_out}", "", "it is a part of the rows, between 0 and 1"))


def _check_missing(inputs: pd.DataFrame) -> None:
    """Refuse missing values, with the first one's place and how many there are in which columns."""
    absent = inputs.isna()
    counts = absent.sum()
    counts = counts[counts > 0]
    if not len(counts):
        return
    row = int(absent.to_numpy().any(axis=1).argmax())
    name = absent.columns[int(absent.to_numpy()[row].argmax())]
    shown = ", ".join(f"{column} {count}" for column, count in counts.items())
    got = f"{place(inputs[name], row)} is empty; missing values by column: {shown}"
    repair = "Ask for --missing impute, leave columns out (--drop COLUMN), or delete such rows."
    raise DataError(explain("the table", got, "values may not be missing", repair))
