"""Run the Python blocks of Markdown files, as a reader would, and compare what they say with what they do.

    python docs/run.py README.md docs/tutorial.md

The blocks of a file share one namespace. `# -> text` at the end of a statement, or on lines of its own after it, is
what it prints, or the repr of what it gives. `...` stands for any text; a number may differ in digits not written.
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MARK = "# -> "
NUMBER = re.compile(r"[-+]?(?:\d+\.\d*|\.\d+|\d+)(?:e[-+]?\d+)?")


def blocks(text: str) -> Iterator[tuple[int, str]]:
    """The code of every block marked `python`, with the number of its first line."""
    for found in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield text.count("\n", 0, found.start()) + 2, found[1]


def expectations(code: str, statement: ast.stmt) -> list[str]:
    """The lines of output that stand after `statement`."""
    lines, last = code.splitlines(), statement.end_lineno or 0
    _, mark, rest = lines[last - 1].partition(MARK)
    found = [rest] if mark else []
    for line in lines[last:]:
        if not line.startswith(MARK):
            break
        found.append(line.removeprefix(MARK))
    return found


def agree(wanted: str, got: str) -> bool:
    """Whether `got` says what `wanted` says, to the digits that are written there."""
    words = [" ".join(text.split()) for text in (wanted, got)]
    pattern = ".*".join(map(re.escape, NUMBER.sub("0", words[0]).split("...")))
    if not re.fullmatch(pattern, NUMBER.sub("0", words[1]), re.DOTALL):
        return False
    if "..." in wanted:
        return True
    pairs = zip(NUMBER.findall(words[0]), NUMBER.findall(words[1]), strict=True)
    return all(abs(float(a) - float(b)) <= 0.51 * _last_digit(a) for a, b in pairs)


def _last_digit(number: str) -> float:
    """What one more in the last written digit is worth; whole numbers are exact."""
    mantissa, _, exponent = number.partition("e")
    digits = len(mantissa.partition(".")[2])
    return float(10.0 ** (int(exponent or 0) - digits)) if "." in mantissa or exponent else 0.0


def run(path: str) -> list[str]:
    """Run one file; returns what was not as the file says."""
    space: dict[str, Any] = {"__name__": "__main__"}
    wrong: list[str] = []
    for first, code in blocks(Path(path).read_text(encoding="utf-8")):
        for statement in ast.parse(code).body:
            wanted, line = "\n".join(expectations(code, statement)), first + statement.lineno - 1
            got = execute(ast.increment_lineno(statement, first - 1), Path(path).name, space)
            if wanted and not agree(wanted, got):
                wrong.append(f"{path}:{line}: the text says\n{wanted}\nbut it is\n{got}")
    return wrong


def execute(statement: ast.stmt, name: str, space: dict[str, Any]) -> str:
    """What a statement prints, or the repr of what it gives."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        if isinstance(statement, ast.Expr):
            value = eval(compile(ast.Expression(statement.value), name, "eval"), space)
            return said.getvalue() or ("" if value is None else repr(value))
        exec(compile(ast.Module([statement], []), name, "exec"), space)
    return said.getvalue()


if __name__ == "__main__":
    warnings.simplefilter("error")
    os.environ.setdefault("MPLBACKEND", "Agg")  # no window opens
    documents = [os.path.abspath(path) for path in sys.argv[1:]]
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # what the blocks save is not kept
        problems = [problem for path in documents for problem in run(path)]
    print("\n\n".join(problems), file=sys.stderr)
    sys.exit(bool(problems))
