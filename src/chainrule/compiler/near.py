"""Which values a loop keeps on the stack: small ones, of which LLVM then keeps in registers what it can."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from chainrule.compiler.carried import Loop, carried_buffers
from chainrule.compiler.kernels import Buffer, Schedule, reads, targets

__all__ = ["near_values", "only_read"]

_MOST = 512  # bytes of a value
_MOST_OF_ALL = 4096  # bytes


def near_values(buffers: Sequence[Buffer], own: Collection[Buffer], found: Schedule, loop: Loop) -> list[Buffer]:
    """Small values in places of the stack: what a loop's steps hand to one another, and to themselves, or only read.

    `own` are those that the loop has anyway.
    """
    used = {buffer for pair in carried_buffers(found, loop) for buffer in pair} | only_read(found, loop)
    used |= {b for b in found.buffers if b.kind == "output" and b.place in loop.summed}
    chosen: list[Buffer] = []
    left = _MOST_OF_ALL
    for buffer in buffers if loop.carried or loop.summed else ():
        inside = buffer in used or buffer in own or (buffer.kind == "arena" and buffer.place >= 0)
        if inside and buffer.nbytes <= min(_MOST, left):
            chosen.append(buffer)
            left -= buffer.nbytes
    return chosen


def only_read(found: Schedule, loop: Loop) -> set[Buffer]:
    """What all steps only read, at known places: not rows by their numbers."""
    changed = loop.streamed_in | {place for _, place in loop.carried}
    read = [each for kernel in found.kernels for each in reads(kernel)]
    by_number = {b for b, place in read if any(var.value is not None for var, _ in place.terms)}
    given = {b for b, _ in read if b.kind == "held" or (b.kind == "input" and b.place not in changed)}
    return given - by_number - {b for kernel in found.kernels for b in targets(kernel)}
