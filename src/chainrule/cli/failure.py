"""How a command ends that cannot do what it was asked."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from chainrule.errors import ChainruleError

__all__ = ["WRONG", "one_line"]

WRONG = 2  # the exit code, as for a misspelled option


@contextmanager
def one_line(debug: bool) -> Iterator[None]:
    """Print an error of the library, or of a file, as one line on stderr and exit with code 2.

    With `debug` it is raised as it is, so that its traceback is seen.
    """
    try:
        yield
    except (ChainruleError, OSError) as error:
        if debug:
            raise
        print(f"chainrule: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(WRONG) from None
