"""One arena a compiled function: values whose lives do not overlap share memory."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.compiler.schedule import Buffer, Kernel, Product, Schedule
from chainrule.formula import Expr

__all__ = ["plan", "reads"]

_ALIGNMENT = 64  # a cache line, and the widest vector


def plan(found: Schedule) -> int:
    """Gives every arena buffer of the schedule its offset; returns the arena's size in bytes.

    First fit over the lives: from the first kernel that writes a buffer to the last that reads it.
    """
    first: dict[Buffer, int] = {}
    last: dict[Buffer, int] = {}
    for i, kernel in enumerate(found.kernels):
        for buffer in (kernel.target, *(source for source, _ in reads(kernel))):
            if buffer.kind == "arena":
                first.setdefault(buffer, i)
                last[buffer] = i
    placed: list[tuple[int, int, Buffer]] = []  # start, end in bytes
    for buffer in sorted(first, key=lambda b: first[b]):
        nbytes = -(-max(buffer.size * buffer.dtype.itemsize, 1) // _ALIGNMENT) * _ALIGNMENT
        taken = sorted((a, b) for a, b, other in placed if last[other] >= first[buffer])
        start = 0
        for a, b in taken:
            if a - start >= nbytes:
                break
            start = max(start, b)
        buffer.place = start
        placed.append((start, start + nbytes, buffer))
    return max((end for _, end, _ in placed), default=0)


def reads(kernel: Kernel | Product) -> Iterator[tuple[Buffer, object]]:
    """Every (buffer, offset) that a kernel reads, each expression once; offset None: all of it."""
    if isinstance(kernel, Product):
        yield kernel.a[0], None
        yield kernel.b[0], None
        return
    seen: set[int] = set()
    stack = [kernel.value, *(var.value for var, _ in kernel.place.terms if var.value)]
    while stack:
        expr: Expr = stack.pop()
        if id(expr) in seen:
            continue
        seen.add(id(expr))
        stack.extend(expr.args)
        if expr.op == "read":
            source, offset = expr.data
            yield source, offset
            stack.extend(var.value for var, _ in offset.terms if var.value is not None)
