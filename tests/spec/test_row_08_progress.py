"""Row 8: a bar with rate, time left and current loss, at most 1 % of the time; Ctrl-C keeps what there is.

Ctrl-C by a real signal, threads and silence are in tests/test_fit_interrupt.py.
"""

from __future__ import annotations

import io
import sys
import time
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import losses, nn, optim
from chainrule.training.progress import Bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def train(engine: str, steps: int, **options: Any) -> cr.History:
    x, t = cr.datasets.two_gaussians(1000, seed=0)
    model = nn.Linear(2, 1, seed=0)
    return cr.fit(model, losses.squared, optim.SGD(1e-3), x, t, steps=steps, batch_size=1, engine=engine, **options)


def test_row_08_the_bar_takes_at_most_one_percent(monkeypatch: pytest.MonkeyPatch, engine: str) -> None:
    spent = []
    advance = Bar.advance

    def measured(self: Bar, steps: int, loss: float) -> None:
        began = time.thread_time()
        advance(self, steps, loss)
        spent.append(time.thread_time() - began)

    monkeypatch.setattr(Bar, "advance", measured)
    monkeypatch.setattr(sys, "stderr", Terminal())
    history = train(engine, 50_000, record_every=100)
    assert sum(spent) <= 0.01 * history.seconds
    shown = sys.stderr.getvalue()  # type: ignore[attr-defined]
    assert "step/s" in shown
    assert "<00:" in shown  # time left
    assert f"loss {history.loss[-1]:.1f}"[:6] in shown


def test_row_08_silent_when_not_a_terminal(capsys: pytest.CaptureFixture[str], engine: str) -> None:
    train(engine, 1000)
    assert capsys.readouterr() == ("", "")


def test_row_08_ctrl_c_returns_the_partial_result(engine: str) -> None:
    def interrupt(progress: cr.Progress) -> None:
        if progress.step == 300:
            raise KeyboardInterrupt

    history = train(engine, 10_000, record_every=100, callbacks=interrupt)
    assert (history.stopped, history.steps_done) == ("interrupted", 300)
    assert len(history.loss) == 4
    assert np.isfinite(history.loss).all()


CELL = """
import numpy as np
import chainrule as cr
from chainrule import losses, nn, optim
x, t = cr.datasets.two_gaussians(100, seed=0)
cr.fit(nn.Linear(2, 1, seed=0), losses.squared, optim.SGD(1e-3), x, t, steps=2000, batch_size=1).steps_done
"""


def test_row_08_works_in_a_notebook() -> None:
    import nbclient
    import nbformat

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    outputs = notebook.cells[0].outputs
    streams = {kind: "".join(o.text for o in outputs if o.get("name") == kind) for kind in ("stdout", "stderr")}
    assert streams["stdout"] == ""
    assert "2.00k/2.00k" in streams["stderr"]
    assert "loss" in streams["stderr"]
    assert [o.data["text/plain"] for o in outputs if o.output_type == "execute_result"] == ["2000"]
