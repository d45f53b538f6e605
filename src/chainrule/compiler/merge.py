"""Kernels that run over the same space become one: what one writes, the next reads from a register."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from chainrule.compiler.axes import is_scalar, vector_axis
from chainrule.compiler.kernels import Buffer, Kernel, Write, reads, targets

__all__ = ["merged", "without_unread"]

_MOST = 16  # writes of one kernel
_BACK = 16  # how many kernels back a partner is looked for
_LARGE = 2**14  # elements: starting another loop costs nothing beside running it


def merged(kernels: Sequence[Kernel]) -> list[Kernel]:
    """The same work in fewer loops.

    A kernel joins an earlier one of the same space if it reads that one's results only where they are written, and
    nothing that is written in between. A result that no other kernel reads is then never stored.
    """
    found: list[Kernel] = []
    for kernel in kernels:
        _add(found, kernel)
    return without_unread(found)


def _add(found: list[Kernel], kernel: Kernel) -> None:
    earliest = len(found)
    needed = {buffer for buffer, _ in reads(kernel)}
    for i in range(len(found) - 1, max(-1, len(found) - _BACK), -1):
        other = found[i]
        if _joins(other, kernel):
            found[i] = replace(other, writes=(*other.writes, *kernel.writes))
            return
        if needed & set(targets(other)) or _overwritten(kernel, other):
            break
        earliest = i
    single = is_scalar(kernel) and _is_plain(kernel)
    found.insert(earliest if single else len(found), kernel)


def _is_plain(kernel: Kernel) -> bool:
    """Whether it only writes whole new results, each element once."""
    return _is_simple(kernel) and all(write.target.kind in ("arena", "output") for write in kernel.writes)


def _is_simple(kernel: Kernel) -> bool:
    """Whether it writes each element once, in any order."""
    return kernel.ordered is None and not kernel.zeroes and not any(write.adds for write in kernel.writes)


def _writes_back(kernel: Kernel, other: Kernel) -> bool:
    """Whether it writes one row of an input, of which `other` reads no element but the one that is written."""
    if len(kernel.writes) > 1 or not _is_simple(kernel) or not _is_simple(other):
        return False
    (write,) = kernel.writes
    one = all(var.value is None or not var.value.needs for var, _ in write.place.terms)
    apart = all(place == write.place for buffer, place in reads(other) if buffer is write.target)
    return one and apart and write.target.kind == "input"


def _overwritten(kernel: Kernel, other: Kernel) -> bool:
    """Whether `kernel` writes what `other` reads or writes."""
    mine = set(targets(kernel))
    return bool(mine & {*targets(other), *(buffer for buffer, _ in reads(other))})


def _joins(other: Kernel, kernel: Kernel) -> bool:
    if other.space != kernel.space:
        return False
    if other.alone or kernel.alone:
        return False
    if not (_is_plain(other) and _is_plain(kernel)) and not _writes_back(kernel, other):
        return False
    if len(other.writes) >= _MOST:
        return False
    if vector_axis(other) is not vector_axis(kernel):
        return False
    if not _shares(other, kernel):
        return False
    places = {write.target: write.place for write in other.writes}
    return all(place == places.get(buffer, place) for buffer, place in reads(kernel))


def _shares(other: Kernel, kernel: Kernel) -> bool:
    """Whether two loops have something large in common; else both would only hold on to their memory together."""
    size = math.prod(var.size for var in kernel.space)
    if size < _LARGE:
        return True
    there = {*targets(other), *(buffer for buffer, _ in reads(other))}
    return any(buffer in there and buffer.size >= size for buffer, _ in reads(kernel))


def without_unread(kernels: Sequence[Kernel]) -> list[Kernel]:
    """Marks results that only their own kernel writes and reads: they stay in registers."""
    users: dict[Buffer, set[int]] = {}
    for i, kernel in enumerate(kernels):
        for buffer in (*targets(kernel), *(buffer for buffer, _ in reads(kernel))):
            users.setdefault(buffer, set()).add(i)
    return [_kept(kernel, users) for kernel in kernels]


def _kept(kernel: Kernel, users: dict[Buffer, set[int]]) -> Kernel:
    if kernel.ordered is not None or kernel.zeroes:
        return kernel

    def kept(write: Write) -> Write:
        alone = write.target.kind == "arena" and not write.adds and len(users[write.target]) == 1
        return replace(write, stored=not alone)

    return kernel.with_writes(kept)
