"""No two values that live at the same time share memory."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compiler.graphs import random_graph

import chainrule as cr
from chainrule.compiler.kernels import Kernel, reads, targets
from chainrule.compiler.memory import plan
from chainrule.compiler.merge import merged
from chainrule.compiler.schedule import schedule


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 40))
def test_no_two_live_buffers_overlap(seed: int, nodes: int) -> None:
    found = schedule(*random_graph(seed, nodes))
    found.kernels = merged(found.kernels)
    size = plan(found)
    registers = {w.target for k in found.kernels if isinstance(k, Kernel) for w in k.writes if not w.stored}
    lives: dict[object, list[int]] = {}
    for i, kernel in enumerate(found.kernels):
        for buffer in [*targets(kernel), *(b for b, _ in reads(kernel))]:
            if buffer.kind == "arena" and buffer not in registers:
                lives.setdefault(buffer, []).append(i)
    placed = [(b, b.place, b.place + b.size * b.dtype.itemsize) for b in found.buffers if b in lives]
    assert all(start >= 0 and end <= size and start % 64 == 0 for _, start, end in placed)
    for n, (a, start, end) in enumerate(placed):
        for b, other, stop in placed[:n]:
            together = min(lives[a]) <= max(lives[b]) and min(lives[b]) <= max(lives[a])
            assert not together or end <= other or stop <= start, f"{a} and {b} overlap"


def test_a_chain_needs_room_for_two() -> None:
    x = y = cr.Input((16, 16), name="x")
    for _ in range(20):
        y = cr.tanh(y @ x)
    assert plan(schedule([x], [y])) <= 2 * 16 * 16 * 8
