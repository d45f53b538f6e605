"""What a newcomer reads is run: every Python block of the documents, what they say it gives, and the notebooks."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
LINK = re.compile(r"!?\[[^\]]*\]\(([^)#\s]+)")


def script(name: str) -> ModuleType:
    """A script of docs/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*paths: Path) -> subprocess.CompletedProcess[str]:
    """A process of its own, since a document may make primitives and set what it likes."""
    command = [sys.executable, str(ROOT / "docs" / "run.py"), *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


RUN = [path for path in DOCUMENTS if "```python\n" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", RUN, ids=lambda path: path.name)
def test_the_blocks_of_a_document_do_what_they_say(path: Path) -> None:
    done = run(path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("1 + 1  # -> 3", "but it is\n2"),
        ("print('a')\n# -> a\n# -> b", "but it is\na"),
        ("round(2 / 3, 4)  # -> 0.6668", "but it is\n0.6667"),
        ("print(1, 2)  # -> 1", "but it is\n1 2"),
        ("undefined", "NameError"),
        ("import warnings\nwarnings.warn('old')", "UserWarning: old"),
    ],
)
def test_a_document_that_is_wrong_is_refused(block: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.md"
    path.write_text(f"Text.\n\n```python\n{block}\n```\n", encoding="utf-8")
    done = run(path)
    assert done.returncode == 1
    assert said in done.stderr
    assert re.search(r"wrong.md(:|\", line )[45]", done.stderr)


def test_numbers_agree_to_the_digits_that_are_written() -> None:
    agree = script("run").agree
    assert agree("0.667 of 3", "0.66666 of 3")
    assert agree("x at ... is 2", "x at file.py:17 is 2")
    assert not agree("0.668 of 3", "0.66666 of 3")
    assert not agree("0.667 of 3", "0.66666 of 4")
    assert not agree("-1.0", "1.0")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_links_to_is_there(path: Path) -> None:
    links = [link for link in LINK.findall(path.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_the_list_of_operations_is_up_to_date() -> None:
    made = script("make_operations").page()
    there = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert there == made, "run: python docs/make_operations.py"


def test_the_pictures_can_be_made_again(tmp_path: Path) -> None:
    script("make_pictures").main(tmp_path)
    made, there = ({path.name for path in folder.iterdir()} for folder in (tmp_path, ROOT / "docs" / "images"))
    assert made == there
    assert all(path.stat().st_size < 100_000 for path in tmp_path.iterdir())
    box = "glass-box.svg"
    assert (tmp_path / box).read_text(encoding="utf-8") == (ROOT / "docs" / "images" / box).read_text(encoding="utf-8")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_committed_without_outputs(path: Path) -> None:
    import nbformat

    cells = nbformat.read(path, as_version=4).cells
    assert [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
@pytest.mark.parametrize("share", [20, pytest.param(1, marks=pytest.mark.slow)], ids=["quickly", "in full"])
def test_a_notebook_runs_from_top_to_bottom(
    path: Path, share: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Quickly: with a twentieth of the training steps."""
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")  # as where people run it
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.source = re.sub(r"steps=(\d+_000)", lambda found: f"steps={int(found[1]) // share}", cell.source)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in shown if output.get("name") == "stderr" and "Warning" in output.get("text", "")]
    assert any("image/png" in output.get("data", {}) for output in shown)
