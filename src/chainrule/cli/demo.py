"""`chainrule demo`: the whole story, on one page."""

import time
from importlib.util import find_spec
from typing import Annotated, Any

from chainrule.cli import real
from chainrule.cli.failure import one_line
from chainrule.errors import MissingExtraError
from chainrule.report import check_file, page, write_page
from chainrule.report.glass import chain_rule, splits_and_joins
from chainrule.report.story import Story

__all__ = ["add_to", "tell"]

LEAD = """A model makes an output of data, a loss says how bad it is, an optimizer makes it better, and the chain
rule says in which direction. Everything on this page was computed and drawn just now, by one run of `chainrule
demo`."""


def add_to(app: Any) -> None:
    """Give the application this command."""
    import typer

    @app.command()
    def demo(
        out: Annotated[str, typer.Option(help="The HTML file to write.")] = "out/report.html",
        seed: Annotated[int, typer.Option(help="Of the data and of all draws.", min=0)] = 0,
        quick: Annotated[bool, typer.Option("--quick", help="A tenth of the steps; the pictures are unfinished.")] = (
            False
        ),
        debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    ) -> None:
        """Train on toy and on real data, and write one page with all pictures; its path is the last line printed."""
        with one_line(debug):
            check_file(out)
            print(write_page(out, tell(seed, quick)))


def tell(seed: int = 0, quick: bool = False) -> str:
    """Run everything, with a line on the screen for each part; returns the page."""
    _check_extras()
    start = time.monotonic()

    def say(words: str) -> None:
        print(f"{time.monotonic() - start:6.1f} s  {words}", flush=True)

    seeds = 1 if quick else 5
    sections = [
        chain_rule(say),
        *Story(seed, quick, say).sections(),
        splits_and_joins(seed, quick, say),
        real.breast_cancer(seeds, say),
        real.digits(seeds, say),
    ]
    foot = f"Seed {seed}. Written by `chainrule demo` in {time.monotonic() - start:.0f} seconds."
    short = " This was a quick run: a tenth of the steps, so what it shows is unfinished." if quick else ""
    return page("Learning, one rule and three parts", sections, LEAD + short, foot)


def _check_extras() -> None:
    """Miss what is not installed now, not after a minute of work."""
    for name in ("matplotlib", "pandas", "sklearn"):
        if find_spec(name) is None:
            raise MissingExtraError.of(name, "all", "chainrule demo")
