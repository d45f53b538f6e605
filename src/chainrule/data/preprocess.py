"""A table's columns as one array of numbers, by what was learned from the training part alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.column import Column, Missing, Unseen
from chainrule.data.table import pick
from chainrule.errors import DataError, DTypeError, OptionError, explain

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Column", "Preprocessor"]


@dataclass(frozen=True)
class Preprocessor:
    """How each column of a table becomes numbers: fit it on the training rows, transform any rows.

    Numbers are standardized (a constant column becomes 0), booleans 0 or 1, text one-hot. `to_dict` gives what JSON
    can hold, for the metadata of a model's file.
    """

    columns: tuple[Column, ...]

    @classmethod
    def fit(cls, frame: pd.DataFrame, *, drop: Sequence[str] = (), missing: Missing = "refuse") -> Preprocessor:
        """Learn means, deviations and categories from `frame`, the training rows without the target.

        `missing="impute"` fills in medians and the most frequent value, also in later rows. Raises DataError for a
        missing or unusable value (row, line and column named), for text of more than 100 different values (ids), and
        for a table with no rows or columns; OptionError for another `missing`.
        """
        called = "Preprocessor.fit"
        if missing not in ("refuse", "impute"):
            raise OptionError(explain(called, f"missing={missing!r}", "it is 'refuse' or 'impute'"))
        for name in drop:
            pick(frame, name, f"{called}, drop")
        kept = [name for name in frame.columns if name not in set(drop)]
        if not kept or not len(frame):
            got = f"{len(frame)} rows, {len(kept)} columns to use"
            raise DataError(explain(called, got, "there is nothing to learn from", "Drop less."))
        if any(not isinstance(name, str) for name in kept):
            raise DTypeError(explain(called, f"columns {kept}", "names of columns are strings", "Rename them."))
        return cls(tuple(Column.fit(frame[name], missing) for name in kept))

    def transform(self, frame: pd.DataFrame, *, unseen: Unseen = "refuse") -> NDArray[np.float64]:
        """The rows as (n, len(feature_names)) float64; other columns of `frame` are ignored.

        A category that training had not is refused, or with `unseen="ignore"` gives zeros. Raises DataError for a
        column that is not there (with names spelled like it), and for such values as `fit` refuses.
        """
        if unseen not in ("refuse", "ignore"):
            raise OptionError(explain("Preprocessor.transform", f"unseen={unseen!r}", "it is 'refuse' or 'ignore'"))
        series = [pick(frame, column.name, "Preprocessor.transform") for column in self.columns]
        parts = [column.encode(values, unseen) for column, values in zip(self.columns, series, strict=True)]
        return np.concatenate(parts, axis=1)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the columns of what `transform` gives."""
        return tuple(name for column in self.columns for name in column.feature_names)

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The columns to read as text: `read_table(path, text=preprocessor.text_columns)`."""
        return tuple(column.name for column in self.columns if column.kind == "category")

    def to_dict(self) -> dict[str, Any]:
        """All of it as dicts, lists, strings and numbers, which JSON keeps exactly."""
        return {"columns": [{**asdict(c), "categories": list(c.categories)} for c in self.columns]}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Preprocessor:
        """What `to_dict` came from."""
        return cls(tuple(Column(**{**c, "categories": tuple(c["categories"])}) for c in saved["columns"]))
