"""One column of a table as numbers: standardized, 0 or 1, or one place a category."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from chainrule.data.table import label, load_pandas, place
from chainrule.errors import DataError, explain

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Column", "Kind", "Missing", "Unseen"]

Kind = Literal["number", "boolean", "category"]
Missing = Literal["refuse", "impute"]
Unseen = Literal["refuse", "ignore"]
Floats = NDArray[np.float64]

MOST_CATEGORIES = 100
KINDS: dict[str, Kind] = {
    "integer": "number",
    "floating": "number",
    "mixed-integer-float": "number",
    "decimal": "number",
    "boolean": "boolean",
    "string": "category",
    "categorical": "category",
    "mixed-integer": "category",
}
TRUTH = {"true": 1.0, "1": 1.0, "false": 0.0, "0": 0.0}


@dataclass(frozen=True)
class Column:
    """How one column becomes numbers, learned from the training part.

    A number becomes (value - mean) / scale, a boolean 0 or 1, a category one 1 among len(categories) numbers.
    `fill` replaces a missing value; None refuses it.
    """

    name: str
    kind: Kind
    mean: float = 0.0
    scale: float = 1.0
    categories: tuple[str, ...] = ()
    fill: float | str | None = None

    @classmethod
    def fit(cls, series: pd.Series, missing: Missing) -> Column:
        """Learn from one column; raises DataError for what cannot become numbers."""
        name, kind = str(series.name), _kind(series)
        absent = series.isna().to_numpy()
        if absent.any() and missing == "refuse":
            raise _missing(series, int(absent.argmax()))
        present = series[~absent]
        if kind == "category":
            labels = [label(value) for value in present]
            categories = tuple(sorted(set(labels)))
            _check_categories(present, categories)
            common = max(categories, key=labels.count)
            return cls(name, kind, categories=categories, fill=common if missing == "impute" else None)
        values = _truths(present) if kind == "boolean" else _numbers(present)
        if kind == "boolean":
            return cls(name, kind, fill=float(values.mean() > 0.5) if missing == "impute" else None)
        fill = float(np.median(values)) if missing == "impute" else None
        values = np.where(absent, fill or 0.0, _spread(values, absent))
        constant = values.min() == values.max()  # whose computed deviation may be rounding, not 0
        return cls(name, kind, float(values.mean()), 1.0 if constant else float(values.std()), fill=fill)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the numbers that the column becomes: one, or `name=category` for each category."""
        return tuple(f"{self.name}={category}" for category in self.categories) or (self.name,)

    def encode(self, series: pd.Series, unseen: Unseen) -> Floats:
        """The column as numbers, (n, len(feature_names)); raises DataError with row, line and column."""
        absent = series.isna().to_numpy()
        if absent.any() and self.fill is None:
            raise _missing(series, int(absent.argmax()))
        if self.kind == "category":
            return self._one_hot(series, absent, unseen)
        present = series[~absent]
        values = _spread(_truths(present) if self.kind == "boolean" else _numbers(present), absent)
        values[absent] = self.fill
        return ((values - self.mean) / self.scale)[:, None]

    def _one_hot(self, series: pd.Series, absent: NDArray[np.bool_], unseen: Unseen) -> Floats:
        index = {category: i for i, category in enumerate(self.categories)}
        found = [self.fill if gone else label(value) for value, gone in zip(series, absent, strict=True)]
        which = np.array([index.get(str(category), -1) for category in found], np.int64)
        new = which < 0
        if new.any() and unseen == "refuse":
            at = int(new.argmax())
            got = f"{place(series, at)} is {found[at]!r}"
            repair = 'Mend the value, or take unseen="ignore", which makes such a row all zeros.'
            raise DataError(explain("preprocessing", got, "training had no such category", repair))
        out = np.zeros((len(which), len(self.categories)))
        out[np.flatnonzero(~new), which[~new]] = 1.0
        return out


def _kind(series: pd.Series) -> Kind:
    if series.isna().all():
        raise _useless(series, "it has no values", "nothing can be learned from it")
    found = load_pandas("preprocessing").api.types.infer_dtype(series, skipna=True)
    if found not in KINDS:
        raise _useless(series, f"it holds {found}", "columns are numbers, booleans or text")
    return KINDS[found]


def _useless(series: pd.Series, got: str, rule: str) -> DataError:
    repair = f"Leave it out: --drop {series.name} (drop=[{series.name!r}] in Python)."
    return DataError(explain(f"column {series.name!r}", got, rule, repair))


def _missing(series: pd.Series, position: int) -> DataError:
    rule = "values may not be missing"
    repair = 'Fill it in, delete the row, or ask for --missing impute (missing="impute" in Python).'
    return DataError(explain("preprocessing", f"{place(series, position)} is empty", rule, repair))


def _check_categories(present: pd.Series, categories: tuple[str, ...]) -> None:
    """Refuse ids and free text, and numbers with a slip of the pen among them."""
    numbers = load_pandas("preprocessing").to_numeric(present.astype(str), errors="coerce")
    is_number = numbers.notna().to_numpy()
    looks_numeric = is_number.mean() > 0.5 and numbers.nunique() > 20 and present.dtype != "category"
    if looks_numeric and not is_number.all():
        at = int((~is_number).argmax())
        got = f"{place(present, at)} is {present.iloc[at]!r}"
        rule = "most of the column are numbers, this is none"
        raise DataError(explain("preprocessing", got, rule, "Mend or empty it."))
    if len(categories) > MOST_CATEGORIES:
        got = f"text with {len(categories)} different values in {len(present)} rows"
        raise _useless(present, got, f"more than {MOST_CATEGORIES} look like ids or free text")


def _numbers(present: pd.Series) -> Floats:
    converted = load_pandas("preprocessing").to_numeric(present, errors="coerce")
    values: Floats = converted.to_numpy(np.float64, na_value=np.nan)
    return _checked(present, values, np.isfinite(values), "the column holds finite numbers")


def _truths(present: pd.Series) -> Floats:
    values = np.array([TRUTH.get(label(value).lower(), np.nan) for value in present], np.float64)
    return _checked(present, values, ~np.isnan(values), "the column holds true or false")


def _checked(present: pd.Series, values: Floats, good: NDArray[np.bool_], rule: str) -> Floats:
    if not good.all():
        at = int((~good).argmax())
        got = f"{place(present, at)} is {_plain(present.iloc[at])!r}"
        raise DataError(explain("preprocessing", got, rule, "Mend the value."))
    return values


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _spread(values: Floats, absent: NDArray[np.bool_]) -> Floats:
    """The present values at their rows, NaN at the others."""
    out = np.full(len(absent), np.nan)
    out[~absent] = values
    return out
