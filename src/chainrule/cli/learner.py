"""A table in, predictions out: how columns become numbers, the network, and how its outputs become answers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chainrule import nn
from chainrule.cli.choices import MOST_NEURONS, TaskLoss, network, task_loss
from chainrule.cli.score import Score, classification_score, regression_score
from chainrule.data import Preprocessor, TargetEncoder
from chainrule.data.column import Unseen
from chainrule.errors import ChainruleError, FileFormatError, explain
from chainrule.save import load, read_metadata, save

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Learner"]

Array = NDArray[Any]
KIND = "chainrule.table"
VERSION = 1
ROWS = 4096  # so many rows at once: the outputs of wide layers need not fit in memory for all


@dataclass(frozen=True, eq=False)
class Learner:
    """A network between two translations: from a table's columns to numbers, from outputs to the target's values.

    Attributes:
        columns: how columns become numbers.
        target: how the target's values become numbers, and back.
        hidden: the sizes of the hidden layers.
        loss: the name of the loss it is trained with.
        network: features -> outputs: one column, or one a class for more than two.
    """

    columns: Preprocessor
    target: TargetEncoder
    hidden: tuple[int, ...]
    loss: str
    network: nn.Sequential

    @classmethod
    def new(cls, columns: Preprocessor, target: TargetEncoder, hidden: Sequence[int], loss: str) -> Learner:
        """An untrained one."""
        outputs = len(target.classes) if target.task == "multiclass" else 1
        return cls(columns, target, tuple(hidden), loss, network(len(columns.feature_names), hidden, outputs))

    @property
    def task_loss(self) -> TaskLoss:
        """The loss as its task uses it."""
        return task_loss(self.target.task, self.loss)[1]

    def features(self, frame: pd.DataFrame, unseen: Unseen = "refuse") -> Array:
        """The rows as the network takes them: (n, features) float32. Raises DataError."""
        return self.columns.transform(frame, unseen=unseen).astype(np.float32)

    def outputs(self, x: Array) -> Array:
        """The network's outputs for features (n, features)."""
        parts = [self.network(x[i : i + ROWS]).numpy() for i in range(0, len(x), ROWS)]
        return np.concatenate(parts)

    def answers(self, y: Array) -> Array:
        """Class numbers (n,), or numbers (n,) in the target's units, for outputs."""
        if self.target.task == "regression":
            return self.target.decode(y[:, 0].astype(np.float64))
        found: Array = (y[:, 0] > 0).astype(np.int64) if self.target.task == "binary" else y.argmax(axis=1)
        return found

    def score(self, t: Array, answers: Array, train: Array) -> Score:
        """How well `answers` fit the encoded targets `t`; `train` are those of the training rows."""
        if self.target.task == "regression":
            return regression_score(self.target.decode(t[:, 0]), answers, self.target.decode(train[:, 0]))
        return classification_score(t, answers, train, self.target.classes)

    def predict(self, frame: pd.DataFrame, unseen: Unseen = "refuse") -> pd.DataFrame:
        """A table of answers, one row a row of `frame`.

        Its first column, named as the target, holds classes or numbers; probabilities of the classes follow where the
        loss gives them, else the score, which is positive for the second class. Raises DataError for columns or values
        that training would refuse too, with row and column.
        """
        import pandas as pd

        y = self.outputs(self.features(frame, unseen))
        answers = self.answers(y)
        if self.target.task == "regression":
            return pd.DataFrame({self.target.name: answers})
        found = {self.target.name: self.target.decode(answers)}
        if self.task_loss.probabilities is None:
            return pd.DataFrame(found | {"score": y[:, 0]})
        shares = self.task_loss.probabilities(y)
        names = (f"probability of {name}" for name in self.target.classes)
        return pd.DataFrame(found | dict(zip(names, shares.T, strict=True)))

    def save(self, path: str | os.PathLike[str], about: Mapping[str, Any] | None = None) -> None:
        """Write all of it to one file, with a checksum of every part; `about` is more to keep, in JSON."""
        kept = {
            "kind": KIND, "version": VERSION, "columns": self.columns.to_dict(), "target": self.target.to_dict(),
            "hidden": list(self.hidden), "loss": self.loss, "about": dict(about or {}),
        }  # fmt: skip
        save(path, self.network, metadata=kept)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Learner:
        """Read what `save` wrote; nothing in the file is executed.

        Raises FileFormatError for a damaged file, or one of another kind; FileNotFoundError.
        """
        called = f"reading the model {os.fspath(path)!r}"
        kept = read_metadata(path)
        if kept.get("kind") != KIND or kept.get("version") != VERSION:
            rule = f"it was not written by `chainrule fit` (of file version {VERSION})"
            raise FileFormatError(explain(called, "", rule, "Name a model that it wrote."))
        try:
            hidden = [int(size) for size in kept["hidden"] if 0 < size <= MOST_NEURONS]
            columns, target = Preprocessor.from_dict(kept["columns"]), TargetEncoder.from_dict(kept["target"])
            found = cls.new(columns, target, hidden, task_loss(target.task, kept["loss"])[0])
            load(path, found.network)
        except (KeyError, TypeError, AttributeError, ChainruleError) as error:
            rule = f"its parts do not fit together ({type(error).__name__}: {error})"
            raise FileFormatError(explain(called, "", rule, "Use a backup.")) from error
        return found
