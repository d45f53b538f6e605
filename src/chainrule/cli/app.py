"""The command line as one application of its commands."""

from __future__ import annotations

import os
from typing import Any

from chainrule.cli import demo, fit, predict
from chainrule.cli.failure import one_line
from chainrule.errors import MissingExtraError

__all__ = ["build", "main"]


def build() -> Any:
    """The typer application. Raises MissingExtraError without typer."""
    try:
        import typer
    except ImportError:
        raise MissingExtraError.of("typer", "cli", "the command chainrule") from None
    app = typer.Typer(
        name="chainrule", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
        rich_markup_mode=None, help="Learn from your own tables, and see how it is done.",
    )  # fmt: skip
    for command in (demo, fit, predict):
        command.add_to(app)
    return app


def main() -> None:
    """Run the command line; errors end it with one line on stderr and exit code 2."""
    os.environ.setdefault("MPLBACKEND", "Agg")  # pictures go to files: no window is opened
    with one_line(debug=False):
        app = build()
    app()
