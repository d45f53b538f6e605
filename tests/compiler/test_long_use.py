"""Long use: what is compiled is kept once and let go, and lives as long as whoever holds it."""

from __future__ import annotations

import gc
import os
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import losses, nn, optim
from chainrule.compiler import CompiledProgram
from chainrule.compiler.recent import Recent

MIB = 2**20


def resident() -> int:
    """Bytes of this process in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


needs_proc = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")


def fit_once(x: np.ndarray, t: np.ndarray) -> None:
    net = nn.Sequential(nn.Linear(2, 5, seed=0), nn.ReLU(), nn.Linear(5, 1, seed=1))
    cr.fit(net, losses.squared, optim.SGD(1e-3), x, t, steps=10, batch_size=1, record_every=5, engine="compiled")


def grows_by_fits(count: int, after: int) -> int:
    """The growth by `count` fits, once the heap has the size that it needs between two full garbage collections."""
    x, t = cr.datasets.two_gaussians(50, seed=0)
    for _ in range(after):
        fit_once(x, t)
    before = resident()
    for _ in range(count):
        fit_once(x, t)
    return resident() - before


def test_fits_of_one_graph_leave_nothing() -> None:
    """Counted in Python's own blocks: in a short run the process grows and shrinks with its garbage."""
    x, t = cr.datasets.two_gaussians(50, seed=0)
    for _ in range(30):
        fit_once(x, t)
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(300):
            fit_once(x, t)
        gc.collect()
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert left < 0.25 * MIB


@needs_proc
@pytest.mark.slow
def test_ten_thousand_fits_of_one_graph_leave_nothing() -> None:
    assert grows_by_fits(10_000, after=2000) < MIB


def grows_by_graphs(count: int) -> float:
    def use(k: int) -> None:
        x = np.ones((3, 2))
        cr.compile(lambda x: cr.tanh(x * (k + 0.5)).sum() + cr.exp(x))(x)

    for k in range(20):
        use(-k - 1)
    before = resident()
    for k in range(count):
        use(k)
    return (resident() - before) / count


@needs_proc
def test_a_graph_takes_little() -> None:
    assert grows_by_graphs(60) < 0.2 * MIB


@needs_proc
@pytest.mark.slow
def test_each_of_a_thousand_graphs_takes_little() -> None:
    assert grows_by_graphs(1000) < 0.2 * MIB


def test_the_store_of_code_is_bounded_and_makes_each_once() -> None:
    made: list[int] = []
    store: Recent[int] = Recent(2)

    def find(key: int) -> int:
        return store.find(key, lambda: made.append(key) or key)

    assert [find(k) for k in (1, 2, 1, 3, 1, 2)] == [1, 2, 1, 3, 1, 2]
    assert made == [1, 2, 3, 2]
    assert len(store) == 2


def test_what_is_kept_keeps_no_arrays_alive() -> None:
    freed: list[bool] = []

    class Noted(np.ndarray):
        def __del__(self) -> None:
            freed.append(True)

    def use() -> None:
        w = cr.Parameter(np.ones(1000))
        w._stored = np.ones(1000).view(Noted)
        cr.compile(lambda x: x * w * 3.25)(np.ones(1000))

    use()
    gc.collect()
    assert freed


def test_a_compiled_function_outlives_what_made_it() -> None:
    def make() -> Any:
        w = cr.Parameter([2.0, 3.0])
        f = cr.compile(lambda x: x * w + 7.125)
        f(np.ones(2))
        return f

    f = make()
    gc.collect()
    np.testing.assert_array_equal(f(np.ones(2)).numpy(), [9.125, 10.125])


