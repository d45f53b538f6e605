"""One arena a compiled function: values whose lives do not overlap share memory."""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence

from chainrule.compiler.kernels import Buffer, Kernel, Schedule, reads, targets

__all__ = ["plan"]

_ALIGNMENT = 64  # a cache line, and the widest vector


def plan(found: Schedule, times: Sequence[int] | None = None) -> int:
    """Gives every arena buffer of the schedule its offset; returns the arena's size in bytes.

    First fit among the gaps, in the order of the kernels: a buffer lives from the first kernel that writes it to the
    last that reads it, both included. `times` says when each kernel runs where that is not one after another: those of
    equal times run in any order.
    """
    times = range(len(found.kernels)) if times is None else times
    first, last = _lives(found, times)
    begins: dict[int, list[Buffer]] = {}
    ends: dict[int, list[Buffer]] = {}
    for buffer, i in first.items():
        begins.setdefault(i, []).append(buffer)
        ends.setdefault(last[buffer], []).append(buffer)
    gaps = _Gaps()
    for i in range(max(times, default=-1) + 1):
        for buffer in begins.get(i, ()):
            buffer.place = gaps.take(_nbytes(buffer))
        for buffer in ends.get(i, ()):
            gaps.give(buffer.place, _nbytes(buffer))
    return gaps.end


def _lives(found: Schedule, times: Sequence[int]) -> tuple[dict[Buffer, int], dict[Buffer, int]]:
    """The first and the last kernel that uses each buffer of the arena."""
    unstored = {w.target for k in found.kernels if isinstance(k, Kernel) for w in k.writes if not w.stored}
    first: dict[Buffer, int] = {}
    last: dict[Buffer, int] = {}
    for i, kernel in zip(times, found.kernels, strict=True):
        for buffer in (*targets(kernel), *(source for source, _ in reads(kernel))):
            if buffer.kind == "arena" and buffer not in unstored:
                first[buffer] = min(i, first.get(buffer, i))
                last[buffer] = max(i, last.get(buffer, i))
    return first, last


def _nbytes(buffer: Buffer) -> int:
    return -(-max(buffer.size * buffer.dtype.itemsize, 1) // _ALIGNMENT) * _ALIGNMENT


class _Gaps:
    """The free pieces of the arena, in order, and where it ends."""

    def __init__(self) -> None:
        self.free: list[tuple[int, int]] = []  # (start, stop)
        self.end = 0

    def take(self, nbytes: int) -> int:
        """The start of a piece of `nbytes`, from the first gap that is large enough, else from the end."""
        for i, (start, stop) in enumerate(self.free):
            if stop - start >= nbytes:
                self.free[i : i + 1] = [(start + nbytes, stop)] if stop - start > nbytes else []
                return start
        if self.free and self.free[-1][1] == self.end:  # the last gap grows
            start = self.free.pop()[0]
        else:
            start = self.end
        self.end = start + nbytes
        return start

    def give(self, start: int, nbytes: int) -> None:
        """A piece is free again; gaps that touch become one."""
        insort(self.free, (start, start + nbytes))
        i = self.free.index((start, start + nbytes))
        for k in (i, i - 1):
            if 0 <= k < len(self.free) - 1 and self.free[k][1] == self.free[k + 1][0]:
                self.free[k : k + 2] = [(self.free[k][0], self.free[k + 1][1])]
