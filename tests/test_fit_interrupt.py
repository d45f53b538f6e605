"""Ctrl-C gives what there is, after a whole step; a bar shows where people look, and costs next to nothing."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import losses, nn, optim

X = np.random.RandomState(0).randn(40, 3)
T = X.sum(1, keepdims=True)
ENDLESS = 10**11  # steps: no timer is late by as much as these take


def train(model: nn.Module, steps: int, **options: Any) -> cr.History:
    return cr.fit(model, losses.squared, optim.Momentum(1e-3), X, T, steps=steps, batch_size=1, **options)


def same_as_straight(model: nn.Linear, history: cr.History) -> None:
    other = nn.Linear(3, 1, seed=0)
    train(other, history.steps_done)
    np.testing.assert_array_equal(model.weight.value, other.weight.value)


def test_ctrl_c_in_a_callback_returns_the_partial_history() -> None:
    def interrupt(progress: cr.Progress) -> None:
        if progress.step >= 30:
            raise KeyboardInterrupt

    model = nn.Linear(3, 1, seed=0)
    history = train(model, 1000, record_every=10, callbacks=interrupt)
    assert (history.stopped, history.steps_done, history.final) == ("interrupted", 30, None)
    assert history.steps.tolist() == [0, 10, 20, 30]
    same_as_straight(model, history)


def test_a_signal_ends_the_run_after_a_whole_step() -> None:
    model = nn.Linear(3, 1, seed=0)
    timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
    timer.start()
    history = train(model, ENDLESS, record_every=1000)
    timer.join()
    assert history.stopped == "interrupted"
    assert 0 < history.steps_done < ENDLESS
    assert len(history.loss) >= 1
    same_as_straight(model, history)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("options", [{}, {"record_every": 0}, {"record_every": 100}, {"batch_size": None}])
def test_a_signal_is_heard_within_three_tenths_of_a_second(options: dict[str, Any]) -> None:
    """In the processor's time, since others may use the machine."""
    waited = []
    for _ in range(3):
        sent: list[float] = []

        def send(sent: list[float] = sent) -> None:
            sent.append(time.process_time())
            signal.raise_signal(signal.SIGINT)

        timer = threading.Timer(0.2, send)
        timer.start()
        call: dict[str, Any] = {"steps": ENDLESS, "batch_size": 1} | options
        history = cr.fit(nn.Linear(3, 1, seed=0), losses.squared, optim.Adam(1e-3), X, T, **call)
        waited.append(time.process_time() - sent[0])
        timer.join()
        assert history.stopped == "interrupted"
    assert min(waited) < 0.3


def test_an_interrupt_in_the_middle_of_a_step_goes_back_to_a_whole_one() -> None:
    """A handler of the user's own, or the second Ctrl-C, raises wherever Python stands."""

    def at_once(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, at_once)
    try:
        for delay in (0.21, 0.25, 0.29):
            model = nn.Linear(3, 1, seed=0)
            timer = threading.Timer(delay, signal.raise_signal, [signal.SIGINT])
            timer.start()
            history = train(model, ENDLESS, record_every=0)
            timer.join()
            assert history.stopped == "interrupted"
            assert history.steps_done > 0
            same_as_straight(model, history)
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_interrupt_while_the_parameters_are_written_waits_until_all_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the second Ctrl-C, at the end of a run; it would leave some parameters new and some old."""
    model, seen = nn.Linear(3, 1, seed=0), []
    adopt = cr.Parameter.adopt

    def slow(parameter: cr.Parameter, value: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        seen.append(parameter)
        adopt(parameter, value)

    monkeypatch.setattr(cr.Parameter, "adopt", slow)
    history = train(model, 7)
    monkeypatch.undo()
    assert len(seen) == 2
    assert (history.stopped, history.steps_done) == ("interrupted", 7)
    same_as_straight(model, history)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


SCRIPT = f"""
import sys
import numpy as np
import chainrule as cr
from chainrule import losses, nn, optim
x = np.random.RandomState(0).randn(40, 3)
model = nn.Linear(3, 1, seed=0)
started = lambda progress: print("started", flush=True) if progress.step == 0 else None
history = cr.fit(model, losses.squared, optim.SGD(1e-3), x, x.sum(1), steps={ENDLESS}, batch_size=1,
                 record_every=10**10, callbacks=started)
print(history.stopped, history.steps_done > 0, len(history.loss), flush=True)
"""


def test_ctrl_c_in_a_process_of_its_own() -> None:
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (out, err, process.returncode) == ("interrupted True 1\n", "", 0)


def test_it_trains_in_a_thread_where_signals_do_not_arrive() -> None:
    found: list[cr.History] = []
    thread = threading.Thread(target=lambda: found.append(train(nn.Linear(3, 1, seed=0), 50)))
    thread.start()
    thread.join()
    assert found[0].stopped == "finished"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_is_silent_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    train(nn.Linear(3, 1, seed=0), 2000)
    assert capsys.readouterr() == ("", "")


def test_in_a_terminal_it_shows_rate_time_left_and_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    train(nn.Linear(3, 1, seed=0), 5000)
    shown = sys.stderr.getvalue()  # type: ignore[attr-defined]
    last = shown.rstrip().split("\r")[-1]
    assert "5.00k/5.00k" in last
    assert "step/s" in last
    assert "loss " in last


def test_the_user_decides(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    train(nn.Linear(3, 1, seed=0), 500, progress=True)
    assert "500/500" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stderr", Terminal())
    train(nn.Linear(3, 1, seed=0), 500, progress=False)
    assert sys.stderr.getvalue() == ""  # type: ignore[attr-defined]
