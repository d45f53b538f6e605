"""Updates by nothing are left out: where a condition does not hold, what it multiplies is 0.

A hinge's step is made for few rows in the end; at the others the next one need not wait for weights that do not change.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from chainrule.compiler.axes import is_scalar
from chainrule.compiler.carried import Loop, in_place
from chainrule.compiler.kernels import Buffer, Kernel, Schedule, Write, reads
from chainrule.compiler.rewriting import Rewriting
from chainrule.formula import Expr, const

__all__ = ["idle_apart"]

_MOST = 16  # conditions that are tried
_ZERO_OF_ZEROS = frozenset((
    "negative", "absolute", "add", "subtract", "maximum", "minimum", "cast", "not_equal", "greater", "less",
))  # fmt: skip


def idle_apart(found: Schedule, loop: Loop) -> list[Kernel]:
    """The kernels, with what changes nothing where a condition does not hold apart, for where it does.

    An update is such if it lies over what it is computed from, and is old + c * ... or old - c * ...; c is the
    condition as a number, 0 or 1.
    """
    bits = {id(expr): expr for kernel in found.kernels for expr in kernel.expressions if _is_bit(expr)}
    foretold = [bit for bit in bits.values() if bit.op == "foretold"]
    for bit in (foretold or list(bits.values()))[:_MOST]:
        kernels = _apart(found, loop, bit)
        if kernels is not None:
            return kernels
    return found.kernels


def _is_bit(expr: Expr) -> bool:
    """Whether it is one condition as a number, not one for each element or for each term of a sum."""
    cast = expr.op == "cast" and expr.dtype.kind == "f" and expr.args[0].dtype.kind == "b"
    return (cast or expr.op == "foretold") and not expr.needs


def _apart(found: Schedule, loop: Loop, bit: Expr) -> list[Kernel] | None:
    """The kernels for one condition; None where nothing hangs on it alone, or it would not be the same later on."""
    over = in_place(found, loop)
    idle = _Idle(found, loop, bit, over)
    changed = {over.get(write.target, write.target) for write in idle.updates}
    if not changed or not idle.asked.isdisjoint(changed):
        return None
    kernels = list(_stored(_joined([part for kernel in found.kernels for part in _parts(kernel, idle, bit)])))
    after = in_place(replace(found, kernels=kernels), loop)
    lies = all(write.target not in over or write.target in after for write in idle.updates)
    return kernels if lies else None  # cut apart some may no longer lie there


class _Idle:
    """Which writes are for nothing where `bit` is 0.

    Attributes:
        updates: those of what is carried, and of rows that move, by nothing.
        zeros: totals to which 0 is added.
        writes: these, and all that only they read.
        asked: what the condition reads.

    Args:
        over: results that lie over what they are computed from.
    """

    def __init__(self, found: Schedule, loop: Loop, bit: Expr, over: Mapping[Buffer, Buffer]):
        self.bit, self.over = bit, over
        self.asked = {buffer for buffer, _ in reads(Kernel((), (), only=bit))}
        self.zero: set[Buffer] = set()
        self.finite = {b for b in found.buffers if b.kind == "input" and b.place in loop.finite}
        self.finite |= {b for b in found.buffers if b.kind == "held" and loop.held_finite}
        self.to: dict[Buffer, list[Write]] = {}
        self._zero_known: dict[int, bool] = {}
        self._finite_known: dict[int, bool] = {}
        for kernel in found.kernels:  # in order, so that of what is read it is known what was written
            for write in kernel.written:
                self._see(write)
        free = {write for kernel in found.kernels if _may_be_left(kernel) for write in kernel.writes if not write.adds}
        summed = {b for b in found.buffers if b.kind == "output" and b.place in loop.summed}
        self.updates = {write for write in free if self._is_update(write)}
        self.zeros = {write for write in free if write.target in summed and self._is_zero(write.value)}
        self.writes = self.updates | self.zeros | {write for write in free if write.target.kind == "arena"}
        if self.updates:
            self._leave_needed(found.kernels)

    def _see(self, write: Write) -> None:
        """A buffer of the step's own is zero, or finite, if all that is written to it is."""
        before = self.to.setdefault(write.target, [])
        for known, holds in ((self.zero, self._is_zero), (self.finite, self._is_finite)):
            if write.target.kind != "arena":
                continue
            if write.adds or not holds(write.value):
                known.discard(write.target)
            elif not before:
                known.add(write.target)
        before.append(write)

    def _leave_needed(self, kernels: Sequence[Kernel]) -> None:
        """What the condition and others read is written always; what they read is known from the last one on."""
        needed = set(self.asked)
        for kernel in reversed(kernels):
            for write in reversed(kernel.written):
                if write.target.kind == "arena" and write.target in needed:
                    self.writes.discard(write)
                if write not in self.writes:
                    needed |= {buffer for buffer, _ in reads(replace(kernel, writes=(write,), beside=()))}

    def _is_update(self, write: Write) -> bool:
        """Whether it is what is there, plus or minus 0."""
        value, there = self._seen(write.value), (self.over.get(write.target, write.target), write.place)
        if there[0].kind != "input" or value.op not in ("add", "subtract"):
            return False
        before, change = value.args
        if value.op == "add" and before.data != there:
            before, change = change, before
        return before.op == "read" and before.data == there and self._is_zero(change)

    def _seen(self, expr: Expr) -> Expr:
        """What a read gives, if that is written once, at the same place."""
        writes = self.to.get(expr.data[0], []) if expr.op == "read" else []
        if len(writes) == 1 and writes[0].target.kind == "arena" and writes[0].place == expr.place:
            return writes[0].value
        return expr

    def _is_zero(self, expr: Expr) -> bool:
        if id(expr) not in self._zero_known:
            self._zero_known[id(expr)] = self._makes_zero(expr)
        return self._zero_known[id(expr)]

    def _makes_zero(self, expr: Expr) -> bool:
        if expr is self.bit:
            return True
        if expr.op == "read":
            return expr.data[0] in self.zero
        if expr.op == "const":
            return not expr.data
        if expr.op == "multiply":
            a, b = expr.args
            return (self._is_zero(a) and self._is_finite(b)) or (self._is_zero(b) and self._is_finite(a))
        combined = expr.op == "reduce" and expr.data[0] in ("sum", "max")
        return (combined or expr.op in _ZERO_OF_ZEROS) and all(map(self._is_zero, expr.args))

    def _is_finite(self, expr: Expr) -> bool:
        if id(expr) not in self._finite_known:
            self._finite_known[id(expr)] = self._stays_finite(expr)
        return self._finite_known[id(expr)]

    def _stays_finite(self, expr: Expr) -> bool:
        """Of products only those by a constant that makes nothing larger."""
        if expr.op == "multiply":
            a, b = sorted(expr.args, key=lambda arg: arg.op != "const")
            return a.op == "const" and abs(a.data) <= 1 and self._is_finite(b)
        if expr.op == "cast":
            (arg,) = expr.args
            wider = arg.dtype.itemsize <= expr.dtype.itemsize and self._is_finite(arg)
            return arg.dtype.kind in "iub" or wider
        if expr.op == "read":
            return expr.data[0] in self.finite
        if expr.op == "const":
            return math.isfinite(expr.data)
        return expr.op == "foretold" or (expr.op == "negative" and self._is_finite(expr.args[0]))


