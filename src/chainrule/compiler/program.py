"""A schedule as one LLVM function, run once or as a loop over steps."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from chainrule.compiler import meeting
from chainrule.compiler.carried import Loop
from chainrule.compiler.crew import yielding
from chainrule.compiler.denormals import flushed
from chainrule.compiler.kernels import Buffer, Schedule
from chainrule.compiler.text import LOOPS, Text, Value
from chainrule.compiler.turn import Turn

__all__ = ["ENTRY", "Assembled", "assemble"]

ENTRY = "run"


@dataclass(frozen=True)
class Assembled:
    """The IR of a function.

    Attributes:
        arenas: the bytes of arena that each schedule needs.
        used: of each schedule those entries of its table that the code reads.
        in_place: the results that are written over the inputs that they become.
        work: the operations of each schedule that threads share; empty where they share nothing.
    """

    ir: str
    arenas: list[int]
    used: list[set[int]]
    in_place: frozenset[Buffer]
    work: list[int]


def assemble(step: Schedule, loop: Loop | None = None, record: Schedule | None = None) -> Assembled:
    """The IR of `i64 run(ptr table, i64 periods, i64 steps, i64 last)`.

    For every period: `record` once (it streams its outputs), then `step` `steps` times, in the last period `last`
    times. Without a `loop`, `step` once.
    `table` holds one pointer for every input, held leaf and output of `step`, in the order of its buffers, then its
    arena's; then the same of `record`. The result is 0, or 1 when an index was out of range. Where threads share the
    work it also takes `i64 tid, i64 threads, ptr meeting`, and each thread calls it.
    """
    text = Text()
    text.do("%flags = alloca i64")
    text.do("store i64 0, ptr %flags")
    body = Turn(text, step, loop or Loop(), 0)
    turns = [body]
    if record is not None:
        every = frozenset(range(sum(b.kind == "output" for b in record.buffers)))
        turns.append(Turn(text, record, Loop(streamed_out=every), body.entries))
    shared = any(turn.work for turn in turns) and bool(yielding())
    if shared:
        meeting.begin(text)
    others = max((turn.arena for turn in turns[1:]), default=0)
    for turn in turns:
        turn.settle(shared and turn.work > 0, others)
    if loop is None:
        body.once("0")
    else:
        flushed(text, lambda: _periods(text, turns, shared))
    text.do(f"ret i64 {text.let('load i64, ptr %flags')}")
    lines = "\n".join([*text.on_entry(), *text.lines])
    declared = "\n".join([*sorted(text.declared), *text.functions.values()])
    arguments = "ptr noalias %table, i64 %periods, i64 %steps, i64 %last" + (meeting.ENTRY_ARGUMENTS if shared else "")
    ir = f"{declared}\n\ndefine i64 @{ENTRY}({arguments}) {LOOPS} {{\nentry:\n{lines}\n}}\n"
    work = [turn.work for turn in turns] if shared else []
    arenas, used = [turn.arena for turn in turns], [turn.used for turn in turns]
    return Assembled(ir, arenas, used, frozenset(body.aliased), work)


def _periods(text: Text, turns: Sequence[Turn], shared: bool) -> None:
    """All turns of the outer loop, and before them what stays where steps have it."""
    body = turns[0]
    if any(body.stays(each) for each in body.padded):
        some = text.let(f"icmp sgt i64 {text.let('or i64 %steps, %last')}, 0")
        text.when(some, lambda: meeting.by_one(text, shared and not body.shared, body.begin))
    text.each(0, "%periods", 1, lambda period: _period(text, turns, period, shared))


def _period(text: Text, turns: Sequence[Turn], period: Value, shared: bool) -> None:
    """One turn of the outer loop: the record, then the steps.

    Where threads share only one of them (`shared`), one thread makes the other.
    """
    for turn in turns[1:]:
        meeting.by_one(text, shared and not turn.shared, functools.partial(turn.once, period))
    more = text.let(f"icmp slt i64 {text.let(f'add nsw i64 {period}, 1')}, %periods")
    count = text.let(f"select i1 {more}, i64 %steps, i64 %last")
    start = text.let(f"mul nsw i64 {period}, %steps")
    stop = text.let(f"add nsw i64 {start}, {count}")

    def steps() -> None:
        turns[0].fetch()
        turns[0].repeat(start, stop)
        turns[0].put_back()

    some = text.let(f"icmp sgt i64 {count}, 0")
    text.when(some, lambda: meeting.by_one(text, shared and not turns[0].shared, steps))
