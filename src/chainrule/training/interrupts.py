"""Ctrl-C during a run: it waits for a whole step, and for what is written to be written whole."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

try:  # what `signal` is made of: that looks all it returns up in enumerations, which takes ten times as long
    import _signal as signal  # type: ignore[import-not-found]
except ImportError:
    import signal

__all__ = ["Interrupts"]

Seen = Callable[[], bool]


class Interrupts:
    """What Ctrl-C does inside `with Interrupts() as interrupts`, in the main thread.

    One handler stands for all of a run: to exchange them takes as long as hundreds of steps. A handler of the user's
    own stays, but for what is `held`.
    """

    def __init__(self) -> None:
        self.waits = 0  # how many more are only noted
        self.seen = 0
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
        if self.waits <= 0:
            raise KeyboardInterrupt
        self.waits -= 1
        self.seen += 1

    def noted(self) -> AbstractContextManager[Seen]:
        """Inside, the first Ctrl-C is only noted, so that the step under way becomes whole; the second interrupts."""
        return _Waiting(self, 1)

    def held(self) -> AbstractContextManager[Seen]:
        """Inside, Ctrl-C is only noted: what is written is written whole. A handler of the user's is called after."""
        before = signal.getsignal(signal.SIGINT) if self._main and not self._ours else None
        return _Deferred(before) if callable(before) else _Waiting(self, 2**31)


class _Waiting:
    """Inside, so many interrupts are only noted; gives the function that tells whether one was."""

    def __init__(self, interrupts: Interrupts, count: int):
        self._interrupts, self._count, self._before = interrupts, count, interrupts.seen

    def __enter__(self) -> Seen:
        self._interrupts.waits = self._count
        return self._noted

    def __exit__(self, *error: object) -> None:
        self._interrupts.waits = 0

    def _noted(self) -> bool:
        return self._interrupts.seen > self._before


class _Deferred:
    """Inside, a handler of the user's is not called; it is at the end, if it would have been."""

    def __init__(self, handler: Callable[..., Any]):
        self._handler, self._calls = handler, list[Any]()

    def __enter__(self) -> Seen:
        signal.signal(signal.SIGINT, lambda *call: self._calls.append(call))
        return lambda: bool(self._calls)

    def __exit__(self, *error: object) -> None:
        signal.signal(signal.SIGINT, self._handler)
        if self._calls and error[0] is None:
            self._handler(*self._calls[0])
