"""Tables are read as they stand, and errors name the row and the file's own line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from chainrule.data import Preprocessor, read_table
from chainrule.data.table import place
from chainrule.errors import DataError, FileFormatError, MissingExtraError

pandas = pytest.importorskip("pandas")


def written(folder: Path, text: str, name: str = "people.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_csv_with_missing_values_in_their_usual_spellings(tmp_path: Path) -> None:
    frame = read_table(written(tmp_path, "age,city,old\n39, Ulm,true\n,?,false\nNA,Köln,true\n"))
    assert list(frame.columns) == ["age", "city", "old"]
    assert frame["age"].isna().tolist() == [False, True, True]
    assert frame["city"].isna().tolist() == [False, True, False]
    assert frame["city"][0] == "Ulm"
    assert frame["old"].dtype == bool


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found(tmp_path: Path, separator: str) -> None:
    frame = read_table(written(tmp_path, separator.join("abc") + "\n" + separator.join("123") + "\n"))
    assert frame.to_dict("list") == {"a": [1], "b": [2], "c": [3]}


def test_names_for_a_file_without_a_header_and_text_columns(tmp_path: Path) -> None:
    frame = read_table(written(tmp_path, "1,007\n2,008\n"), names=["n", "code"], text=["code"])
    assert frame["n"].tolist() == [1, 2]
    assert frame["code"].tolist() == ["007", "008"]
    assert place(frame["code"], 1) == f"row 2 (line 2 of {tmp_path / 'people.csv'}), column 'code'"


def test_a_row_is_named_by_the_line_it_starts_on(tmp_path: Path) -> None:
    path = written(tmp_path, 'name,n\n\n"two\nlines",1\n\nb,2\n\nc,3\n')
    frame = read_table(path)
    lines = [place(frame["n"], row) for row in range(3)]
    assert lines == [f"row {i} (line {n} of {path}), column 'n'" for i, n in ((1, 3), (2, 6), (3, 8))]
    assert place(frame.iloc[[2, 0]]["n"], 0) == lines[2]  # a part keeps the rows' numbers
    path.unlink()
    assert place(frame["n"], 0) == f"row 1 ({path}), column 'n'"


def test_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    made = pandas.DataFrame({"n": [1.5, None], "city": ["Ulm", "Bonn"]})
    path = tmp_path / "people.parquet"
    made.to_parquet(path)
    frame = read_table(path)
    assert frame["city"].tolist() == ["Ulm", "Bonn"]
    assert place(frame["n"], 1) == f"row 2 ({path}), column 'n'"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(FileFormatError, match="not a Parquet file"):
        read_table(path)


BAD = [
    ("", DataError, "empty file"),
    ("a,b\n", DataError, "no rows"),
    ("a,b,a\n1,2,3\n", DataError, "two columns named 'a'"),
    ("a,b\n1,2\n1,2,3\n", FileFormatError, "line 3"),
    ("a,b\n1,2,3\n1,2,3\n", FileFormatError, "as many fields"),
]


@pytest.mark.parametrize(("text", "error", "message"), BAD)
def test_what_is_no_table_is_refused(tmp_path: Path, text: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        read_table(written(tmp_path, text))
    assert "people.csv" in str(caught.value)


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_table(tmp_path / "none.csv")
    with pytest.raises(FileNotFoundError):
        read_table(tmp_path / "none.parquet")
    (tmp_path / "latin.csv").write_bytes("a\nKöln\n".encode("latin-1"))
    with pytest.raises(FileFormatError, match="UTF-8"):
        read_table(tmp_path / "latin.csv")


def test_without_pandas_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match=r"read_table.*chainrule\[table\]"):
        read_table(written(tmp_path, "a\n1\n"))


ADULT = [
    "age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation", "relationship",
    "race", "sex", "capital-gain", "capital-loss", "hours-per-week", "native-country", "income",
]  # fmt: skip


def test_adult(data_dir: Path, tmp_path: Path) -> None:
    """A real table: its first `?` is on line 15, and imputed it becomes finite numbers."""
    with open(data_dir / "adult" / "adult.data", encoding="utf-8") as file:
        path = written(tmp_path, "".join(next(file) for _ in range(600)))
    frame = read_table(path, names=ADULT)
    assert frame.shape == (600, 15)
    x = frame.drop(columns="income")
    with pytest.raises(DataError, match=r"row 28 \(line 28 of .*\), column 'workclass' is empty"):
        Preprocessor.fit(x)
    with pytest.raises(DataError, match=r"row 15 \(line 15 of .*\), column 'native-country' is empty"):
        Preprocessor.fit(x[["native-country"]])
    made = Preprocessor.fit(x.iloc[:400], missing="impute")
    train, test = made.transform(x.iloc[:400]), made.transform(x.iloc[400:], unseen="ignore")
    assert train.shape == (400, len(made.feature_names))
    assert test.shape == (200, len(made.feature_names))
    age = x["age"].to_numpy(float)
    expected = (age[400:] - age[:400].mean()) / age[:400].std()
    assert test[:, 0] == pytest.approx(expected, rel=1e-12)
    sex = [made.feature_names.index(f"sex={value}") for value in ("Female", "Male")]
    assert (test[:, sex].argmax(axis=1) == (x["sex"].iloc[400:] == "Male")).all()
