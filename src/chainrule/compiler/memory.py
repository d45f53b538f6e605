"""One arena a compiled function: values whose lives do not overlap share memory."""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence

from chainrule.aligned import ALIGNMENT
from chainrule.compiler.kernels import Buffer, Kernel, Schedule, Used, reads, targets

__all__ = ["after_readers", "freeing_early", "plan"]

_MOST_SORTED = 500  # buffers that are placed by size: that takes time with their square


def plan(found: Schedule, times: Sequence[int] | None = None) -> int:
    """Gives every arena buffer of the schedule its offset; returns the arena's size in bytes.

    A buffer lives from the first kernel that writes it to the last that reads it, both included. Of two plans the
    smaller is taken: first fit in the order of the kernels, and, where there are not too many buffers, the largest
    first, each at the lowest place that is free while it lives (Pisarchyk and Lee, 2020). `times` says when each kernel
    runs where that is not one after another: those of equal times run in any order.
    """
    times = range(len(found.kernels)) if times is None else times
    first, last = _lives(found, times)
    plans = [_in_order(first, last, max(times, default=-1) + 1)]
    if len(first) <= _MOST_SORTED:
        plans.append(_by_size(first, last))
    end, places = min(plans, key=lambda plan: plan[0])
    for buffer, place in places.items():
        buffer.place = place
    return end


def _in_order(first: dict[Buffer, int], last: dict[Buffer, int], moments: int) -> tuple[int, dict[Buffer, int]]:
    """Where the arena ends, and every buffer's place."""
    begins: list[list[Buffer]] = [[] for _ in range(moments)]
    ends: list[list[Buffer]] = [[] for _ in range(moments)]
    for buffer, i in first.items():
        begins[i].append(buffer)
        ends[last[buffer]].append(buffer)
    gaps, places = _Gaps(), dict[Buffer, int]()
    for beginning, ending in zip(begins, ends, strict=True):
        for buffer in beginning:
            places[buffer] = gaps.take(_nbytes(buffer))
        for buffer in ending:
            gaps.give(places[buffer], _nbytes(buffer))
    return gaps.end, places


def _by_size(first: dict[Buffer, int], last: dict[Buffer, int]) -> tuple[int, dict[Buffer, int]]:
    """Where the arena ends, and every buffer's place."""
    places: dict[Buffer, int] = {}
    taken: list[tuple[int, int, int, int]] = []  # (start, stop, first, last) by start
    for buffer in sorted(first, key=_nbytes, reverse=True):
        size, begins, ends, at = _nbytes(buffer), first[buffer], last[buffer], 0
        for start, stop, since, until in taken:
            if since <= ends and begins <= until:
                if start - at >= size:
                    break
                at = max(at, stop)
        places[buffer] = at
        insort(taken, (at, at + size, begins, ends))
    return max((stop for _, stop, _, _ in taken), default=0), places


def after_readers(kernels: Sequence[Kernel], carried: Sequence[tuple[Buffer, Buffer]]) -> list[Kernel]:
    """The kernels with those that write a `carried` result behind all that read the input that it becomes.

    The result can then be written over the input, and need not be copied there. Kernels that depend on it move with it;
    nothing moves if one of those reads the input.
    """
    over = dict(carried)
    order = [Used(kernel, over) for kernel in kernels]
    for out, source in carried:
        at = max((i for i, used in enumerate(order) if out in used.written), default=-1)
        last = max((i for i, used in enumerate(order) if source in used.read), default=-1)
        if not 0 <= at < last:
            continue
        moved, left = [order[at]], list[Used]()
        for used in order[at + 1 : last + 1]:
            (moved if any(used.follows(other) for other in moved) else left).append(used)
        if not any(source in used.read for used in moved[1:]):
            order[at : last + 1] = [*left, *moved]
    return [used.kernel for used in order]


def freeing_early(kernels: Sequence[Kernel], carried: Sequence[tuple[Buffer, Buffer]] = ()) -> list[Kernel]:
    """The kernels in an order in which they can run, those that give back more of the arena than they take earlier.

    Such a kernel (the update that a gradient is made for) comes right after the last one that it depends on, so that
    the next gradient has the memory of this one. A result that is `carried` to an input may be written over it, and
    comes after all that read it.
    """
    found = Schedule(list(kernels))
    first, last = _lives(found, range(len(kernels)))
    gains = [0] * len(kernels)
    for buffer in first:
        gains[last[buffer]] += _nbytes(buffer)
        gains[first[buffer]] -= _nbytes(buffer)
    over = dict(carried)
    written: dict[Buffer, int] = {}  # when it was written last, and when it was used last
    used: dict[Buffer, int] = {}
    when: list[int] = []
    for i, kernel in enumerate(kernels):
        out = {*targets(kernel), *(over[b] for b in targets(kernel) if b in over)}
        read = {b for b, _ in reads(kernel)}
        after = max((*(written.get(b, -1) for b in read), *(used.get(b, -1) for b in out)), default=-1)
        when.append(after if gains[i] > 0 else i)
        for b in out | read:
            used[b] = max(used.get(b, -1), when[i])
        for b in out:
            written[b] = max(written.get(b, -1), when[i])
    return [kernels[i] for i in sorted(range(len(kernels)), key=lambda i: (when[i], i))]


def _lives(found: Schedule, times: Sequence[int]) -> tuple[dict[Buffer, int], dict[Buffer, int]]:
    """The first and the last kernel that uses each buffer of the arena."""
    unstored = {w.target for k in found.kernels for w in k.writes if not w.stored}
    first: dict[Buffer, int] = {}
    last: dict[Buffer, int] = {}
    for i, kernel in zip(times, found.kernels, strict=True):
        for buffer in (*targets(kernel), *(source for source, _ in reads(kernel))):
            if buffer.kind == "arena" and buffer not in unstored:
                first[buffer] = min(i, first.get(buffer, i))
                last[buffer] = max(i, last.get(buffer, i))
    return first, last


def _nbytes(buffer: Buffer) -> int:
    return -(-max(buffer.nbytes, 1) // ALIGNMENT) * ALIGNMENT


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
