"""LLVM IR as text: fresh names, blocks, loops with carried values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

__all__ = ["LOOPS", "PRECISE", "Text", "Value"]

# Of every function: 1 / sqrt(x) in float32 is no estimate of the processor's, which gives NaN at 0 and at infinity.
PRECISE = '"reciprocal-estimates"="none"'
# Of functions with loops: a vector that finds no register lies on the stack within one line of the cache.
LOOPS = f"alignstack(64) {PRECISE}"

Value: TypeAlias = str
Carried: TypeAlias = Sequence[tuple[str, Value]]  # (type, value)


@dataclass
class Text:
    """The body of a function under construction."""

    lines: list[str] = field(default_factory=list)
    block: str = "entry"
    declared: set[str] = field(default_factory=set)
    functions: dict[str, str] = field(default_factory=dict)  # what this one calls, written beside it
    rooms: list[tuple[str, Value]] = field(default_factory=list)
    guesses: bool = True  # whether a condition that may be guessed is a branch, or a choice that waits for it
    counted: Value | None = None  # where it is counted, once, whether it holds
    _count: int = 0

    def beside(self) -> Text:
        """The body of another function of the same module."""
        return Text(declared=self.declared, functions=self.functions)

    def name(self, stem: str = "t") -> str:
        """A name that was not used before."""
        self._count += 1
        return f"{stem}{self._count}"

    def let(self, instruction: str) -> Value:
        """A new value, the result of `instruction`."""
        name = "%" + self.name()
        self.lines.append(f"  {name} = {instruction}")
        return name

    def do(self, instruction: str) -> None:
        """An instruction without a result."""
        self.lines.append(f"  {instruction}")

    def room(self, kind: str) -> Value:
        """The address of a variable on the stack. It is made once, on entry: an alloca in a loop would pile up."""
        self.rooms.append((kind, "%" + self.name("room")))
        return self.rooms[-1][1]

    def on_entry(self) -> list[str]:
        """The instructions that make the rooms."""
        return [f"  {name} = alloca {kind}" for kind, name in self.rooms]

    def define(self, name: str, arguments: str, body: Text) -> None:
        """A function beside this one, which gives nothing back."""
        lines = "\n".join([*body.on_entry(), *body.lines])
        head = f"define internal void @{name}({arguments}) noinline {LOOPS}"
        self.functions[name] = f"{head} {{\nentry:\n{lines}\n  ret void\n}}"

    def start(self, label: str) -> None:
        """The following instructions belong to the block `label`."""
        self.lines.append(f"{label}:")
        self.block = label

    def call(self, function: str, result: str, *args: tuple[str, Value]) -> Value:
        """A call of an external function or intrinsic, declared on its first use."""
        types = ", ".join(kind for kind, _ in args)
        self.declared.add(f"declare {result} @{function}({types})")
        return self.let(f"call {result} @{function}({', '.join(f'{kind} {value}' for kind, value in args)})")

    def copy(self, to: Value, source: Value, nbytes: int) -> None:
        """Bytes from one place to another, which do not overlap."""
        self.declared.add("declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)")
        self.do(f"call void @llvm.memcpy.p0.p0.i64(ptr {to}, ptr {source}, i64 {nbytes}, i1 false)")

    def clear(self, place: Value, nbytes: int) -> None:
        """Bytes become 0."""
        self.declared.add("declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)")
        self.do(f"call void @llvm.memset.p0.i64(ptr {place}, i8 0, i64 {nbytes}, i1 false)")

    def when(self, condition: Value, body: Callable[[], object], foretold: bool = False) -> None:
        """`body` where the condition (i1) holds; a `foretold` one stays a branch."""
        inside, after = self.name("then"), self.name("after")
        self.do(f"br i1 {condition}, label %{inside}, label %{after}{self.stays_branch() if foretold else ''}")
        self.start(inside)
        body()
        self.do(f"br label %{after}")
        self.start(after)

    def count(self, one: Value = "1") -> None:
        """One more (or `one`, an i64) where it is counted, if anywhere."""
        place, self.counted = self.counted, None
        if place is not None:
            before = self.let(f"load i64, ptr {place}")
            self.do(f"store i64 {self.let(f'add i64 {before}, {one}')}, ptr {place}")

    def stays_branch(self) -> str:
        """What a branch says for LLVM to leave it one: that it goes one way nearly always."""
        self.declared.add('!0 = !{!"branch_weights", i32 1, i32 1000}')
        return ", !prof !0"

    def draw(self, first: Value, body: Callable[[Value], Value]) -> None:
        """for i = first; i >= 0: i = body(i)."""
        before, head, inside, after = self.block, self.name("draw"), self.name("drawn"), self.name("none")
        index = "%" + self.name("i")
        self.do(f"br label %{head}")
        self.start(head)
        at = len(self.lines)
        self.do(f"br i1 {self.let(f'icmp sge i64 {index}, 0')}, label %{inside}, label %{after}")
        self.start(inside)
        following = body(index)
        self.do(f"br label %{head}")
        self.lines.insert(at, f"  {index} = phi i64 [ {first}, %{before} ], [ {following}, %{self.block} ]")
        self.start(after)

    def each(self, start: int | Value, stop: int | Value, step: int, body: Callable[[Value], object]) -> None:
        """for i = start; i < stop; i += step: body(i), at least once; nothing is carried."""

        def turn(i: Value, _: list[Value]) -> list[Value]:
            body(i)
            return []

        self.loop(start, stop, step, [], turn)

    def loop(
        self, start: int | Value, stop: int | Value, step: int, carried: Carried,
        body: Callable[[Value, list[Value]], Sequence[Value]],
    ) -> list[Value]:  # fmt: skip
        """for i = start; i < stop; i += step (at least once): carried = body(i, carried). Returns the last carried."""
        before, head, after = self.block, self.name("loop"), self.name("done")
        index, following = "%" + self.name("i"), "%" + self.name("n")
        names = ["%" + self.name("c") for _ in carried]
        self.do(f"br label %{head}")
        self.start(head)
        at = len(self.lines)
        results = list(body(index, names))
        self.do(f"{following} = add nuw nsw i64 {index}, {step}")
        more = self.let(f"icmp slt i64 {following}, {stop}")
        self.do(f"br i1 {more}, label %{head}, label %{after}")
        phis = [f"  {index} = phi i64 [ {start}, %{before} ], [ {following}, %{self.block} ]"]
        for name, (kind, first), result in zip(names, carried, results, strict=True):
            phis.append(f"  {name} = phi {kind} [ {first}, %{before} ], [ {result}, %{self.block} ]")
        self.lines[at:at] = phis
        self.start(after)
        return results
