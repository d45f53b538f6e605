"""Where pictures are drawn, how they are saved, and their colors."""

from __future__ import annotations

from os import PathLike, fspath
from typing import Any, TypeAlias

from chainrule.errors import MissingExtraError, OptionError, explain

__all__ = ["COLORS", "MARKERS", "Path", "axes", "figure", "save"]

Path: TypeAlias = "str | PathLike[str] | None"

# Okabe and Ito (2008): told apart with any kind of color vision. Yellow, pale on white, comes last.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#f0e442")
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")


def figure(path: Path, size: tuple[float, float]) -> Any:
    """A figure of `size` inches: one of pyplot's, which notebooks show, unless it goes to a file.

    Raises MissingExtraError where matplotlib is not installed, OptionError for a file that is neither PNG nor SVG.
    """
    if path is not None:
        _check(path)
    try:
        if path is not None:
            from matplotlib.figure import Figure

            return Figure(figsize=size, layout="constrained")
        from matplotlib import pyplot
    except ModuleNotFoundError:
        raise MissingExtraError.of("matplotlib", "plot", "chainrule.plot") from None
    return pyplot.figure(figsize=size, layout="constrained")


def axes(ax: Any, path: Path, size: tuple[float, float] = (6.4, 4.4)) -> Any:
    """`ax` itself, else the only axes of a new figure."""
    if ax is not None and path is not None:
        _check(path)
    return figure(path, size).add_subplot() if ax is None else ax


def save(fig: Any, path: Path) -> None:
    """Write the figure to `path`, if there is one."""
    if path is not None:
        dated = {"Date": None} if _check(path) == "svg" else {}
        fig.savefig(path, dpi=150, metadata=dated)


def _check(path: str | PathLike[str]) -> str:
    kind = fspath(path).rpartition(".")[2].lower()
    if kind not in ("png", "svg"):
        raise OptionError(
            explain("plot", f"path={fspath(path)!r}", "pictures are PNG or SVG", "End it in .png or .svg.")
        )
    return kind
