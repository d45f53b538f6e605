"""No two values that live at the same time share memory, values that do not share it, and running takes none."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compiler.graphs import random_graph, trained_step

import chainrule as cr
from chainrule import losses, nn, optim
from chainrule.compiler.carried import carried_buffers
from chainrule.compiler.compilation import Compiled
from chainrule.compiler.kernels import Kernel, reads, targets
from chainrule.compiler.memory import after_readers, freeing_early, plan
from chainrule.compiler.merge import merged
from chainrule.compiler.program import assemble
from chainrule.compiler.schedule import schedule


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 40))
def test_no_two_live_buffers_overlap(seed: int, nodes: int) -> None:
    found = schedule(*random_graph(seed, nodes))
    found.kernels = freeing_early(merged(found.kernels))
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


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 40))
def test_what_is_read_was_written_before(seed: int, nodes: int) -> None:
    found = schedule(*random_graph(seed, nodes))
    kernels = merged(found.kernels)
    can_run(kernels, freeing_early(kernels))
    x, y = (b for b in found.buffers if b.kind == "input")
    first, second = (b for b in found.buffers if b.kind == "output")
    can_run(kernels, after_readers(kernels, [(first, x), (second, y)]))
    can_run(kernels, after_readers(kernels, [(first, y), (second, x)]))


def can_run(kernels: list[Kernel], ordered: list[Kernel]) -> None:
    """Whether they are the same kernels in an order in which they can run."""
    assert sorted(map(id, ordered)) == sorted(map(id, kernels))
    for buffer in {b for kernel in kernels for b in targets(kernel)}:
        uses = [[k for k in order if buffer in targets(k)] for order in (kernels, ordered)]
        assert uses[0] == uses[1]
        writer = ordered.index(uses[1][0])
        assert all(i >= writer for i, k in enumerate(ordered) if buffer in (b for b, _ in reads(k)))


def test_a_carried_value_is_written_over_itself_once_all_have_read_it() -> None:
    found, loop = trained_step()
    found.kernels = merged(found.kernels)
    assert len(assemble(found, loop).in_place) < 3
    found, loop = trained_step()
    kernels = merged(found.kernels)
    carried = carried_buffers(found, loop)
    found.kernels = after_readers(kernels, carried)
    can_run(kernels, found.kernels)
    assert assemble(found, loop).in_place == {out for out, _ in carried}


def test_a_carried_value_that_a_reader_of_the_old_one_needs_stays_where_it_is() -> None:
    w = cr.Input((8, 8), name="w")
    v = cr.tanh(w @ w).named("v")
    found = schedule([w], [v, v @ w])
    out, source = (next(b for b in found.buffers if b.name == name) for name in "vw")
    assert after_readers(found.kernels, [(out, source)]) == found.kernels


WIDTH = 512


def fitted(steps: int = 2) -> tuple[cr.History, int]:
    """A fit of four equal layers; the bytes of its parameters."""
    net = nn.Sequential(*(nn.Linear(WIDTH, WIDTH, dtype="float32", seed=k) for k in range(4)))
    x = np.random.RandomState(0).randn(16, WIDTH).astype(np.float32)
    history = cr.fit(
        net, losses.squared, optim.Adam(1e-3), x, x, steps=steps, batch_size=8, record_every=0, engine="compiled"
    )
    return history, sum(value.nbytes for value in net.state_dict().values())


def test_a_gradient_leaves_its_memory_to_the_next() -> None:
    gradient, activation = 4 * WIDTH * WIDTH, 4 * 8 * WIDTH
    assert fitted()[0].compiled.report().arena_bytes < gradient + 10 * activation


def test_the_peak_is_the_arena_and_what_is_carried() -> None:
    history, parameters = fitted()
    report = history.compiled.report()
    assert 0 <= report.peak_bytes - report.arena_bytes - 3 * parameters <= 64  # values, m and v; and a loss
    f = cr.compile(lambda x: (cr.tanh(x @ x), x + 1.0))
    f(np.ones((10, 10)))
    assert f.report().peak_bytes == f.report().arena_bytes + 2 * 800


def peak_growth(call: Callable[[], Any]) -> int:
    """How far the process's peak rises above what it has before a call."""
    status = Path("/proc/self/status")
    Path("/proc/self/clear_refs").write_text("5")

    def field(name: str) -> int:
        return 1024 * int(re.search(rf"{name}:\s+(\d+)", status.read_text())[1])  # type: ignore[index]

    before = field("VmRSS")
    call()
    return field("VmHWM") - before


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are read from Linux")
def test_nothing_is_allocated_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    grown: list[tuple[int, int]] = []

    def watched(call: Any) -> Any:
        def run(*arguments: int) -> int:
            flags: list[int] = []
            more = peak_growth(lambda: flags.append(call(*arguments)))
            _, periods, steps, last = arguments
            grown.append((more, (periods - 1) * steps + last))
            return flags[0]

        return run

    assert peak_growth(lambda: np.ones(2**23)) >= 2**25  # so large that the heap has no room for it
    monkeypatch.setattr(Compiled, "call", property(lambda self: watched(self.code.call)))
    fitted(1000)
    assert len(grown) > 2 and sum(steps for _, steps in grown) == 1000
    for more, _ in grown[1:]:  # in the first, pages of the arena and the outputs are touched
        assert more < 2**19  # half a gradient; Linux counts pages in lots of 32 for each processor, 2**17 bytes


def test_the_code_calls_nothing_that_allocates() -> None:
    ir = fitted()[0].compiled.llvm()
    outside = set(re.findall(r"^declare .*?@([\w.]+)\(", ir, re.M))
    assert {name for name in outside if not name.startswith("llvm.")} <= {"sgemm", "sched_yield"}
    for body in re.findall(r"^define.*?^}", ir, re.M | re.S):
        _, *rest = re.split(r"^(?:loop|then)\d+:", body, flags=re.M)
        assert not any("alloca" in block for block in rest)
