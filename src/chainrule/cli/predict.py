"""`chainrule predict`: answers of a saved model for the rows of a table."""

import os
import sys
from typing import Annotated, Any

from chainrule.cli.failure import one_line, refuse_to_replace
from chainrule.cli.learner import Learner
from chainrule.data import read_table
from chainrule.errors import OptionError, explain

__all__ = ["add_to"]


def add_to(app: Any) -> None:
    """Give the application this command."""
    import typer

    @app.command()
    def predict(
        model: Annotated[str, typer.Argument(help="A model saved by `chainrule fit`.")],
        file: Annotated[str, typer.Argument(help="CSV or Parquet with the columns that it learned from.")],
        out: Annotated[str | None, typer.Option(help="The CSV file to write. [default: the screen]")] = None,
        unseen: Annotated[str, typer.Option(help="What to do with a category not seen before: refuse or ignore.")] = (
            "refuse"
        ),
        names: Annotated[str | None, typer.Option(help="The columns' names, of a CSV without a header.")] = None,
        force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
        debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    ) -> None:
        """Predict with a saved MODEL for every row of FILE, as CSV: classes and probabilities, or numbers."""
        with one_line(debug):
            if out is not None and os.path.realpath(out) in (os.path.realpath(file), os.path.realpath(model)):
                raise OptionError(explain(f"--out {out}", "", "this file is read", "Name another file."))
            if out is not None:
                refuse_to_replace("--out", out, force)
            learner = Learner.load(model)
            columns = None if names is None else [name.strip() for name in names.split(",")]
            frame = read_table(file, names=columns, text=learner.columns.text_columns)
            answers = learner.predict(frame, unseen)  # type: ignore[arg-type]
            answers.to_csv(sys.stdout if out is None else out, index=False, lineterminator="\n")
            if out is not None:
                print(f"{len(answers)} predictions of {learner.target.name!r} written to {os.path.abspath(out)}")
