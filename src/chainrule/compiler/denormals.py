"""Loops of steps take results below the least normal number for 0, where the processor has a switch for it.

Where nothing more is to be learned (a dead unit, a perfect fit) an optimizer's averages fade away, to denormal numbers,
and stay there: 0.9 times the least of them rounds to itself. An operation on them takes some processors a hundred times
as long as any other.
"""

from __future__ import annotations

import platform
from collections.abc import Callable

from chainrule.compiler.text import Text

__all__ = ["flushed"]

_FLUSH = 1 << 15  # of the control register: results that are denormal become 0; inputs are read as they are


def flushed(text: Text, body: Callable[[], object]) -> None:
    """`body`, with the switch set; then it is again as the caller had it."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        body()
        return
    text.declared |= {f"declare void @llvm.x86.sse.{name}(ptr)" for name in ("stmxcsr", "ldmxcsr")}
    before, inside = text.room("i32, align 4"), text.room("i32, align 4")
    text.do(f"call void @llvm.x86.sse.stmxcsr(ptr {before})")
    mode = text.let(f"load i32, ptr {before}")
    text.do(f"store i32 {text.let(f'or i32 {mode}, {_FLUSH}')}, ptr {inside}")
    text.do(f"call void @llvm.x86.sse.ldmxcsr(ptr {inside})")
    body()
    text.do(f"call void @llvm.x86.sse.ldmxcsr(ptr {before})")
