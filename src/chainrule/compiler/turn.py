"""The code of one schedule: one turn of a loop of steps, or of the records in between."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from chainrule.aligned import ALIGNMENT
from chainrule.compiler import meeting, memory
from chainrule.compiler.carried import Loop, carried_buffers, in_place
from chainrule.compiler.gaps import copy_in, copy_out
from chainrule.compiler.guesses import Guesses, may_wait
from chainrule.compiler.kernels import Buffer, Kernel, Schedule, reads, targets
from chainrule.compiler.loops import write_kernel, write_kernels
from chainrule.compiler.near import near_values, only_read
from chainrule.compiler.padding import Padded, padded
from chainrule.compiler.panels import write_tiled
from chainrule.compiler.repeats import write_call
from chainrule.compiler.scalars import emit, type_of
from chainrule.compiler.sharing import Group, Phase, phases, times, work
from chainrule.compiler.stretches import stretches
from chainrule.compiler.text import Text, Value

__all__ = ["Turn"]


class Turn:
    """The code of one schedule, with its pointers from `first` on in the table."""

    def __init__(self, text: Text, found: Schedule, loop: Loop, first: int):
        self.text, self.found, self.loop, self.first = text, found, loop, first
        self.aliased = in_place(found, loop)
        made = phases(found.kernels, self.aliased)
        self.work = work(made)
        self.stretches = list(stretches(made))
        self.padded: list[Padded] = []
        if loop.carried and not self.work and len(self.stretches) <= 1:
            kernels, self.padded = padded(_kernels(made), self.aliased)
            self.found = found = replace(found, kernels=kernels)
            made = [(Group(tuple(kernels)),)]
            self.stretches = [made]
        self.arena = memory.plan(found, times(made, found.kernels))
        self.outside = [b for b in found.buffers if b.kind != "arena"]
        self.entries = len(self.outside) + 1
        self.used: set[int] = set()  # those of the entries that the code reads
        self.summed = [b for b in found.buffers if b.kind == "output" and b.place in loop.summed]
        self.shared = False
        self.guesses: Guesses | None = None  # where steps are made in two ways
        self.fixed: dict[Buffer, Value] | None = None  # addresses, where one function has them all
        self.near: dict[Buffer, Value] = {}  # values and totals that a step keeps on the stack
        self.totals: dict[Buffer, Value] = {}
        self.apart: dict[Buffer, int] = {}  # else: where in the arena a step leaves what is to be added up

    def settle(self, shared: bool, others: int) -> None:
        """Decides where values lie: on the stack where they are small, but not if threads or functions share them.

        What stays from period to period lies behind the arena of the `others`, of so many bytes.
        """
        self.shared, text = shared, self.text
        few = len(self.stretches) <= 1
        if shared or not few:
            for buffer in self.summed:
                self._set_apart(buffer)
        else:
            inner = [each.inner for each in self.padded]
            own = [b for b in self.found.buffers if b not in self.aliased and b not in {e.source for e in self.padded}]
            self.near = {b: _room(text, b) for b in near_values([*inner, *own], {*inner}, self.found, self.loop)}
            for buffer in inner:
                if buffer not in self.near:
                    self.arena = max(self.arena, others)
                    self._set_apart(buffer)
            self.near |= {b: self.near[other] for b, other in self.aliased.items() if other in self.near}
            self.totals = {buffer: _room(text, buffer) for buffer in self.summed}
        if few:
            kernels = [kernel for stretch in self.stretches for kernel in _kernels(stretch)]
            results = [*itertools.chain(*self._copied()), *self.summed]
            used = dict.fromkeys([*_touched(kernels), *results, *self.apart])
            self.fixed = self._addresses(text, {b: None for b in used if b not in self.near})
            if not shared and may_wait([kernel for kernel in kernels if kernel.only is not None]):
                self.guesses = Guesses(text)

    def _set_apart(self, buffer: Buffer) -> None:
        """A place of its own in the arena."""
        self.apart[buffer] = self.arena = -(-self.arena // ALIGNMENT) * ALIGNMENT
        self.arena += buffer.nbytes

    def repeat(self, start: Value, stop: Value) -> None:
        """All steps from `start` to `stop`, at least one."""
        if self.guesses is not None:
            self.guesses.steps(start, stop, self.once)
        else:
            self.text.each(start, stop, 1, self.once)

    def once(self, index: Value) -> None:
        """All kernels, for the turn `index`: here if they are few, else in functions of bounded length.

        LLVM's time grows faster than the length of a function.
        """
        if self.fixed is not None:
            for stretch in self.stretches:
                self._write(self.text, stretch, index)
        else:
            for i, stretch in enumerate(self.stretches):
                name = f"turn_{self.first}_{i}"
                body = self.text.beside()
                self._write(body, stretch, "%index")
                more = meeting.ARGUMENTS if self.shared else ""
                self.text.define(name, f"ptr %table, ptr %flags, i64 %index{more}", body)
                self.text.do(f"call void @{name}(ptr %table, ptr %flags, i64 {index}{more})")
        copied = self._copied()
        if copied:
            self._alone(lambda: self._copy(copied, index))
        if self.summed:
            self._alone(lambda: self._add_up(index))

    def _copied(self) -> list[tuple[Buffer, Buffer]]:
        """Carried results that have a place of their own, and the inputs that they become."""
        return [pair for pair in carried_buffers(self.found, self.loop) if pair[0] not in self.aliased]

    def _add_up(self, index: Value) -> None:
        """The results of this step, added to those of the steps before."""
        for buffer in self.summed:
            here, t = self._pointers(self.text, {buffer: None}, index)[buffer], type_of(buffer.dtype)
            total = self.totals.get(buffer) or self._there(buffer)
            both = [self.text.let(f"load {t}, ptr {place}") for place in (total, here)]
            added = emit(self.text, "add", both, [buffer.dtype] * 2, buffer.dtype, 1)
            self.text.do(f"store {t} {added}, ptr {total}")

    def fetch(self) -> None:
        """Loads carried values, totals, and what is only read, to the places on the stack that steps have them in."""
        unchanged = only_read(self.found, self.loop)
        read = [(buffer, here) for buffer, here in self.near.items() if buffer in unchanged]
        for buffer, here in [*self._outlasting(), *read]:
            self.text.copy(here, self._there(buffer), buffer.nbytes)
        for each in self.padded:
            if not self.stays(each):
                self._copy_in(each)

    def begin(self) -> None:
        """Carried values that lie in the arena, with gaps, for all periods: from where their owner has them."""
        for each in self.padded:
            if self.stays(each):
                self._copy_in(each)

    def stays(self, each: Padded) -> bool:
        """Whether steps find a value where the last period left it; on the stack another thread would not."""
        return each.inner not in self.near

    def _copy_in(self, each: Padded) -> None:
        here = self._pointers(self.text, {each.inner: None}, "0")[each.inner]
        copy_in(self.text, each, here, self._there(each.source))

    def put_back(self) -> None:
        """Stores what has changed of it where it lies: a record, and the caller, find it there."""
        for buffer, here in self._outlasting():
            self.text.copy(self._there(buffer), here, buffer.nbytes)
        for each in self.padded:
            here = self._pointers(self.text, {each.inner: None}, "0")[each.inner]
            copy_out(self.text, each, here, self._there(each.source))

    def _outlasting(self) -> list[tuple[Buffer, Value]]:
        carried = [source for _, source in carried_buffers(self.found, self.loop) if source in self.near]
        return [*((buffer, self.near[buffer]) for buffer in carried), *self.totals.items()]

    def _there(self, buffer: Buffer) -> Value:
        """Where the caller has it."""
        return self._entry(self.text, self.outside.index(buffer))

    def _write(self, text: Text, made: Sequence[Phase], index: Value) -> None:
        here = self._pointers(text, dict.fromkeys(_touched(_kernels(made))), index)
        if not self.shared:
            self._each(text, _kernels(made), here, None)
            return
        for phase in made:
            counts = [group.pieces for group in phase]
            meeting.pieces(text, counts, lambda g, piece, phase=phase: self._group(text, phase[g], here, piece))  # type: ignore[misc]

    def _group(self, text: Text, group: Group, pointers: dict[Buffer, Value], piece: Value) -> None:
        """A piece of the kernels of a group, or all of them if it has no pieces."""
        share = None
        if group.extent:
            start = text.let(f"mul nsw i64 {piece}, {group.piece}")
            last = text.let(f"icmp eq i64 {piece}, {group.pieces - 1}")
            share = meeting.Share(start, group.piece, last, group.columns)
        self._each(text, group.kernels, pointers, share)

    def _each(
        self, text: Text, kernels: Sequence[Kernel], pointers: dict[Buffer, Value], share: meeting.Share | None
    ) -> None:
        """Kernels in order, those with one condition together. In a long program they are calls of functions."""
        for _, alike in itertools.groupby(kernels, lambda kernel: id(kernel.only)):
            some = list(alike)
            if self.fixed is not None and some[0].only is not None:
                write_kernels(text, some, pointers, share)
                continue
            for kernel in some:
                if kernel.tiles is not None:
                    write_tiled(text, kernel, pointers, share)
                elif self.fixed is None or kernel.alone:
                    write_call(text, kernel, pointers, share)
                else:
                    write_kernel(text, kernel, pointers, share)

    def _alone(self, body: Callable[[], object]) -> None:
        """What is not for several threads."""
        meeting.by_one(self.text, self.shared, body)

    def _copy(self, pairs: Sequence[tuple[Buffer, Buffer]], index: Value) -> None:
        """Carried results that have a place of their own, to the inputs that they become."""
        for out, source in pairs:
            here = self._pointers(self.text, dict.fromkeys((out, source)), index)
            self.text.copy(here[source], here[out], out.nbytes)

    def _pointers(self, text: Text, used: Mapping[Buffer, None], index: Value) -> dict[Buffer, Value]:
        """The addresses of `used` in the turn `index`."""
        pointers = self.fixed if self.fixed is not None and text is self.text else self._addresses(text, used)
        return pointers | _moved(text, used, self.loop, pointers, index) | self.near

    def _addresses(self, text: Text, used: Mapping[Buffer, None]) -> dict[Buffer, Value]:
        """Where `used` begin; always written in the same order."""
        wanted = {self.aliased.get(buffer, buffer) for buffer in used}
        pointers = {b: self._entry(text, i) for i, b in enumerate(self.outside) if b in wanted}
        places = {b: self.apart.get(b, b.place if b.kind == "arena" else -1) for b in used}
        stored = {buffer: place for buffer, place in places.items() if place >= 0}  # others never are
        arena = self._entry(text, len(self.outside)) if stored else ""
        for buffer, place in stored.items():
            pointers[buffer] = text.let(f"getelementptr inbounds i8, ptr {arena}, i64 {place}")
        return pointers | {buffer: pointers[other] for buffer, other in self.aliased.items() if buffer in used}

    def _entry(self, text: Text, place: int) -> Value:
        """A pointer of the table: of `outside`, and behind them the arena's."""
        self.used.add(place)
        return text.let(f"load ptr, ptr {text.let(f'getelementptr ptr, ptr %table, i64 {self.first + place}')}")


def _kernels(made: Sequence[Phase]) -> list[Kernel]:
    return [kernel for phase in made for group in phase for kernel in group.kernels]


def _touched(kernels: Iterable[Kernel]) -> list[Buffer]:
    """What they read and write."""
    return [buffer for kernel in kernels for buffer in (*targets(kernel), *(b for b, _ in reads(kernel)))]


def _room(text: Text, buffer: Buffer) -> Value:
    nbytes = -(-buffer.nbytes // ALIGNMENT) * ALIGNMENT  # with the gap that there may be
    return text.room(f"[{nbytes} x i8], align {ALIGNMENT}")


def _moved(
    text: Text, used: Iterable[Buffer], loop: Loop, pointers: Mapping[Buffer, Value], index: Value
) -> dict[Buffer, Value]:
    """The addresses that move from step to step."""
    here: dict[Buffer, Value] = {}
    for buffer in used:
        places = {"input": loop.streamed_in, "output": loop.streamed_out}.get(buffer.kind, frozenset())
        if buffer.place in places:
            offset = text.let(f"mul nsw i64 {index}, {buffer.nbytes}")
            here[buffer] = text.let(f"getelementptr i8, ptr {pointers[buffer]}, i64 {offset}")
    return here
