"""Updates by nothing are left out: where a foretold condition does not hold, what it multiplies is 0.

A hinge's step is made for few rows in the end; at the others the next one need not wait for weights that do not change.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from chainrule.compiler.axes import is_scalar
from chainrule.compiler.carried import Loop, in_place
from chainrule.compiler.kernels import Buffer, Kernel, Schedule, Write, reads
from chainrule.compiler.rewriting import Rewriting
from chainrule.formula import Expr, const

__all__ = ["idle_apart"]


def idle_apart(found: Schedule, loop: Loop) -> list[Kernel]:
    """The kernels, with what changes nothing where a foretold condition does not hold apart, for where it does.

    That is what lies over what it is computed from, if it is that plus or minus a product with the condition as 0 or 1.
    """
    bits = {id(expr): expr for kernel in found.kernels for expr in kernel.expressions if expr.op == "foretold"}
    if len(bits) != 1:
        return found.kernels
    (bit,), over = bits.values(), in_place(found, loop)
    finite = {b for b in found.buffers if b.kind == "input" and b.place in loop.finite}
    idle = _Idle(found.kernels, bit, over, finite).writes
    changed = {write.target: over[write.target] for write in idle if write.target in over}
    read = {buffer for buffer, _ in reads(Kernel((), (), only=bit.args[0]))}
    if not changed or not read.isdisjoint(changed.values()):  # where it stands the condition is to be the same
        return found.kernels
    kernels = list(_stored(_joined([part for kernel in found.kernels for part in _parts(kernel, idle, bit)])))
    after = in_place(replace(found, kernels=kernels), loop)
    return kernels if changed.items() <= after.items() else found.kernels  # cut apart some may no longer lie there


class _Idle:
    """Which writes change nothing where `bit` is 0.

    Attributes:
        writes: updates of what is carried, and what only they read.

    Args:
        over: results that lie over what they are computed from.
        finite: what holds no NaN and no infinity, of which 0 times would not be 0.
    """

    def __init__(self, kernels: Sequence[Kernel], bit: Expr, over: Mapping[Buffer, Buffer], finite: Collection[Buffer]):
        self.bit, self.over, self.finite = bit, over, {*finite}
        self.zero: set[Buffer] = set()
        writes = [(kernel, write) for kernel in kernels for write in kernel.written]
        needed: set[Buffer] = set()  # what others read is written always
        while True:
            self.zero.clear()
            self.writes = {w for kernel, w in writes if is_scalar(kernel) and not w.adds and self._is_idle(w, needed)}
            others = [replace(kernel, writes=(w,), beside=()) for kernel, w in writes if w not in self.writes]
            found = {buffer for other in others for buffer, _ in reads(other)} & self.zero
            if not found:
                return
            needed |= found

    def _is_idle(self, write: Write, needed: Collection[Buffer]) -> bool:
        if write.target in self.over:
            return self._is_update(write)
        if write.target.kind != "arena" or write.target.size > 1 or write.target in needed:
            return False
        if self._is_zero(write.value):
            self.zero.add(write.target)
        elif self._is_finite(write.value):
            self.finite.add(write.target)
        return write.target in self.zero

    def _is_update(self, write: Write) -> bool:
        """Whether it is what is there, plus or minus 0."""
        if write.value.op not in ("add", "subtract"):
            return False
        before, change = write.value.args
        there = self.over[write.target], write.place
        if write.value.op == "add" and before.data != there:
            before, change = change, before
        return before.op == "read" and before.data == there and self._is_zero(change)

    def _is_zero(self, expr: Expr) -> bool:
        if expr is self.bit:
            return True
        if expr.op == "read":
            return expr.data[0] in self.zero
        if expr.op == "multiply":
            a, b = expr.args
            return (self._is_zero(a) and self._is_finite(b)) or (self._is_zero(b) and self._is_finite(a))
        return expr.op in ("negative", "add", "subtract") and all(map(self._is_zero, expr.args))

    def _is_finite(self, expr: Expr) -> bool:
        """Of products only those by a constant that makes nothing larger."""
        if expr.op == "multiply":
            a, b = sorted(expr.args, key=lambda arg: arg.op != "const")
            return a.op == "const" and abs(a.data) <= 1 and self._is_finite(b)
        if expr.op == "cast":
            return expr.args[0].dtype.kind in "iub"
        if expr.op == "read":
            return expr.data[0] in self.finite
        if expr.op == "const":
            return math.isfinite(expr.data)
        return expr.op == "negative" and self._is_finite(expr.args[0])


def _parts(kernel: Kernel, idle: Collection[Write], bit: Expr) -> list[Kernel]:
    """A kernel cut between writes that are idle and others; in the former the condition holds."""
    found: list[Kernel] = []
    for write in kernel.writes:
        only = bit.args[0] if write in idle else None
        if found and found[-1].only is only:
            found[-1] = replace(found[-1], writes=(*found[-1].writes, write))
        else:
            found.append(replace(kernel, writes=(write,), only=only))
    holds = [(bit, const(1, bit.dtype)), *((x, _other(x, bit)) for x in kernel.expressions if _is_times(x, bit))]
    rewriting = Rewriting(holds)
    return [part if part.only is None else rewriting.kernel(part) for part in found]


def _is_times(expr: Expr, bit: Expr) -> bool:
    return expr.op == "multiply" and any(arg is bit for arg in expr.args)


def _other(product: Expr, bit: Expr) -> Expr:
    a, b = product.args
    return b if a is bit else a


def _joined(kernels: Sequence[Kernel]) -> list[Kernel]:
    """Neighbors for one condition as one kernel."""
    found: list[Kernel] = []
    for kernel in kernels:
        if found and kernel.only is not None and found[-1].only is kernel.only:
            found[-1] = replace(found[-1], writes=(*found[-1].writes, *kernel.writes))
        else:
            found.append(kernel)
    return found


def _stored(kernels: Sequence[Kernel]) -> Iterator[Kernel]:
    """What another kernel reads is stored, if a kernel that kept it to itself was cut."""
    read = [{buffer for buffer, _ in reads(kernel)} for kernel in kernels]
    for k, kernel in enumerate(kernels):
        others = set[Buffer]().union(*read[:k], *read[k + 1 :])
        writes = [w if w.stored else replace(w, stored=w.target in others) for w in kernel.writes]
        yield replace(kernel, writes=tuple(writes))
