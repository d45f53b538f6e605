"""A schedule as one LLVM function, run once or as a loop over steps."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from chainrule.compiler import memory
from chainrule.compiler.axes import all_of
from chainrule.compiler.kernels import Buffer, Kernel, Product, Schedule, reads, targets
from chainrule.compiler.loops import write_kernel
from chainrule.compiler.scalars import emit, literal, type_of
from chainrule.compiler.sharing import is_shared, meet
from chainrule.compiler.text import PRECISE, Text, Value

__all__ = ["ENTRY", "Assembled", "Loop", "assemble", "carried_buffers"]

ENTRY = "run"
_THREADS = ", i64 %tid, i64 %threads, ptr %meeting"
_LONGEST = 800  # expressions in one LLVM function
_NEAR = 512  # bytes of a value that a loop keeps on the stack: LLVM then keeps what it can in registers
_NEAR_ALL = 4096  # bytes of all of them


@dataclass(frozen=True)
class Loop:
    """How a step is repeated.

    Attributes:
        carried: pairs of an output and the input that it becomes in the next step.
        streamed_in: inputs of which step k reads the k-th piece of a longer array.
        streamed_out: outputs of which step k writes the k-th piece.
        summed: outputs, one number each, that are added up over all steps.
    """

    carried: tuple[tuple[int, int], ...] = ()
    streamed_in: frozenset[int] = frozenset()
    streamed_out: frozenset[int] = frozenset()
    summed: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Assembled:
    """The IR of a function.

    Attributes:
        arenas: the bytes of arena that each schedule needs.
        in_place: the results that are written over the inputs that they become.
        shared: whether threads share its work.
    """

    ir: str
    arenas: list[int]
    in_place: frozenset[Buffer]
    shared: bool


def assemble(step: Schedule, loop: Loop | None = None, record: Schedule | None = None) -> Assembled:
    """The IR of `i64 run(ptr table, i64 periods, i64 steps)`.

    For every period: `record` once (it streams its outputs), then `step` `steps` times. Without a `loop`, `step` once.
    `table` holds one pointer for every input, held leaf and output of `step`, in the order of its buffers, then its
    arena's; then the same of `record`. The result is 0, or 1 when an index was out of range. Where threads share the
    work it also takes `i64 tid, i64 threads, ptr meeting`, and each thread calls it.
    """
    text = Text()
    shared = any(is_shared(kernel) for part in (step, record) if part is not None for kernel in part.kernels)
    text.do("%flags = alloca i64")
    text.do("store i64 0, ptr %flags")
    body = _Part(text, step, loop or Loop(), 0, shared)
    parts = [body]
    if record is not None:
        every = frozenset(range(sum(b.kind == "output" for b in record.buffers)))
        parts.append(_Part(text, record, Loop(streamed_out=every), body.entries, shared))
    if loop is None:
        body.once("0")
    else:
        text.loop(0, "%periods", 1, [], lambda period, _: _period(text, parts, period))
        body.finish()
    text.do(f"ret i64 {text.let('load i64, ptr %flags')}")
    lines = "\n".join([*text.on_entry(), *text.lines])
    declared = "\n".join([*sorted(text.declared), *text.functions.values()])
    arguments = "ptr noalias %table, i64 %periods, i64 %steps" + (_THREADS if shared else "")
    ir = f"{declared}\n\ndefine i64 @{ENTRY}({arguments}) {PRECISE} {{\nentry:\n{lines}\n}}\n"
    return Assembled(ir, [part.arena for part in parts], frozenset(body.aliased), shared)


def _period(text: Text, parts: Sequence[_Part], period: Value) -> list[Value]:
    """One turn of the outer loop: the record, then the steps."""
    for part in parts[1:]:
        part.once(period)
    start = text.let(f"mul nsw i64 {period}, %steps")
    stop = text.let(f"add nsw i64 {start}, %steps")

    def turn(i: Value, _: list[Value]) -> list[Value]:
        parts[0].once(i)
        return []

    def steps() -> None:
        parts[0].fetch()
        text.loop(start, stop, 1, [], turn)
        parts[0].put_back()

    text.when(text.let("icmp sgt i64 %steps, 0"), steps)
    return []


class _Part:
    """The code of one schedule, with its pointers from `first` on in the table."""

    def __init__(self, text: Text, found: Schedule, loop: Loop, first: int, shared: bool):
        self.text, self.found, self.loop, self.first, self.shared = text, found, loop, first, shared
        self.aliased = _in_place(found, loop)
        self.arena = memory.plan(found)
        self.outside = [b for b in found.buffers if b.kind != "arena"]
        self.entries = len(self.outside) + 1
        self.pieces = list(_pieces(found.kernels))
        few = len(self.pieces) <= 1
        self.fixed = self._addresses(text, dict.fromkeys(found.buffers)) if few else None
        self.near: dict[Buffer, Value] = {}
        if self.fixed is not None and not shared:
            near = _near(found, loop)
            self.near = {buffer: text.room(_nbytes(buffer)) for buffer in near if buffer not in self.aliased}
            self.near |= {b: self.near[other] for b, other in self.aliased.items() if other in self.near}
        summed = [b for b in found.buffers if b.kind == "output" and b.place in loop.summed]
        self.totals = {buffer: text.room(_nbytes(buffer)) for buffer in summed}
        for buffer, total in self.totals.items():
            text.do(f"store {type_of(buffer.dtype)} {literal(0, buffer.dtype)}, ptr {total}")

    def once(self, index: Value) -> None:
        """All kernels, for the turn `index`: here if they are few, else in functions of bounded length.

        LLVM's time grows faster than the length of a function.
        """
        if self.fixed is not None:
            self._write(self.text, self.found.kernels, index)
        else:
            for i, piece in enumerate(self.pieces):
                name = f"{ENTRY}_{self.first}_{i}"
                body = self.text.beside()
                self._write(body, piece, "%index")
                lines = "\n".join([*body.on_entry(), *body.lines])
                more = _THREADS if self.shared else ""
                head = f"define internal void @{name}(ptr %table, ptr %flags, i64 %index{more}) noinline {PRECISE}"
                self.text.functions[name] = f"{head} {{\nentry:\n{lines}\n  ret void\n}}"
                self.text.do(f"call void @{name}(ptr %table, ptr %flags, i64 {index}{more})")
        moved = [pair for pair in carried_buffers(self.found, self.loop) if pair[0] not in self.aliased]
        if moved:
            self._alone(self.text, lambda: self._copy(moved, index))
        if self.totals:
            self._alone(self.text, lambda: self._add_up(index))

    def _add_up(self, index: Value) -> None:
        """The results of this step, added to those of the steps before."""
        for buffer, total in self.totals.items():
            here, t = self._pointers(self.text, {buffer: None}, index)[buffer], type_of(buffer.dtype)
            both = [self.text.let(f"load {t}, ptr {place}") for place in (total, here)]
            added = emit(self.text, "add", both, [buffer.dtype] * 2, buffer.dtype, 1)
            self.text.do(f"store {t} {added}, ptr {total}")

    def finish(self) -> None:
        """After the last step: what was added up, to where it is asked for."""
        for buffer, total in self.totals.items():
            there = (self.fixed or self._addresses(self.text, {buffer: None}))[buffer]
            self._alone(self.text, functools.partial(_memcpy, self.text, there, total, _nbytes(buffer)))

    def fetch(self) -> None:
        """Carried values that are near while steps are made: from where they lie."""
        self._transfer(lambda here, there: (here, there))

    def put_back(self) -> None:
        """The same, to where they lie: a record, and the caller, find them there."""
        self._transfer(lambda here, there: (there, here))

    def _transfer(self, direction: Callable[[Value, Value], tuple[Value, Value]]) -> None:
        for _, source in carried_buffers(self.found, self.loop):
            if source in self.near:
                assert self.fixed is not None
                _memcpy(self.text, *direction(self.near[source], self.fixed[source]), _nbytes(source))

    def _write(self, text: Text, kernels: Sequence[Kernel | Product], index: Value) -> None:
        used = [buffer for kernel in kernels for buffer in (*targets(kernel), *(b for b, _ in reads(kernel)))]
        here = self._pointers(text, dict.fromkeys(used), index)
        for together, run in itertools.groupby(kernels, is_shared):
            if together:
                for kernel in run:
                    write_kernel(text, kernel, here, shared=True)
                    meet(text)
            else:
                self._alone(text, functools.partial(_write_all, text, list(run), here))

    def _alone(self, text: Text, body: Callable[[], object]) -> None:
        """What the first thread does while the others wait."""
        if self.shared:
            text.when(text.let("icmp eq i64 %tid, 0"), body)
            meet(text)
        else:
            body()

    def _copy(self, pairs: Sequence[tuple[Buffer, Buffer]], index: Value) -> None:
        """Carried results that have a place of their own, to the inputs that they become."""
        for out, source in pairs:
            here = self._pointers(self.text, dict.fromkeys((out, source)), index)
            _memcpy(self.text, here[source], here[out], _nbytes(out))

    def _pointers(self, text: Text, used: Mapping[Buffer, None], index: Value) -> dict[Buffer, Value]:
        """The addresses of `used` in the turn `index`."""
        pointers = self.fixed if self.fixed is not None and text is self.text else self._addresses(text, used)
        return pointers | _moved(text, used, self.loop, pointers, index) | self.near

    def _addresses(self, text: Text, used: Mapping[Buffer, None]) -> dict[Buffer, Value]:
        """Where `used` begin; always written in the same order."""

        def entry(i: int) -> Value:
            return text.let(f"load ptr, ptr {text.let(f'getelementptr ptr, ptr %table, i64 {self.first + i}')}")

        wanted = {*used, *(self.aliased[b] for b in used if b in self.aliased)}
        pointers = {buffer: entry(i) for i, buffer in enumerate(self.outside) if buffer in wanted}
        arena = entry(len(self.outside))
        for buffer in used:
            if buffer.kind == "arena" and buffer.place >= 0:  # else it is never stored
                pointers[buffer] = text.let(f"getelementptr inbounds i8, ptr {arena}, i64 {buffer.place}")
        return pointers | {buffer: pointers[other] for buffer, other in self.aliased.items() if buffer in used}


def _near(found: Schedule, loop: Loop) -> list[Buffer]:
    """What a loop's steps hand to one another, and to themselves, in places of the stack: small values."""
    carried = {buffer for pair in carried_buffers(found, loop) for buffer in pair}
    carried |= {b for b in found.buffers if b.kind == "output" and b.place in loop.summed}
    chosen: list[Buffer] = []
    left = _NEAR_ALL
    for buffer in found.buffers if loop.carried or loop.summed else ():
        inside = buffer in carried or (buffer.kind == "arena" and buffer.place >= 0)
        if inside and _nbytes(buffer) <= min(_NEAR, left):
            chosen.append(buffer)
            left -= _nbytes(buffer)
    return chosen


