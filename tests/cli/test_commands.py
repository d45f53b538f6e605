"""The commands on files: fit, predict and their errors, as a user meets them."""

from __future__ import annotations

import re
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import chainrule as cr
from chainrule.cli import build
from chainrule.cli.learner import Learner
from chainrule.cli.real import as_table

from .test_learn import table


def run(*words: Any) -> Any:
    return CliRunner().invoke(build(), [str(word) for word in words])


def fails(*words: Any) -> str:
    """The one line on stderr of a command that must fail with exit code 2."""
    result = run(*words)
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("chainrule: ")
    return str(lines[0])


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "things.csv"
    table(300).drop(columns="price").to_csv(path, index=False)
    return path


@pytest.fixture
def model(csv: Path, tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    result = run("fit", csv, "--target", "kind", "--out", path, "--epochs", 30, "--lr", 0.01)
    assert result.exit_code == 0, result.output
    return path


def test_the_program_itself_learns_breast_cancer_and_predicts_it(tmp_path: Path) -> None:
    path, out, answers = tmp_path / "tumors.csv", tmp_path / "m.safetensors", tmp_path / "answers.csv"
    frame = as_table(cr.datasets.breast_cancer())
    frame.to_csv(path, index=False)
    program = [sys.executable, "-W", "error", "-c", "from chainrule.cli import main; main()"]
    fit = [*program, "fit", path, "--target", "class", "--out", out]
    done = subprocess.run(fit, capture_output=True, text=True, check=True, encoding="utf-8")
    assert done.stderr == ""
    for words in (
        "569 rows, 30 columns -> 30 features",
        "'class' (benign, malignant)",
        "142 rows: accuracy 0.9",
    ):
        assert words in done.stdout
    assert done.stdout.splitlines()[-1] == f"saved     {out}"
    subprocess.run([*program, "predict", out, path, "--out", answers], check=True, capture_output=True)
    found = pd.read_csv(answers)
    assert list(found.columns) == ["class", "probability of benign", "probability of malignant"]
    assert (found["class"] == frame["class"]).mean() > 0.95
    np.testing.assert_allclose(found.iloc[:, 1:].sum(axis=1), 1)
    assert ((found["probability of malignant"] > 0.5) == (found["class"] == "malignant")).all()
    wrong = subprocess.run([*program, "predict", out, tmp_path / "no.csv"], capture_output=True, text=True)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("chainrule: ") and "no.csv" in wrong.stderr and len(wrong.stderr.splitlines()) == 1


def test_predictions_do_not_need_the_target_nor_the_order_of_columns(csv: Path, model: Path) -> None:
    whole = run("predict", model, csv).stdout
    frame = pd.read_csv(csv)[["old", "color", "size"]]
    other = csv.with_name("other.csv")
    frame.to_csv(other, index=False)
    assert run("predict", model, other).stdout == whole
    assert len(whole.splitlines()) == 301


def test_parquet_gives_what_csv_gives(csv: Path, model: Path) -> None:
    parquet = csv.with_suffix(".parquet")
    pd.read_csv(csv).to_parquet(parquet)
    again = csv.with_name("again.safetensors")
    assert run("fit", parquet, "--target", "kind", "--out", again, "--epochs", 30, "--lr", 0.01).exit_code == 0
    assert run("predict", again, parquet).stdout == run("predict", model, csv).stdout


def test_a_regression_answers_in_the_targets_units(tmp_path: Path) -> None:
    path, out = tmp_path / "prices.csv", tmp_path / "m.safetensors"
    frame = table(400).drop(columns="kind")
    frame.to_csv(path, index=False)
    result = run("fit", path, "--target", "price", "--out", out, "--epochs", 60, "--model", "linear", "--lr", 0.01)
    assert "task      regression, 'price': found from the target" in result.stdout
    answers = pd.read_csv(StringIO(run("predict", out, path).stdout))
    assert list(answers.columns) == ["price"]
    np.testing.assert_allclose(answers["price"], frame["price"], atol=0.5)  # the target is linear in the columns


def test_hinge_gives_scores_not_probabilities(csv: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.safetensors"
    assert run("fit", csv, "--target", "kind", "--out", out, "--loss", "hinge", "--epochs", 5).exit_code == 0
    lines = run("predict", out, csv).stdout.splitlines()
    assert lines[0] == "kind,score"
    assert all((float(line.split(",")[1]) > 0) == line.startswith("good") for line in lines[1:])


def test_missing_values_are_refused_with_their_place_or_filled_in(csv: Path, tmp_path: Path) -> None:
    lines = csv.read_text().splitlines()
    lines[4] = "," + lines[4].split(",", 1)[1]
    lines[7] = lines[7].replace("red", "?").replace("blue", "?")
    csv.write_text("\n".join(lines))
    out = tmp_path / "m.safetensors"
    message = fails("fit", csv, "--target", "kind", "--out", out)
    for words in ("row 4 (line 5 of", "column 'size' is empty", "size 1, color 1", "--missing impute"):
        assert words in message
    assert not out.exists()
    again = ("fit", csv, "--target", "kind", "--out", out, "--force")
    assert run(*again, "--missing", "impute", "--epochs", 2).exit_code == 0
    assert len(run("predict", out, csv).stdout.splitlines()) == 301
    assert run(*again, "--drop", "size", "--drop", "color").exit_code == 0


def test_an_unseen_category_is_refused_or_ignored(csv: Path, model: Path) -> None:
    lines = csv.read_text().splitlines()
    lines[2] = lines[2].replace("red", "green").replace("blue", "green")
    csv.write_text("\n".join(lines))
    message = fails("predict", model, csv)
    assert "row 2 (line 3 of" in message and "'green'" in message and "column 'color'" in message
    assert len(run("predict", model, csv, "--unseen", "ignore").stdout.splitlines()) == 301


def test_damaged_and_foreign_models_are_refused(csv: Path, model: Path, tmp_path: Path) -> None:
    whole = model.read_bytes()
    for at in (20, 200, len(whole) // 2, len(whole) - 5):
        model.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert "checksum" in fails("predict", model, csv) or "damaged" in fails("predict", model, csv)
    model.write_bytes(whole[:-100])
    assert "cut off" in fails("predict", model, csv)
    model.write_bytes(b"")
    fails("predict", model, csv)
    other = tmp_path / "other.safetensors"
    cr.save(other, cr.nn.Linear(2, 1, seed=0))
    assert "not written by `chainrule fit`" in fails("predict", other, csv)
    kept = {"kind": "chainrule.table", "version": 1, "hidden": [2], "columns": {}, "loss": "logistic"}
    cr.save(other, cr.nn.Linear(2, 1, seed=0), metadata=kept)
    assert "do not fit together" in fails("predict", other, csv)


def test_a_model_comes_back_as_it_was_saved(csv: Path, model: Path, tmp_path: Path) -> None:
    learner = Learner.load(model)
    copy = tmp_path / "copy.safetensors"
    learner.save(copy)
    assert run("predict", copy, csv).stdout == run("predict", model, csv).stdout


def test_wrong_words_are_one_line(csv: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "new.safetensors"
    assert "Is it 'kind'" in fails("fit", csv, "--target", "kid", "--out", out)
    assert "linear, mlp" in fails("fit", csv, "--target", "kind", "--out", out, "--model", "tree")
    assert "no column 'size'" in fails("predict", model, _renamed(csv))
    assert "this is the data" in fails("fit", csv, "--target", "kind", "--out", csv)
    assert "there is no folder" in fails("fit", csv, "--target", "kind", "--out", tmp_path / "no" / "m.safetensors")
    assert "this file is read" in fails("predict", model, csv, "--out", csv)
    assert "separator" in fails("fit", _ragged(csv), "--target", "kind", "--out", out)
    assert not out.exists()


def test_files_that_are_there_are_kept_unless_forced(csv: Path, tmp_path: Path) -> None:
    """Refused before the work; with --force written over."""
    out, report, answers = tmp_path / "m.safetensors", tmp_path / "r.html", tmp_path / "a.csv"
    words = ("fit", csv, "--target", "kind", "--epochs", 1, "--out", out)
    for path in (out, report, answers):
        path.write_text("mine")
    assert "m.safetensors: this file is there already. Add --force" in fails(*words)
    assert out.read_text() == "mine"
    assert run(*words, "--force").exit_code == 0
    assert out.stat().st_size > 1000
    out.rename(tmp_path / "kept.safetensors")
    assert "r.html: this file is there already" in fails(*words, "--report", report)
    assert not out.exists()
    predict = ("predict", tmp_path / "kept.safetensors", csv, "--out", answers)
    assert "a.csv: this file is there already" in fails(*predict)
    assert (report.read_text(), answers.read_text()) == ("mine", "mine")
    assert run(*predict, "--force").exit_code == 0
    assert len(answers.read_text().splitlines()) == 301


def test_a_run_that_diverges_is_told_in_the_commands_own_terms(csv: Path, tmp_path: Path) -> None:
    """No line of Python, and what to change on the command line."""
    out = tmp_path / "m.safetensors"
    message = fails("fit", csv, "--target", "kind", "--lr", 1e30, "--out", out)
    assert re.search(r"fit, step \d+: '\w+' \(\d+, \d+\) in Sequential\.\d became NaN or infinite", message), message
    assert message.endswith("Try a smaller step size, such as --lr 1e+29, or --optimizer adam.")
    assert ".py" not in message and not out.exists()


def test_debug_shows_the_traceback(csv: Path) -> None:
    result = run("fit", csv, "--target", "kid", "--debug")
    assert isinstance(result.exception, cr.errors.DataError)


def test_a_table_without_a_header(csv: Path, tmp_path: Path) -> None:
    bare, out = tmp_path / "bare.csv", tmp_path / "m.safetensors"
    bare.write_text(csv.read_text().split("\n", 1)[1])
    words = ("--names", "size, color, old, kind")
    assert run("fit", bare, "--target", "kind", "--out", out, "--epochs", 2, *words).exit_code == 0
    assert len(run("predict", out, bare, *words).stdout.splitlines()) == 301


@pytest.mark.parametrize("target", ["kind", "price"])
def test_the_report_of_a_fit_holds_its_pictures(target: str, tmp_path: Path) -> None:
    path, report = tmp_path / "t.csv", tmp_path / "report.html"
    table(300).to_csv(path, index=False)
    result = run("fit", path, "--target", target, "--out", tmp_path / "m", "--report", report, "--epochs", 3)
    assert result.exit_code == 0, result.output
    html = report.read_text(encoding="utf-8")
    assert html.count("data:image/png;base64,") == 5
    assert result.stdout.splitlines()[-1].endswith(str(report))
    assert "http" not in html.replace("http://www.w3.org/2000/svg", "")


def _renamed(csv: Path) -> Path:
    path = csv.with_name("renamed.csv")
    pd.read_csv(csv).rename(columns={"size": "Size"}).to_csv(path, index=False)
    return path


def _ragged(csv: Path) -> Path:
    path = csv.with_name("ragged.csv")
    path.write_text(csv.read_text() + "1,red,True,good,more\n")
    return path
