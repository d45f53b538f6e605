"""How threads share a phase, as IR: each takes the next piece that nobody has, and goes on when all pieces are done.

All threads run the same program, and count its phases. The meeting is one word: bits 0 to 31 which pieces are taken,
32 to 37 how many are done, 38 and up the phase. A thread takes the pieces of its own part first, so that it finds in
its cache what it wrote before, then whatever is left. So nobody waits for a thread that has not come, because the
system gave its core to another process: it finds the phase over, and passes on to where the others are.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chainrule.compiler.text import Text, Value

__all__ = ["ARGUMENTS", "BYTES", "ENTRY_ARGUMENTS", "Share", "begin", "by_one", "pieces"]

ENTRY_ARGUMENTS = ", i64 %tid, i64 %threads, ptr %meeting"
ARGUMENTS = ENTRY_ARGUMENTS + ", ptr %turn"  # of the functions that a shared program consists of
BYTES = 128  # a cache line, and the next one, which the processor may fetch with it
_NEXT = "next_piece"
_TURNS = 2**26 - 1
_LOOKS = 1023  # that a thread takes before it lets others run: about 20 us


@dataclass(frozen=True)
class Share:
    """One piece of a cut axis: `rows` from `start` on, fewer in the last one."""

    start: Value
    rows: int
    last: Value  # i1
    columns: bool = False  # of a product: these are its columns

    def stop(self, text: Text, most: int) -> Value:
        """Where the piece ends, at `most` at the latest."""
        stop = text.let(f"add nsw i64 {self.start}, {self.rows}")
        return text.let(f"select i1 {text.let(f'icmp slt i64 {stop}, {most}')}, i64 {stop}, i64 {most}")


def begin(text: Text) -> None:
    """The count of phases."""
    text.do("%turn = alloca i64")
    text.do("store i64 0, ptr %turn")


def pieces(text: Text, counts: Sequence[int], body: Callable[[int, Value], object]) -> None:
    """A phase of groups of so many pieces: body(group, piece) for those that fall to this thread.

    Its own part is one of the first group.
    """
    text.declared.add("declare i32 @sched_yield()")
    text.declared.add("declare i64 @llvm.cttz.i64(i64, i1)")
    if _NEXT not in text.functions:
        text.functions[_NEXT] = _next()
    total = sum(counts)
    turn = text.let("load i64, ptr %turn")
    first = text.let(f"udiv i64 {text.let(f'mul i64 %tid, {counts[0]}')}, %threads")

    def following(done: int) -> Value:
        return text.let(f"call i64 @{_NEXT}(ptr %meeting, i64 {turn}, i64 {total}, i64 {first}, i64 {done})")

    def turns(piece: Value) -> Value:
        start = 0
        for group, count in enumerate(counts):
            own = text.let(f"sub i64 {piece}, {start}") if start else piece
            if len(counts) == 1:
                body(group, own)
            else:
                text.when(text.let(f"icmp ult i64 {own}, {count}"), lambda group=group, own=own: body(group, own))  # type: ignore[misc]
            start += count
        return following(1)

    text.draw(following(0), turns)
    more = text.let(f"add i64 {turn}, 1")
    text.do(f"store i64 {text.let(f'and i64 {more}, {_TURNS}')}, ptr %turn")


def by_one(text: Text, one: bool, body: Callable[[], object]) -> None:
    """What one thread does while the others wait, or what all threads do."""
    if one:
        pieces(text, [1], lambda *_: body())
    else:
        body()


def _next() -> str:
    """The next piece of a phase for this thread, which may have `done` one; -1 when the phase is over."""
    x86 = platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")
    pause = "  call void @llvm.x86.sse2.pause()\n" if x86 else ""
    return f"""{"declare void @llvm.x86.sse2.pause()" if x86 else ""}
define internal i64 @{_NEXT}(ptr %meeting, i64 %turn, i64 %pieces, i64 %first, i64 %done) noinline {{
entry:
  %one = shl i64 %done, 32
  %all = shl i64 1, %pieces
  %full = sub i64 %all, 1
  %onwards = shl i64 -1, %first
  %after = add i64 %turn, 1
  %wrapped = and i64 %after, {_TURNS}
  %advanced = shl i64 %wrapped, 38
  br label %look
look:
  %state = load atomic i64, ptr %meeting acquire, align 8
  %phase = lshr i64 %state, 38
  %here = icmp eq i64 %phase, %turn
  br i1 %here, label %count, label %over
count:
  %counted = add i64 %state, %one
  %taken = xor i64 %state, -1
  %free = and i64 %taken, %full
  %any = icmp ne i64 %free, 0
  br i1 %any, label %take, label %none
take:
  %mine = and i64 %free, %onwards
  %own = icmp ne i64 %mine, 0
  %choice = select i1 %own, i64 %mine, i64 %free
  %piece = call i64 @llvm.cttz.i64(i64 %choice, i1 true)
  %bit = shl i64 1, %piece
  %claimed = or i64 %counted, %bit
  %try = cmpxchg ptr %meeting, i64 %state, i64 %claimed acq_rel acquire
  %got = extractvalue {{ i64, i1 }} %try, 1
  br i1 %got, label %given, label %look
given:
  ret i64 %piece
none:
  %idle = icmp eq i64 %done, 0
  br i1 %idle, label %wait, label %tell
tell:
  %high = lshr i64 %counted, 32
  %finished = and i64 %high, 63
  %complete = icmp eq i64 %finished, %pieces
  %told = select i1 %complete, i64 %advanced, i64 %counted
  %set = cmpxchg ptr %meeting, i64 %state, i64 %told acq_rel acquire
  %heard = extractvalue {{ i64, i1 }} %set, 1
  br i1 %heard, label %ended, label %look
ended:
  br i1 %complete, label %over, label %wait
wait:
  %n = phi i64 [ 0, %none ], [ 0, %ended ], [ %more, %again ], [ %more, %rest ]
  %now = load atomic i64, ptr %meeting acquire, align 8
  %current = lshr i64 %now, 38
  %same = icmp eq i64 %current, %turn
  br i1 %same, label %pause, label %over
pause:
{pause}  br label %again
again:
  %more = add i64 %n, 1
  %low = and i64 %more, {_LOOKS}
  %tired = icmp eq i64 %low, 0
  br i1 %tired, label %rest, label %wait
rest:
  %ignored = call i32 @sched_yield()
  br label %wait
over:
  ret i64 -1
}}"""