def _nbytes(buffer: Buffer) -> int:
    return buffer.size * buffer.dtype.itemsize


def _memcpy(text: Text, to: Value, source: Value, nbytes: int) -> None:
    text.declared.add("declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)")
    text.do(f"call void @llvm.memcpy.p0.p0.i64(ptr {to}, ptr {source}, i64 {nbytes}, i1 false)")


def _write_all(text: Text, kernels: Sequence[Kernel | Product], pointers: dict[Buffer, Value]) -> None:
    for kernel in kernels:
        write_kernel(text, kernel, pointers)


def _pieces(kernels: Sequence[Kernel | Product]) -> Iterator[list[Kernel | Product]]:
    """Runs of kernels of about equal length."""
    piece: list[Kernel | Product] = []
    length = 0
    for kernel in kernels:
        length += 1 if isinstance(kernel, Product) else sum(1 for w in kernel.writes for _ in all_of(w.value))
        piece.append(kernel)
        if length > _LONGEST:
            yield piece
            piece, length = [], 0
    if piece:
        yield piece


def carried_buffers(found: Schedule, loop: Loop | None) -> list[tuple[Buffer, Buffer]]:
    """The results of a step that become inputs of the next, and those inputs."""
    pairs = loop.carried if loop is not None else ()
    return [(_numbered(found, "output", o), _numbered(found, "input", i)) for o, i in pairs]


