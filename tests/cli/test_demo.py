"""The demo from end to end, with a tenth of the steps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from chainrule.cli import build


def run(*words: Any) -> Any:
    return CliRunner().invoke(build(), ["demo", *map(str, words)])


@pytest.mark.slow
def test_the_demo_writes_one_page_and_prints_its_path_last(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    result = run("--out", path, "--quick")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == str(path)
    found = [float(share) for share in re.findall(r"median of 1 seeds: ([\d.]+)", result.stdout)]
    assert len(found) == 2 and min(found) > 0.9
    html = path.read_text(encoding="utf-8")
    assert html.count("<section id=") == 8
    assert html.count("data:image/png;base64,") == 14 + 4 + 4
    assert not re.search(r'(src|href)="(?!data:|#)', html)


def test_a_folder_is_no_report(tmp_path: Path) -> None:
    result = run("--out", tmp_path)
    assert result.exit_code == 2
    assert "it is a folder" in result.stderr
