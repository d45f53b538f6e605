"""Tables of named columns, read from CSV or Parquet, that remember which line of the file a row stood on."""

from __future__ import annotations

import csv
import os
import warnings
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from chainrule.errors import DataError, FileFormatError, MissingExtraError, explain

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_table"]

SEPARATORS = ",;\t|"
MISSING = ("?",)  # besides what pandas takes for missing: empty, NA, NaN, null, None, ...
ORIGIN = "chainrule.origin"


def read_table(
    path: str | os.PathLike[str], *, names: Sequence[str] | None = None, text: Sequence[str] = ()
) -> pd.DataFrame:
    """The table in a Parquet file (.parquet, .pq) or, by any other name, a CSV file in UTF-8.

    A CSV file has a header line unless `names` gives the columns; it is separated by the most frequent of comma,
    semicolon, tab and | in its first line. Empty fields, NA, NaN, null, None and `?` are missing values. Columns
    named in `text` stay text even where they look like numbers (see `Preprocessor.text_columns`). Rows keep the
    number they have in the file as their index, from 0.

    Raises FileNotFoundError; FileFormatError for a file that is no table (with the line); DataError for no rows and
    for columns of one name; MissingExtraError without pandas (extra `table`).
    """
    called = f"read_table({os.fspath(path)!r})"
    pandas = load_pandas("read_table")
    open(path, "rb").close()  # the plain FileNotFoundError, whatever the format
    if os.fspath(path).lower().endswith((".parquet", ".pq")):
        frame = _read_parquet(called, pandas, path)
    else:
        frame = _read_csv(called, pandas, path, names, text)
    if not len(frame):
        raise DataError(explain(called, f"columns {list(frame.columns)}", "there are no rows", "Check the file."))
    return frame


def load_pandas(what: str) -> Any:
    """The pandas module, or the error that says how to install it."""
    try:
        import pandas
    except ImportError:
        raise MissingExtraError.of("pandas", "table", what) from None
    return pandas


def label(value: Any) -> str:
    """The one spelling of a value as a category: 1, 1.0 and '1' are the same.

    >>> label(1.0), label("1"), label(2.5), label(True)
    ('1', '1', '2.5', 'True')
    """
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def place(series: pd.Series, position: int) -> str:
    """Where the value at `position` stands: row (from 1, as in the file), the file's line, column."""
    origin = series.attrs.get(ORIGIN)
    if origin is None:
        return f"row {position + 1}, column {series.name!r}"
    row = int(series.index[position])
    line = _line_of(row, **origin) if "separator" in origin else None
    where = f"line {line} of {origin['path']}" if line else origin["path"]
    return f"row {row + 1} ({where}), column {series.name!r}"


def pick(frame: pd.DataFrame, name: str, called: str) -> pd.Series:
    """The column `name`, or the DataError that names the columns spelled like it."""
    if name in frame.columns:
        return frame[name]
    close = get_close_matches(name, [str(column) for column in frame.columns], n=3, cutoff=0.5)
    repair = f"Is it {' or '.join(map(repr, close))}?" if close else f"There are: {', '.join(map(str, frame.columns))}."
    raise DataError(explain(called, "", f"the table has no column {name!r}", repair))


def _read_parquet(called: str, pandas: Any, path: str | os.PathLike[str]) -> pd.DataFrame:
    try:
        frame = pandas.read_parquet(path)
    except ImportError:
        raise MissingExtraError.of("pyarrow", "table", "reading Parquet") from None
    except (ValueError, OSError) as error:
        raise FileFormatError(explain(called, "", f"not a Parquet file ({error})")) from None
    frame.columns = [str(column) for column in frame.columns]
    _check_names(called, list(frame.columns))
    frame = frame.reset_index(drop=frame.index.names == [None])
    frame.attrs[ORIGIN] = {"path": os.fspath(path)}
    return frame


def _read_csv(
    called: str, pandas: Any, path: str | os.PathLike[str], names: Sequence[str] | None, text: Sequence[str]
) -> pd.DataFrame:
    separator = ","
    try:
        with open(path, encoding="utf-8-sig") as file:
            first = file.readline()
        separator = max(SEPARATORS, key=first.count)
        records = _records(path, separator)
        _check_names(called, list(names or next(records, (0, []))[1]))
        with warnings.catch_warnings():
            warnings.simplefilter("error", pandas.errors.ParserWarning)
            frame = pandas.read_csv(
                path, sep=separator, encoding="utf-8-sig", skipinitialspace=True, na_values=list(MISSING),
                header=None if names else 0, names=names, index_col=False, low_memory=False, compression=None,
                dtype=dict.fromkeys(text, str),
            )  # fmt: skip
    except pandas.errors.EmptyDataError:
        raise DataError(explain(called, "an empty file", "there are no columns", "Check the file.")) from None
    except (pandas.errors.ParserError, pandas.errors.ParserWarning, csv.Error) as error:
        rule = f"every line has as many fields ({str(error).strip()})"
        raise FileFormatError(explain(called, f"separator {separator!r}", rule, "Mend the line.")) from None
    except UnicodeDecodeError as error:
        raise FileFormatError(explain(called, "", f"not a text file in UTF-8 ({error})", "Convert it.")) from None
    frame.columns = [str(column).strip() for column in frame.columns]
    frame.attrs[ORIGIN] = {"path": os.fspath(path), "separator": separator, "header": names is None}
    return frame


def _check_names(called: str, names: list[str]) -> None:
    names = [name.strip() for name in names]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(explain(called, f"two columns named {twice[0]!r}", "names are distinct", "Rename one."))


def _records(path: str | os.PathLike[str], separator: str) -> Iterator[tuple[int, list[str]]]:
    """The lines that are not blank, each with its number; a quoted field may run over several."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=separator, skipinitialspace=True)
        before = 0
        for record in reader:
            if record:
                yield before + 1, record
            before = reader.line_num


def _line_of(row: int, path: str, separator: str, header: bool) -> int | None:
    try:
        for number, (line, _) in enumerate(_records(path, separator)):
            if number == row + header:
                return line
    except (OSError, UnicodeDecodeError, csv.Error):
        pass  # the file has gone or changed: the row's number must do
    return None
