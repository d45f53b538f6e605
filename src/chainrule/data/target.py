"""The column to predict: which task it makes, and its values as class numbers or standardized numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.data.table import label, load_pandas, place
from chainrule.errors import OptionError, ShapeError, TargetError, explain

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TargetEncoder", "Task", "infer_task"]

Task = Literal["regression", "binary", "multiclass"]
TASKS = ("regression", "binary", "multiclass")
MOST_NUMBERED_CLASSES = 20
MOST_CLASSES = 100


def infer_task(series: pd.Series) -> Task:
    """The task that a target column makes, missing values aside.

    Two different values make "binary". Text and booleans are classes; so are whole numbers of at most 20 different
    values, each seen twice on average. Other numbers make "regression". Raises TargetError for a target of one
    value or none, and for text of more than 100 different values.
    """
    called = f"target {series.name!r}"
    present = series.dropna()
    count = int(present.nunique())
    if count < 2:
        got = "no values" if not count else f"only the value {label(present.iloc[0])!r}"
        raise TargetError(explain(called, got, "a target has at least two different values", "Name another column."))
    if count == 2:
        return "binary"
    types = load_pandas("infer_task").api.types
    if not types.is_numeric_dtype(present):
        if count > MOST_CLASSES:
            got = f"text with {count} different values in {len(present)} rows"
            rule = f"more than {MOST_CLASSES} classes look like ids, or numbers with text among them"
            raise TargetError(explain(called, got, rule, 'If they are classes, say so: task="multiclass".'))
        return "multiclass"
    whole = bool((present == present.round()).all())
    return "multiclass" if whole and count <= min(MOST_NUMBERED_CLASSES, len(present) / 2) else "regression"


@dataclass(frozen=True)
class TargetEncoder:
    """A target's values as what a loss takes, and back: class numbers, or numbers of mean 0 and deviation 1."""

    task: Task
    name: str
    classes: tuple[str, ...] = ()
    mean: float = 0.0
    scale: float = 1.0

    @classmethod
    def fit(cls, series: pd.Series, task: Task | None = None) -> TargetEncoder:
        """Learn the classes (sorted, numbers by size) or the mean and deviation from the training rows.

        `task` overrides `infer_task`. Raises TargetError for missing values, text in a regression, other than two
        classes in "binary", or one value only; OptionError for another task.
        """
        task = infer_task(series) if task is None else task
        if task not in TASKS:
            raise OptionError(explain("TargetEncoder.fit", f"task={task!r}", f"it is one of {', '.join(TASKS)}"))
        name = str(series.name)
        if task == "regression":
            values = _numbers(series)
            constant = values.min() == values.max()
            return cls(task, name, mean=float(values.mean()), scale=1.0 if constant else float(values.std()))
        classes = tuple(sorted(set(_labels(series)), key=_by_size))
        if len(classes) < 2 or (task == "binary" and len(classes) > 2):
            got, rule = f"{len(classes)} classes", "binary has two, multiclass two or more"
            raise TargetError(explain(f"target {name!r}, task {task}", got, rule, "Take another task or column."))
        return cls(task, name, classes)

    def encode(self, series: pd.Series) -> NDArray[Any]:
        """Class numbers (n,) int64 from 0, or for a regression (n, 1) float64, standardized.

        Raises TargetError for a missing value or a class that training had not, with row, line and column.
        """
        if self.task == "regression":
            return ((_numbers(series) - self.mean) / self.scale)[:, None]
        index = {name: i for i, name in enumerate(self.classes)}
        labels = _labels(series)
        for position, found in enumerate(labels):
            if found not in index:
                rule = f"the classes in training were {', '.join(self.classes[:10])}"
                raise TargetError(explain("target", f"{place(series, position)} is {found!r}", rule))
        return np.array([index[found] for found in labels], np.int64)

    def decode(self, values: ArrayLike) -> NDArray[Any]:
        """Class names (n,) for class numbers (n,), or numbers in the target's own units, in the shape given.

        >>> TargetEncoder("binary", "sold", ("no", "yes")).decode([1, 0])
        array(['yes', 'no'], dtype='<U3')
        """
        array = np.asarray(values)
        if self.task == "regression":
            return array * self.scale + self.mean
        if array.ndim != 1 or array.dtype.kind not in "iu" or ((array < 0) | (array >= len(self.classes))).any():
            got = f"{array.shape} {array.dtype}"
            rule = f"class numbers are (n,) integers from 0 to {len(self.classes) - 1}"
            raise ShapeError(explain("TargetEncoder.decode", got, rule, "Take argmax over the scores first."))
        return np.array(self.classes)[array]

    def to_dict(self) -> dict[str, Any]:
        """All of it as strings, numbers and a list, which JSON keeps exactly."""
        return {**asdict(self), "classes": list(self.classes)}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> TargetEncoder:
        """What `to_dict` came from."""
        return cls(**{**saved, "classes": tuple(saved["classes"])})


def _by_size(name: str) -> tuple[bool, float, str]:
    try:
        return False, float(name), name
    except ValueError:
        return True, 0.0, name


def _present(series: pd.Series) -> None:
    absent = series.isna().to_numpy()
    if absent.any():
        got = f"{place(series, int(absent.argmax()))} is empty"
        raise TargetError(explain("target", got, "a target is never filled in", "Delete such rows."))


def _labels(series: pd.Series) -> list[str]:
    _present(series)
    return [label(value) for value in series]


def _numbers(series: pd.Series) -> NDArray[np.float64]:
    _present(series)
    converted = load_pandas("TargetEncoder").to_numeric(series, errors="coerce")
    values: NDArray[np.float64] = converted.to_numpy(np.float64, na_value=np.nan)
    good = np.isfinite(values)
    if not good.all():
        at = int((~good).argmax())
        got = f"{place(series, at)} is {label(series.iloc[at])!r}"
        raise TargetError(explain("target of a regression", got, "the target is finite numbers", "Mend the value."))
    return values
