"""One arena a compiled function: values whose lives do not overlap share memory."""

from __future__ import annotations

from chainrule.compiler.schedule import Buffer, Kernel, Schedule, reads, targets

__all__ = ["plan"]

_ALIGNMENT = 64  # a cache line, and the widest vector


def plan(found: Schedule) -> int:
    """Gives every arena buffer of the schedule its offset; returns the arena's size in bytes.

    First fit over the lives: from the first kernel that writes a buffer to the last that reads it.
    """
    unstored = {w.target for k in found.kernels if isinstance(k, Kernel) for w in k.writes if not w.stored}
    first: dict[Buffer, int] = {}
    last: dict[Buffer, int] = {}
    for i, kernel in enumerate(found.kernels):
        for buffer in (*targets(kernel), *(source for source, _ in reads(kernel))):
            if buffer.kind == "arena" and buffer not in unstored:
                first.setdefault(buffer, i)
                last[buffer] = i
    alive: list[tuple[int, int, Buffer]] = []  # start, end in bytes
    size = 0
    for buffer in sorted(first, key=lambda b: first[b]):
        nbytes = -(-max(buffer.size * buffer.dtype.itemsize, 1) // _ALIGNMENT) * _ALIGNMENT
        alive = [(a, b, other) for a, b, other in alive if last[other] >= first[buffer]]
        taken = sorted((a, b) for a, b, _ in alive)
        start = 0
        for a, b in taken:
            if a - start >= nbytes:
                break
            start = max(start, b)
        buffer.place = start
        alive.append((start, start + nbytes, buffer))
        size = max(size, start + nbytes)
    return size
