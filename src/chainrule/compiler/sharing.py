"""Large kernels are shared among threads: which, in what pieces, and how the threads meet.

All threads run the same program. A shared kernel is cut along its outermost axis into pieces of a fixed number of rows,
whatever the number of threads, and every element is computed by one thread in one order: the same bits with any number.
Kernels that are too small are left to the first thread, and the others wait.
"""

from __future__ import annotations

import ctypes
import math
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from chainrule.compiler.axes import all_of, vector_axis
from chainrule.compiler.kernels import Kernel, Product
from chainrule.compiler.text import Text, Value
from chainrule.formula import Expr

__all__ = [
    "MEET",
    "PIECE",
    "PRODUCT_PIECE",
    "Share",
    "is_shared",
    "meet",
    "share_of",
    "threads",
    "together",
    "yielding",
]

PIECE = 16  # rows of a loop nest
PRODUCT_PIECE = 64  # rows of a product that one call of BLAS computes
# Scalar operations from which a kernel is shared, measured with 1 and 2 threads in turns: a step of 2048-2048-2048-10
# with 256 rows then takes 1/1.8 of the time; kernels of less than about a millisecond gained nothing.
LEAST_WORK = 2**25
MEET = "meet"


@dataclass(frozen=True)
class Share:
    """The part of a shared axis that falls to this thread: whole pieces from `start` to `stop`.

    The rows that fill no piece belong to the last thread: `last` says whether this is it.
    """

    start: Value
    stop: Value
    last: Value


def is_shared(kernel: Kernel | Product) -> bool:
    """Whether a kernel is worth the meeting after it."""
    if not yielding():
        return False
    if isinstance(kernel, Product):
        return kernel.sizes[0] >= 2 * PRODUCT_PIECE and math.prod(kernel.sizes) >= LEAST_WORK
    plain = kernel.ordered is None and not kernel.zeroes and not any(write.adds for write in kernel.writes)
    direct = all(var.value is None for write in kernel.writes for var, _ in write.place.terms)
    vector = vector_axis(kernel)
    outer = [var for var in kernel.space if var is not vector]
    if not (plain and direct and outer and outer[0].size >= 2 * PIECE):
        return False
    terms = sum(_work(write.value) for write in kernel.writes)
    return math.prod(var.size for var in kernel.space) * terms >= LEAST_WORK


def _work(value: Expr) -> int:
    """Scalar operations of one element."""
    inner = sum(math.prod(v.size for v in e.data[1]) for e in all_of(value) if e.op == "reduce")
    return sum(1 for _ in all_of(value)) + inner


def share_of(text: Text, size: int, piece: int) -> Share:
    """What of an axis of `size` falls to the thread `%tid` of `%threads`."""
    pieces = size // piece

    def edge(number: Value) -> Value:
        part = text.let(f"udiv i64 {text.let(f'mul i64 {number}, {pieces}')}, %threads")
        return text.let(f"mul i64 {part}, {piece}")

    following = text.let("add i64 %tid, 1")
    return Share(edge("%tid"), edge(following), text.let(f"icmp eq i64 {following}, %threads"))


def meet(text: Text) -> None:
    """No thread goes on before all have come here."""
    text.declared.add("declare i32 @sched_yield()")
    text.functions[MEET] = f"""define internal void @{MEET}(ptr %meeting, i64 %threads) noinline {{
entry:
  %mine = atomicrmw add ptr %meeting, i64 1 seq_cst
  %turn = udiv i64 %mine, %threads
  %following = add i64 %turn, 1
  %goal = mul i64 %following, %threads
  br label %wait
wait:
  %n = phi i64 [ 0, %entry ], [ %more, %again ], [ %more, %rest ]
  %now = load atomic i64, ptr %meeting seq_cst, align 8
  %there = icmp uge i64 %now, %goal
  br i1 %there, label %done, label %again
again:
  %more = add i64 %n, 1
  %low = and i64 %more, 1023
  %tired = icmp eq i64 %low, 0
  br i1 %tired, label %rest, label %wait
rest:
  %ignored = call i32 @sched_yield()
  br label %wait
done:
  ret void
}}"""
    text.do(f"call void @{MEET}(ptr %meeting, i64 %threads)")


def threads() -> int:
    """How many threads compute: CHAINRULE_THREADS, else the processors this process may use.

    Results do not depend on it.
    """
    given = os.environ.get("CHAINRULE_THREADS", "")
    if given.isdigit() and int(given) > 0:
        return int(given)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def yielding() -> dict[str, int]:
    """The address of what a thread calls to let others run; empty where the system has none: then nothing is shared."""
    try:
        return {"sched_yield": ctypes.cast(ctypes.CDLL(None).sched_yield, ctypes.c_void_p).value or 0}
    except (AttributeError, OSError, TypeError):
        return {}


def together(function: Any) -> Callable[[int, int, int], int]:
    """A call (table, periods, steps) -> flags of `function`, which takes the thread, their number and a meeting too."""

    def call(table: int, periods: int, steps: int) -> int:
        meeting = ctypes.c_int64(0)
        flags: list[int] = []
        count, started = 1, threading.Event()
        workers: list[threading.Thread] = []

        def work(number: int) -> None:
            started.wait()
            if number < count:
                flags.append(function(table, periods, steps, number, count, ctypes.addressof(meeting)))

        try:
            for number in range(1, threads()):
                workers.append(threading.Thread(target=work, args=(number,), daemon=True))
                workers[-1].start()
                count += 1
        except RuntimeError:  # no more threads are to be had: those there are do it
            workers.pop()
        started.set()
        flags.append(function(table, periods, steps, 0, count, ctypes.addressof(meeting)))
        for worker in workers:
            worker.join()
        return max(flags)

    return call