def _may_be_left(kernel: Kernel) -> bool:
    """Whether it is one loop nest, of which a part can be left out."""
    return not (kernel.alone or kernel.zeroes or kernel.beside or kernel.tiles or kernel.ordered)


def _parts(kernel: Kernel, idle: _Idle, bit: Expr) -> list[Kernel]:
    """A kernel cut between writes that are idle and others; in the former the condition holds."""
    found: list[Kernel] = []
    for write in kernel.writes:
        only = bit if write in idle.writes else None
        made = replace(write, else_zero=write in idle.zeros)
        if found and found[-1].only is only:
            found[-1] = replace(found[-1], writes=(*found[-1].writes, made))
        else:
            found.append(replace(kernel, writes=(made,), only=only))
    holds = [(bit, const(1, bit.dtype)), *((x, _other(x, bit)) for x in kernel.expressions if _is_times(x, bit))]
    rewriting = Rewriting(holds)
    return [part if part.only is None else part.with_writes(rewriting.write) for part in found]


def _is_times(expr: Expr, bit: Expr) -> bool:
    return expr.op == "multiply" and any(arg is bit for arg in expr.args)


def _other(product: Expr, bit: Expr) -> Expr:
    a, b = product.args
    return b if a is bit else a


def _joined(kernels: Sequence[Kernel]) -> list[Kernel]:
    """Neighbors of one element for one condition as one kernel."""
    found: list[Kernel] = []
    for kernel in kernels:
        alike = found and found[-1].only is kernel.only and is_scalar(found[-1]) and is_scalar(kernel)
        if alike and kernel.only is not None:
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
