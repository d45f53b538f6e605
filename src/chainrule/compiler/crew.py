"""The threads that share the work of a call: helpers that wait between calls, and are taken by whoever is first."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from chainrule.compiler.meeting import BYTES
from chainrule.compiler.trial import Trial

try:
    import resource
except ImportError:  # Windows has none
    resource = None  # type: ignore[assignment]

__all__ = ["threads", "together", "yielding"]

LEAST_CALL = 2**22  # shared operations of a call that pay for waking a helper: about 100 us
_CROWDED = 0.25  # seconds without helpers, after a call in which the system took cores away
_OFTEN = 0.005  # seconds: switched to another process more often than that, a call is crowded
_idle: deque[_Helper] = deque()
_started = 0
_alone_until = 0.0


def threads() -> int:
    """How many threads compute: CHAINRULE_THREADS, else the processors this process may use.

    Results do not depend on it.
    """
    given = os.environ.get("CHAINRULE_THREADS", "")
    if given.isdigit() and int(given) > 0:
        return int(given)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def yielding() -> dict[str, int]:
    """The address of what a thread calls to let others run; empty where the system has none: then nothing is shared."""
    try:
        return {"sched_yield": ctypes.cast(ctypes.CDLL(None).sched_yield, ctypes.c_void_p).value or 0}
    except (AttributeError, OSError, TypeError):
        return {}


def together(function: Any, each_step: int, each_period: int) -> Callable[[int, int, int, int], int]:
    """A call (table, periods, steps, last) -> flags of `function`, which takes a thread, their number, a meeting too.

    It has helpers where it is long enough, and those before were faster with them.

    Args:
        each_step, each_period: the operations that threads share in a step, and in a record.
    """
    trial = Trial()

    def call(table: int, periods: int, steps: int, last: int) -> int:
        arguments, others = (table, periods, steps, last), threads() - 1
        work = periods * each_period + ((periods - 1) * steps + last) * each_step
        if work < LEAST_CALL or not others or time.monotonic() < _alone_until:
            return _Job(function, arguments, []).run()
        job = _Job(function, arguments, _taken(others) if trial.helped() else [])
        helped, began = bool(job.helpers), time.perf_counter()
        with _watched():
            flags = job.run()
        trial.saw(helped, (time.perf_counter() - began) / max(1, work))
        return flags

    return call


@contextmanager
def _watched() -> Iterator[None]:
    """What follows is computed alone for a while if the system often gives our cores to other processes inside.

    A thread may then hold a piece that all wait for, and has no core to compute it.
    """
    global _alone_until
    began, switched = time.monotonic(), _switches()
    yield
    now = time.monotonic()
    if _switches() - switched > 1 + (now - began) / _OFTEN:
        _alone_until = now + _CROWDED


def _switches() -> int:
    """How often the system has taken a core from a thread of this process."""
    return 0 if resource is None else resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


class _Job:
    """One call, by the thread that runs it and its helpers."""

    def __init__(self, function: Any, arguments: tuple[int, int, int, int], helpers: list[_Helper]):
        self.function, self.arguments, self.helpers = function, arguments, helpers
        self.memory = ctypes.create_string_buffer(3 * BYTES)  # nothing else lies beside it
        self.meeting = (ctypes.addressof(self.memory) // BYTES + 1) * BYTES
        self.lock, self.left = threading.Lock(), threading.Lock()
        self.open, self.inside = True, 0
        self.flags: list[int] = []
        self.given = False

    def run(self) -> int:
        """The flags of all threads. A helper that comes late finds it over; one that is inside is waited for."""
        try:
            for number, helper in enumerate(self.helpers, 1):
                helper.give(self, number)
            self.given = True
            self.flags.append(self.part(0))
        finally:
            self._close()
            if not self.given:  # by Ctrl-C: it is not known which helpers will be idle again, so there may be others
                _replaced(len(self.helpers))
        return max(self.flags)

    def part(self, number: int) -> int:
        found: int = self.function(*self.arguments, number, 1 + len(self.helpers), self.meeting)
        return found

    def help(self, number: int) -> None:
        """What a helper does."""
        with self.lock:
            if not self.open:
                return
            if self.inside == 0:
                self.left.acquire()
            self.inside += 1
        try:
            self.flags.append(self.part(number))
        finally:
            with self.lock:
                self.inside -= 1
                if self.inside == 0:
                    self.left.release()

    def _close(self) -> None:
        """Nobody comes in any more, and all are out: what the machine code works on may go. Ctrl-C does not end it."""
        interrupt: BaseException | None = None
        while self.helpers:
            try:
                with self.lock:
                    self.open = False
                with self.left:
                    break
            except KeyboardInterrupt as error:
                interrupt = error
        if interrupt is not None:
            raise interrupt


class _Helper(threading.Thread):
    """A thread that waits for jobs, idle in between."""

    def __init__(self) -> None:
        super().__init__(name="chainrule", daemon=True)
        self.ready = threading.Lock()
        self.ready.acquire()
        self.job: tuple[_Job, int] | None = None

    def give(self, job: _Job, number: int) -> None:
        self.job = job, number
        self.ready.release()

    def run(self) -> None:
        while True:
            self.ready.acquire()
            assert self.job is not None
            (job, number), self.job = self.job, None
            job.help(number)
            del job  # it keeps the machine code alive
            _idle.append(self)


def _taken(count: int) -> list[_Helper]:
    """Up to `count` idle helpers; there are never more than that in the process, whoever computes."""
    global _started
    found: list[_Helper] = []
    while len(found) < count:
        try:
            found.append(_idle.pop())
        except IndexError:
            if _started >= count:
                break
            try:
                helper = _Helper()
                helper.start()
            except RuntimeError:  # no more threads are to be had
                break
            _started += 1
            found.append(helper)
    return found


def _replaced(count: int) -> None:
    """So many helpers may be started once more."""
    global _started
    _started -= count


def _forget() -> None:
    """A forked process has none of its parent's threads."""
    global _started
    _idle.clear()
    _started = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
