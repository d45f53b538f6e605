"""`chainrule fit`: learn to predict one column of a table from the others."""

import os
import sys
from typing import Annotated, Any

from chainrule.cli.choices import LOSSES, OPTIMIZERS
from chainrule.cli.failure import one_line, refuse_to_replace
from chainrule.cli.learn import Choices, Outcome, learn
from chainrule.cli.outcome import outcome_sections
from chainrule.data import read_table
from chainrule.errors import OptionError, explain
from chainrule.report import page, write_page

__all__ = ["add_to", "summary"]

USUAL = Choices()
NAMES = ", ".join(dict.fromkeys(name for fitting in LOSSES.values() for name in fitting))


def add_to(app: Any) -> None:
    """Give the application this command."""
    import typer

    def option(words: str) -> Any:
        return typer.Option(help=words)

    @app.command()
    def fit(
        file: Annotated[str, typer.Argument(help="A CSV file with a header line, or Parquet (.parquet).")],
        target: Annotated[str, option("The column to predict.")],
        model: Annotated[str, option("linear, mlp, or the sizes of hidden layers: 32,16.")] = USUAL.model,
        loss: Annotated[str | None, option(f"One of {NAMES}. [default: the task's own]")] = None,
        optimizer: Annotated[str, option(f"One of {', '.join(OPTIMIZERS)}.")] = USUAL.optimizer,
        lr: Annotated[float | None, option("The step size. [default: the optimizer's usual one]")] = None,
        epochs: Annotated[int, option("At most so often through the training rows.")] = USUAL.epochs,
        batch_size: Annotated[int, option("Rows a step.")] = USUAL.batch_size,
        seed: Annotated[int, option("Decides the split, the first weights, the order of rows.")] = USUAL.seed,
        held_out: Annotated[float, option("The part of the rows kept for the score.")] = USUAL.held_out,
        missing: Annotated[str, option("What to do with missing values: refuse or impute.")] = USUAL.missing,
        drop: Annotated[list[str], option("A column to leave out; can be repeated.")] = [],  # noqa: B006
        task: Annotated[str, option("auto (found from the target), regression, binary or multiclass.")] = "auto",
        names: Annotated[str | None, option("The columns' names, by commas, of a CSV without a header.")] = None,
        out: Annotated[str, option("The file to save the model to.")] = "model.safetensors",
        report: Annotated[str | None, option("Also write a page of pictures to this HTML file.")] = None,
        force: Annotated[bool, typer.Option("--force", help="Write over files that are there.")] = False,
        debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    ) -> None:
        """Learn to predict TARGET from the other columns of FILE, and save the model.

        Categories become one-hot, numbers are standardized, by the training rows. Some rows are held out for the
        score; of 100 or more training rows, 15 in 100 decide when to stop, and the best epoch's weights are kept.
        """
        with one_line(debug):
            _check_outputs(file, out, report, force)
            choices = Choices(
                model, loss, optimizer, lr, epochs, batch_size, seed, held_out,
                missing, tuple(drop), None if task == "auto" else task,  # type: ignore[arg-type]
            )  # fmt: skip
            frame = read_table(file, names=None if names is None else [name.strip() for name in names.split(",")])
            outcome = learn(frame, target, choices)
            about = {"file": os.path.basename(file), "held out": outcome.score.measures, "rows": len(frame)}
            outcome.learner.save(out, about)
            for note in outcome.notes:
                print(f"note: {note}", file=sys.stderr)
            print(summary(outcome, f"{os.path.basename(file)}: {len(frame)} rows"))
            print(f"saved     {os.path.abspath(out)}")
            if report is not None:
                title = f"Learning {target} from {os.path.basename(file)}"
                print(f"report    {write_page(report, page(title, outcome_sections(outcome)))}")


def summary(outcome: Outcome, source: str) -> str:
    """What was learned from what, how, and how well: a few lines."""
    learner, choices, history = outcome.learner, outcome.choices, outcome.history
    target = learner.target
    classes = f" ({', '.join(target.classes[:10])}{', ...' if len(target.classes) > 10 else ''})"
    found = "asked for" if choices.task else "found from the target; --task overrides"
    sizes = [len(learner.columns.feature_names), *learner.hidden, learner.network[-1].weight.shape[1]]
    count = sum(p.size for p in learner.network.parameters())
    how = "training interrupted" if history.stopped == "interrupted" else "trained"
    best = outcome.best_epoch
    kept = "" if best is None else f", weights of epoch {best} kept (lowest loss on the validation rows)"
    lines = [
        f"data      {source}, {len(learner.columns.columns)} columns -> {sizes[0]} features",
        f"task      {target.task}, {target.name!r}{classes if target.classes else ''}: {found}",
        f"model     {' -> '.join(map(str, sizes))}{', ReLU between' if learner.hidden else ''}, {count} parameters",
        f"loss      {learner.loss}; optimizer {choices.optimizer}",
        f"{how} {outcome.epochs} epochs in {history.seconds:.1f} s{kept}".replace("trained ", "training  ", 1),
        *(f"held out  {outcome.score.rows} rows: {line}" for line in outcome.score.lines()),
    ]
    return "\n".join(lines)


def _check_outputs(file: str, out: str, report: str | None, force: bool) -> None:
    """Refuse, before the work, what could not be written after it or would destroy what is there."""
    for option, path in (("--out", out), ("--report", report)):
        if path is None:
            continue
        if os.path.realpath(path) == os.path.realpath(file):
            raise OptionError(explain(f"{option} {path}", "", "this is the data", "Name another file."))
        folder = os.path.dirname(os.path.abspath(path))
        if not os.path.isdir(folder):
            raise OptionError(explain(f"{option} {path}", "", f"there is no folder {folder}", "Make it first."))
        if os.path.isdir(path):
            raise OptionError(explain(f"{option} {path}", "", "this is a folder", "Name a file in it."))
        refuse_to_replace(option, path, force)
    if report is not None and os.path.realpath(report) == os.path.realpath(out):
        raise OptionError(explain(f"--report {report}", "", "the model goes there", "Name another file."))