def _numbered(found: Schedule, kind: str, place: int) -> Buffer:
    return next(b for b in found.buffers if b.kind == kind and b.place == place)


def _moved(
    text: Text, used: Iterable[Buffer], loop: Loop, pointers: Mapping[Buffer, Value], index: Value
) -> dict[Buffer, Value]:
    """The addresses that move from step to step."""
    here: dict[Buffer, Value] = {}
    for buffer in used:
        places = {"input": loop.streamed_in, "output": loop.streamed_out}.get(buffer.kind, frozenset())
        if buffer.place in places:
            offset = text.let(f"mul nsw i64 {index}, {buffer.size * buffer.dtype.itemsize}")
            here[buffer] = text.let(f"getelementptr i8, ptr {pointers[buffer]}, i64 {offset}")
    return here


def _in_place(found: Schedule, loop: Loop) -> dict[Buffer, Buffer]:
    """Carried outputs that can be written straight over the input they become.

    That is so when the kernel that writes it reads the input only where it writes, and no later kernel reads it.
    """
    aliased: dict[Buffer, Buffer] = {}
    last = {b: k for k, kernel in enumerate(found.kernels) for b, _ in reads(kernel)}
    for out, source in carried_buffers(found, loop):
        at = next(k for k, kernel in enumerate(found.kernels) if out in targets(kernel))
        writer = found.kernels[at]
        if isinstance(writer, Product) or writer.zeroes or any(out in targets(k) for k in found.kernels[at + 1 :]):
            continue
        mine = next(k for k, write in enumerate(writer.writes) if write.target is out)
        place, after = writer.writes[mine].place, replace(writer, writes=writer.writes[mine + 1 :])
        if any(b is source for b, _ in reads(after)):
            continue
        same_place = all(offset == place for b, offset in reads(writer) if b is source)
        if same_place and last.get(source, -1) <= at:
            aliased[out] = source
    return aliased
