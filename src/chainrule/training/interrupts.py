"""Ctrl-C during a run: it waits for a whole step, and for what is written to be written whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Interrupts"]


class Interrupts:
    """What Ctrl-C does inside `with Interrupts() as interrupts`, in the main thread.

    One handler stands for all of a run: to exchange them takes as long as hundreds of steps. A handler of the user's
    own stays, but for what is `held`.
    """

    def __init__(self) -> None:
        self._waits = 0  # how many more are only noted
        self._seen = 0
        self._main = threading.current_thread() is threading.main_thread()
        self._ours = self._main and signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def __enter__(self) -> Interrupts:
        if self._ours:
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _note(self, number: int, frame: Any) -> None:
        if self._waits <= 0:
            raise KeyboardInterrupt
        self._waits -= 1
        self._seen += 1

    @contextmanager
    def noted(self) -> Iterator[Callable[[], bool]]:
        """Inside, the first Ctrl-C is only noted, so that the step under way becomes whole; the second interrupts."""
        with self._waiting(1) as seen:
            yield seen

    @contextmanager
    def held(self) -> Iterator[Callable[[], bool]]:
        """Inside, Ctrl-C is only noted: what is written is written whole. A handler of the user's is called after."""
        before = signal.getsignal(signal.SIGINT) if self._main and not self._ours else None
        if not callable(before):
            with self._waiting(2**31) as seen:
                yield seen
            return
        calls: list[Any] = []
        signal.signal(signal.SIGINT, lambda *call: calls.append(call))
        try:
            yield lambda: bool(calls)
        finally:
            signal.signal(signal.SIGINT, before)
        if calls:
            before(*calls[0])

    @contextmanager
    def _waiting(self, count: int) -> Iterator[Callable[[], bool]]:
        before, self._waits = self._seen, count
        try:
            yield lambda: self._seen > before
        finally:
            self._waits = 0
