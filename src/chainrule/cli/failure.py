"""How a command ends that cannot do what it was asked."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from chainrule.errors import ChainruleError, OptionError, explain
from chainrule.graph import without_lines

__all__ = ["WRONG", "one_line", "refuse_to_replace"]

WRONG = 2  # the exit code, as for a misspelled option


@contextmanager
def one_line(debug: bool) -> Iterator[None]:
    """Print an error of the library, or of a file, as one line on stderr and exit with code 2.

    With `debug` it is raised as it is, so that its traceback is seen. No message names a line of Python.
    """
    try:
        with without_lines():
            yield
    except (ChainruleError, OSError) as error:
        if debug:
            raise
        print(f"chainrule: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(WRONG) from None


def refuse_to_replace(option: str, path: str, force: bool) -> None:
    """Raise OptionError where a file would be lost that the user did not say may go."""
    if os.path.exists(path) and not force:
        rule, repair = "this file is there already", "Add --force to write over it, or name another file."
        raise OptionError(explain(f"{option} {path}", "", rule, repair))
