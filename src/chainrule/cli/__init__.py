"""The command line: `chainrule demo`, `chainrule fit`, `chainrule predict`."""

from chainrule.cli.app import build, main

__all__ = ["build", "main"]
