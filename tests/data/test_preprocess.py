"""What is learned from the training rows is applied to any rows, and what does not fit is named."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from chainrule.data import Preprocessor
from chainrule.errors import DataError, OptionError

pandas = pytest.importorskip("pandas")


def table(**columns: Any) -> Any:
    return pandas.DataFrame(columns)


PEOPLE = table(
    age=[20, 40, 60, 40], city=["Ulm", "Bonn", "Ulm", "Kiel"], old=[False, False, True, False], floor=[0.1] * 4
)


def test_numbers_categories_booleans_and_constants() -> None:
    made = Preprocessor.fit(PEOPLE)
    assert made.feature_names == ("age", "city=Bonn", "city=Kiel", "city=Ulm", "old", "floor")
    assert made.text_columns == ("city",)
    deviation = np.sqrt(200)
    expected = [
        [-20 / deviation, 0, 0, 1, 0, 0],
        [0, 1, 0, 0, 0, 0],
        [20 / deviation, 0, 0, 1, 1, 0],
        [0, 0, 1, 0, 0, 0],
    ]
    assert made.transform(PEOPLE) == pytest.approx(np.array(expected), abs=1e-15)
    later = made.transform(table(floor=[1.1], old=[1], city=["Bonn"], age=[50], extra=["ignored"]))
    assert later == pytest.approx(np.array([[10 / deviation, 1, 0, 0, 1, 1.0]]))


def test_it_survives_json_exactly() -> None:
    frame = table(n=[0.1, 0.2, 1e-300], city=["ü", 'q"', "🌱"], gone=[None, "a", "a"])
    made = Preprocessor.fit(frame, missing="impute")
    again = Preprocessor.from_dict(json.loads(json.dumps(made.to_dict())))
    assert again == made
    assert np.array_equal(again.transform(frame), made.transform(frame))


def test_missing_values_are_refused_by_place_or_filled_in_from_training() -> None:
    train = table(n=[1.0, None, 2.0, 9.0], city=["Ulm", "Ulm", None, "Bonn"], old=[True, None, True, False])
    with pytest.raises(DataError, match=r"row 2, column 'n' is empty.*--missing impute"):
        Preprocessor.fit(train)
    made = Preprocessor.fit(train, missing="impute")
    filled = table(n=[1.0, 2.0, 2.0, 9.0], city=["Ulm", "Ulm", "Ulm", "Bonn"], old=[True, True, True, False])
    assert np.array_equal(made.transform(train), made.transform(filled))
    assert made.columns[0].mean == 3.5  # of the filled column
    empty = table(n=[None], city=[None], old=[None])
    assert np.array_equal(made.transform(empty), made.transform(filled.iloc[1:2]))
    with pytest.raises(DataError, match=r"row 1, column 'age' is empty"):
        Preprocessor.fit(PEOPLE).transform(table(age=[None], city=["Ulm"], old=[True], floor=[0.1]))


def test_an_unseen_category_is_refused_or_all_zeros() -> None:
    made = Preprocessor.fit(table(city=["Ulm", "Bonn"]))
    later = table(city=["Ulm", "Rome"])
    with pytest.raises(DataError, match=r"row 2, column 'city' is 'Rome'.*unseen=\"ignore\""):
        made.transform(later)
    assert made.transform(later, unseen="ignore").tolist() == [[0, 1], [0, 0]]


def test_categories_that_are_numbers_match_however_they_are_typed() -> None:
    made = Preprocessor.fit(table(code=pandas.Categorical([1, 2, 1])))
    assert made.feature_names == ("code=1", "code=2")
    for later in ([2], [2.0], ["2"]):
        assert made.transform(table(code=later)).tolist() == [[0, 1]]


def test_a_missing_column_is_named_with_its_likely_spelling() -> None:
    made = Preprocessor.fit(PEOPLE)
    with pytest.raises(DataError, match=r"no column 'city'. Is it 'City'"):
        made.transform(PEOPLE.rename(columns={"city": "City"}))
    with pytest.raises(DataError, match=r"no column 'age'. There are: city, old, floor"):
        made.transform(PEOPLE.drop(columns="age"))


BAD = [
    ([f"id{i}" for i in range(101)], r"101 different values.*--drop c "),
    ([None, None], r"no values.*--drop c "),
    ([1.0, np.inf], r"row 2, column 'c' is inf: .*finite"),
    (pandas.to_datetime(["2020-01-01", "2020-01-02"]), "datetime64"),
    ([*range(30), "3O"], r"row 31, column 'c' is '3O'.*most of the column are numbers"),
]


@pytest.mark.parametrize(("values", "message"), BAD)
def test_columns_that_cannot_become_numbers_are_refused(values: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Preprocessor.fit(table(c=values))
    frame = table(c=values, n=range(len(values)))
    assert Preprocessor.fit(frame, drop=["c"]).feature_names == ("n",)


def test_a_hundred_categories_are_taken() -> None:
    assert len(Preprocessor.fit(table(c=[f"id{i}" for i in range(100)])).feature_names) == 100


@pytest.mark.parametrize(("column", "value"), [("age", "forty"), ("age", -np.inf), ("old", "perhaps"), ("old", 2)])
def test_later_values_of_another_kind_are_named(column: str, value: Any) -> None:
    made = Preprocessor.fit(PEOPLE)
    later = PEOPLE.astype({column: object}).copy()
    later.loc[2, column] = value
    with pytest.raises(DataError, match=rf"row 3, column '{column}' is {value!r}"):
        made.transform(later)


def test_options_and_empty_tables() -> None:
    with pytest.raises(OptionError, match="'refuse' or 'impute'"):
        Preprocessor.fit(PEOPLE, missing="fill")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="'refuse' or 'ignore'"):
        Preprocessor.fit(PEOPLE).transform(PEOPLE, unseen="zero")  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"no column 'agee'. Is it 'age'"):
        Preprocessor.fit(PEOPLE, drop=["agee"])
    with pytest.raises(DataError, match="0 rows"):
        Preprocessor.fit(PEOPLE.iloc[:0])
    with pytest.raises(DataError, match="0 columns"):
        Preprocessor.fit(PEOPLE, drop=list(PEOPLE.columns))
