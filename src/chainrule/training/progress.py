"""What a running training shows: a bar for people, a `Progress` for callbacks."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

from chainrule.history import History

__all__ = ["Bar", "Progress"]


@dataclass(frozen=True)
class Progress:
    """Where a run stands, as callbacks see it. The model's parameters hold the values after `step` steps.

    Attributes:
        step: steps made, counted from the very first run (a resumed run goes on counting).
        stop: the step at which the run will end.
        loss: the mean of the batch losses since the last call; NaN before the first step.
        history: the records so far.
        model: the model that is trained.
    """

    step: int
    stop: int
    loss: float
    history: History
    model: Any = field(repr=False)


class Bar:
    """A tqdm bar on stderr with rate, time left and the current loss; nothing where nobody looks.

    `wanted` None: shown in a terminal and in a notebook.
    """

    def __init__(self, wanted: bool | None, start: int, stop: int):
        shown = (_is_watched() if wanted is None else wanted) and stop > start
        self._bar = _bar(stop - start) if shown else None

    def advance(self, steps: int, loss: float) -> None:
        """Show that `steps` more were made, the last ones at the mean batch loss `loss`."""
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {loss:.4g}", refresh=False)
            self._bar.update(steps)

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()


def _bar(steps: int) -> Any:
    from tqdm import tqdm  # it takes a fifth of the time that importing this package takes

    return tqdm(total=steps, unit="step", unit_scale=True, dynamic_ncols=True)


def _is_watched() -> bool:
    stream = sys.stderr
    if stream is not None and stream.isatty():
        return True
    notebook = sys.modules.get("IPython")  # looked up, not imported: where there is a notebook it is loaded
    shell = notebook.get_ipython() if notebook is not None else None
    return type(shell).__name__ == "ZMQInteractiveShell"
