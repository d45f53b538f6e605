"""How many steps are made in one go: as many as take about as long as a report may wait."""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.training.step import Array, Arrays, LoopRunner

__all__ = ["REPORT", "Chunks"]

REPORT = 0.1  # seconds between two reports
FIRST = 0.1  # of that time, for the first chunk, whose speed is a guess
AGAIN = 0.5  # the same where the speed of an earlier run is known
BYTES = 2**23  # of rows gathered for one chunk


class Chunks:
    """The sizes of a run's chunks, which grow until one takes `REPORT` seconds.

    Args:
        looping: the runner, if it is one that makes a chunk in one go.
        every: a record is taken before each so many steps; 0: none.
        whole: whether records can be taken without coming back, so that a chunk may be several whole periods.
        batch: the rows of a step, and `data` what they are of.
    """

    def __init__(self, looping: LoopRunner | None, every: int, whole: bool, batch: int, data: Sequence[Array]):
        row = looping.row_bytes if looping else sum(array.nbytes // max(1, len(array)) for array in data) or 1
        self._most = max(1, BYTES // (row * batch))
        self._every, self._period = every, every if whole else 0
        self._growth = 4 if looping is None else 8
        self._size = 1

    def begin(self, looping: LoopRunner, arrays: Arrays, drawn: bool, left: int) -> None:
        """The first chunk is as many steps as surely take little time; a whole period, where that does not take long.

        `left` are the run's steps; `drawn`: whether they are given row numbers.
        """
        period = self._period if self._period <= left else 0
        most, measured = looping.first_chunk(arrays, drawn, period, REPORT)
        self._size = max(int(most * (AGAIN if measured else FIRST)), period if period <= most else 0, 1)

    def periods(self, left: int) -> int:
        """How many whole periods, each a record and the steps up to the next, of `left` steps; 0: not even one."""
        return min(self._size, left, self._most) // self._period if self._period else 0

    def steps(self, step: int, stop: int) -> int:
        """How many steps from `step` on, up to the next record at most."""
        count = min(self._size, stop - step, self._most)
        return min(count, self._every - step % self._every) if self._every else count

    def took(self, count: int, seconds: float) -> None:
        """A chunk of `count` steps took so long."""
        self._size = max(1, min(self._growth * self._size, int(REPORT * count / max(seconds, 1e-9))))