def test_code_that_is_dropped_from_the_store_still_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    from chainrule.compiler import runtime

    monkeypatch.setattr(runtime, "_CODE", Recent(1))
    x = cr.Input((3,))
    programs = [CompiledProgram([x], [x * k]) for k in range(2, 12)]
    gc.collect()
    for k, program in enumerate(programs, start=2):
        np.testing.assert_array_equal(program(np.ones(3))[0], np.full(3, float(k)))
    del programs[::2]
    gc.collect()
    np.testing.assert_array_equal(programs[0](np.ones(3))[0], np.full(3, 3.0))


def test_code_is_dropped_in_any_order_without_a_crash() -> None:
    from chainrule.compiler.llvm import compiled

    ir = "define i64 @run(ptr noalias %table, i64 %periods, i64 %steps, i64 %last) {{\nentry:\n  ret i64 {}\n}}\n"
    codes = [compiled(ir.format(k), "run", {}) for k in range(20)]
    assert [code.call(None, 0, 0, 0) for code in codes] == list(range(20))
    call = codes[3].call
    codes = codes[3:4]
    gc.collect()
    assert call(None, 0, 0, 0) == 3


def test_a_function_may_be_dropped_while_another_thread_runs_it() -> None:
    results: list[float] = []

    def use() -> None:
        for k in range(10):
            f = cr.compile(lambda x, k=k: (x * (k + 0.375)).sum())
            results.append(f(np.ones(1000)).item())
            del f

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == sorted(4 * [1000 * (k + 0.375) for k in range(10)])


def test_calls_at_the_same_time_give_the_same_bits() -> None:
    rng = np.random.default_rng(0)
    w = cr.Parameter(rng.standard_normal((64, 64)))
    f = cr.compile(lambda x: cr.tanh(cr.tanh(x @ w) @ w).sum(axis=1))
    xs = rng.standard_normal((8, 200, 64))
    alone = [f(x).numpy() for x in xs]
    wrong: list[int] = []

    def use(k: int) -> None:
        for _ in range(30):
            if f(xs[k]).numpy().tobytes() != alone[k].tobytes():
                wrong.append(k)

    threads = [threading.Thread(target=use, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_repeated_runs_give_the_same_bits() -> None:
    x, t = cr.datasets.two_gaussians(200, seed=0)

    def bits() -> bytes:
        net = nn.Sequential(nn.Linear(2, 5, seed=0), nn.Tanh(), nn.Linear(5, 1, seed=1))
        history = cr.fit(net, losses.squared, optim.Adam(1e-3), x, t, steps=500, batch_size=7, engine="compiled")
        return history.loss.tobytes() + b"".join(p.value.tobytes() for p in net.parameters())

    assert len({bits() for _ in range(10)}) == 1


def test_what_a_call_computes_in_lives_as_long_as_it_may_be_called() -> None:
    """Where no input and no result is small, nothing but the machine code's table knows of the arena."""
    x = cr.Input((100, 100))
    program = CompiledProgram([x], [cr.tanh(cr.tanh(x @ x) @ x) @ x])
    assert program.code.arenas[0] >= 8 * 100 * 100
    tracemalloc.start()
    try:
        program(np.ones((100, 100)))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept >= program.code.arenas[0]


def test_a_call_allocates_its_results_alone() -> None:
    import tracemalloc

    f = cr.compile(lambda x: cr.tanh(cr.tanh(x @ x) @ x).sum())
    x = np.ones((100, 100))
    f(x)
    tracemalloc.start()
    for _ in range(3):
        f(x)
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    f(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak - before < 8 * 100 * 100  # less than one of the values in between


def test_what_is_kept_is_found_while_another_thread_makes_something() -> None:
    store: Recent[int] = Recent(2)
    store.find("known", lambda: 1)
    begun, over = threading.Event(), threading.Event()

    def slow() -> int:
        begun.set()
        assert over.wait(60)
        return 2

    thread = threading.Thread(target=store.find, args=("slow", slow))
    thread.start()
    assert begun.wait(60)
    assert store.find("known", lambda: 3) == 1  # would wait for ever, if it waited
    over.set()
    thread.join()
    assert store.find("slow", lambda: 3) == 2
