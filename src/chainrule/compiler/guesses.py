"""Steps that may change nothing, in two ways: by a branch, which is guessed, or by a choice, which waits.

A processor that guesses right does not wait for the condition; guessing wrong costs it more than such a step takes. So
steps are made in blocks, and each by the way that suited the block before. Both give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chainrule.compiler.costs import costs
from chainrule.compiler.kernels import Kernel, Schedule
from chainrule.compiler.text import Text, Value

__all__ = ["Guesses", "may_wait"]

_SHORT = 512  # operations that take about as long as it takes to find out that a guess was wrong
_BLOCK = 256  # steps
_FIRST = "true"  # whether the first block is guessed
_RARE = 12  # at most one in so many may go the other way


def may_wait(kernels: Sequence[Kernel]) -> bool:
    """Whether to wait for the condition takes no longer than to have guessed wrong: short ones, not foretold."""
    foretold = any(kernel.only is not None and kernel.only.op == "foretold" for kernel in kernels)
    return bool(kernels) and not foretold and costs(Schedule(list(kernels)))[1] <= _SHORT


class Guesses:
    """The loop over steps in two ways. It is begun where the function is entered."""

    def __init__(self, text: Text):
        self.text, self.guess, self.count = text, text.room("i1"), text.room("i64")
        text.do(f"store i1 {_FIRST}, ptr {self.guess}")

    def steps(self, start: Value, stop: Value, once: Callable[[Value], None]) -> None:
        """for i = start; i < stop: once(i); at least one."""
        self.text.each(start, stop, _BLOCK, lambda first: self._block(first, stop, once))

    def _block(self, first: Value, stop: Value, once: Callable[[Value], None]) -> None:
        text = self.text
        whole = text.let(f"add nsw i64 {first}, {_BLOCK}")
        end = text.let(f"select i1 {text.let(f'icmp slt i64 {whole}, {stop}')}, i64 {whole}, i64 {stop}")
        guess = text.let(f"load i1, ptr {self.guess}")
        text.do(f"store i64 0, ptr {self.count}")
        text.when(guess, lambda: self._way(True, first, end, once))
        text.when(text.let(f"xor i1 {guess}, true"), lambda: self._way(False, first, end, once))
        steps = text.let(f"sub nsw i64 {end}, {first}")
        held = text.let(f"load i64, ptr {self.count}")
        rare = [self._is_rare(count, steps) for count in (held, text.let(f"sub nsw i64 {steps}, {held}"))]
        text.do(f"store i1 {text.let(f'or i1 {rare[0]}, {rare[1]}')}, ptr {self.guess}")

    def _way(self, guesses: bool, first: Value, end: Value, once: Callable[[Value], None]) -> None:
        def step(i: Value) -> None:
            self.text.counted = self.count
            once(i)

        self.text.guesses = guesses
        self.text.each(first, end, 1, step)
        self.text.guesses, self.text.counted = True, None

    def _is_rare(self, count: Value, steps: Value) -> Value:
        return self.text.let(f"icmp sle i64 {self.text.let(f'mul nsw i64 {count}, {_RARE}')}, {steps}")
