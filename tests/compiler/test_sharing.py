"""Threads share phases of kernels, in pieces that do not depend on how many threads there are."""

from __future__ import annotations

import itertools
import multiprocessing
import threading
import time
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compiler.graphs import random_graph

import chainrule as cr
from chainrule import losses, nn, optim
from chainrule.compiler import crew
from chainrule.compiler.kernels import Kernel, reads, targets
from chainrule.compiler.memory import plan
from chainrule.compiler.merge import merged
from chainrule.compiler.schedule import schedule
from chainrule.compiler.sharing import MOST_PIECES, Phase, phases, times

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def small_kernels_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs that no other test compiles, so that no code made with the usual limits is found for them."""
    monkeypatch.setattr("chainrule.compiler.sharing.LEAST_WORK", 2**10)
    monkeypatch.setattr("chainrule.compiler.crew.LEAST_CALL", 0)
    monkeypatch.setattr("chainrule.compiler.crew._CROWDED", 0)
    monkeypatch.setattr("chainrule.compiler.trial.Trial.helped", lambda trial: True)


def digits_like(rows: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    return RNG.normal(size=(rows, width)).astype(np.float32), RNG.integers(0, 7, rows)


def trained(threads: int, monkeypatch: pytest.MonkeyPatch, data: tuple[np.ndarray, np.ndarray]) -> list[bytes]:
    """Every bit of what a fit leaves, with so many threads."""
    monkeypatch.setenv("CHAINRULE_THREADS", str(threads))
    net = nn.Sequential(nn.Linear(211, 130), nn.ReLU(), nn.Linear(130, 75), nn.Tanh(), nn.Linear(75, 7)).initialize(0)
    history = cr.fit(
        net, losses.softmax_cross_entropy, optim.Adam(1e-3), *data, steps=12, batch_size=100, record_every=4,
        engine="compiled",
    )  # fmt: skip
    assert "@next_piece" in history.compiled.llvm()
    return [history.loss.tobytes(), *(value.tobytes() for value in net.state_dict().values())]


def test_the_same_bits_with_any_number_of_threads_and_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    data = digits_like(310, 211)
    alone = trained(1, monkeypatch, data)
    for threads in (2, 3, 4, *[2, 4] * 10):
        assert trained(threads, monkeypatch, data) == alone


def test_a_shared_fit_agrees_with_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_THREADS", "3")
    x, t = digits_like(150, 67)
    found = []
    for engine in ("reference", "compiled"):
        net = nn.Sequential(nn.Linear(67, 90), nn.ReLU(), nn.Linear(90, 7)).astype("float64").initialize(0)
        cr.fit(net, losses.softmax_cross_entropy, optim.Adam(1e-2), x, t, steps=30, batch_size=50, engine=engine)
        found.append(net.state_dict())
    for name, value in found[0].items():
        np.testing.assert_allclose(found[1][name], value, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("rows", [32, 33, 47, 64, 100, 129, 530])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_row_is_computed(rows: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_THREADS", str(threads))
    x, w = RNG.normal(size=(rows, 120)), RNG.normal(size=(120, 110))
    layer = cr.compile(lambda x, w: cr.tanh(x @ w) + 1.0)
    np.testing.assert_allclose(layer(x, w), np.tanh(x @ w) + 1.0, rtol=1e-12, atol=1e-12)
    assert "@next_piece" in layer.llvm()
    assert layer.report().threads == threads


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("flips", list(itertools.product([False, True], repeat=2)))
@pytest.mark.parametrize("shape", [(130, 301, 500), (64, 400, 300), (300, 1100, 70)])
def test_products_in_tiles_are_cut_into_pieces_of_columns(
    shape: tuple[int, int, int], flips: tuple[bool, bool], dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    m, k, n = shape
    a, b = (
        RNG.normal(size=size).astype(dtype) for size in ((k, m) if flips[0] else (m, k), (n, k) if flips[1] else (k, n))
    )
    product = cr.compile(lambda a, b: (a.T if flips[0] else a) @ (b.T if flips[1] else b))
    expected = (a.T if flips[0] else a).astype("float64") @ (b.T if flips[1] else b)
    found = []
    for threads in (1, 2, 4):
        monkeypatch.setenv("CHAINRULE_THREADS", str(threads))
        found.append(product(a, b).numpy())
        np.testing.assert_allclose(found[-1], expected, rtol=0, atol=2e-4 if dtype == "float32" else 1e-11)
    assert "@tile." in product.llvm() and "@next_piece" in product.llvm()
    assert found[0].tobytes() == found[1].tobytes() == found[2].tobytes()


def kernels_of(inputs: list[cr.Tensor], *outputs: cr.Tensor) -> list[Kernel]:
    return merged(schedule(inputs, list(outputs)).kernels)


def cut(found: list[Phase]) -> list[list[int]]:
    """How many pieces each group has."""
    return [[group.pieces for group in phase] for phase in found]


def test_a_chain_over_the_same_rows_meets_once() -> None:
    x, w = cr.Input((64, 40), name="x"), cr.Input((40, 40), name="w")
    y = cr.tanh(cr.tanh(x @ w) @ w) @ w
    (phase,) = phases(kernels_of([x, w], y), {})
    assert [(group.extent, group.piece, len(group.kernels)) for group in phase] == [(64, 16, 3)]


def test_what_reads_other_rows_begins_a_new_phase() -> None:
    x = cr.Input((64, 64), name="x")
    y = cr.tanh(x @ x)
    assert cut(phases(kernels_of([x], y @ y), {})) == [[4], [4]]
    assert cut(phases(kernels_of([x], cr.tanh(y @ x), y.T @ x), {})) == [[4], [4]]


def test_what_is_written_over_an_input_waits_for_those_who_read_it() -> None:
    x, w = cr.Input((96, 64), name="x"), cr.Input((64, 64), name="w")
    kernels = kernels_of([x, w], x @ w, w * 0.5)
    product, update = kernels
    assert len(phases(kernels, {})) == 1
    (updated,) = targets(update)
    read = next(buffer for buffer, _ in reads(update))
    assert read in {b for b, _ in reads(product)}
    assert len(phases(kernels, {updated: read})) == 2


def test_small_kernels_and_those_in_order_are_not_cut() -> None:
    x, large = cr.Input((16, 64), name="x"), cr.Input((500, 500), name="large")
    assert cut(phases(kernels_of([x], cr.exp(x)), {})) == [[1]]
    assert cut(phases(kernels_of([large], cr.exp(large) * 2), {})) == [[16]]
    assert cut(phases(kernels_of([large], cr.cumsum(large, 0)), {})) == [[1]]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40))
def test_phases_keep_the_order_and_the_memory_that_kernels_need(seed: int, nodes: int) -> None:
    found = schedule(*random_graph(seed, nodes))
    found.kernels = merged(found.kernels)
    made = phases(found.kernels, {})
    at = times(made, found.kernels)
    assert sorted(id(k) for phase in made for group in phase for k in group.kernels) == sorted(map(id, found.kernels))
    assert all(sum(group.pieces for group in phase) <= MOST_PIECES for phase in made)
    group_of = {id(k): (i, j) for i, phase in enumerate(made) for j, g in enumerate(phase) for k in g.kernels}
    for late, kernel in enumerate(found.kernels):
        for early in range(late):
            first = found.kernels[early]
            if {*targets(first)} & {*targets(kernel), *(b for b, _ in reads(kernel))}:
                assert at[early] <= at[late]
                a, b = group_of[id(first)], group_of[id(kernel)]
                assert a[0] < b[0] or a == b
    size = plan(found, at)
    lives: dict[object, list[int]] = {}
    registers = {w.target for k in found.kernels for w in k.writes if not w.stored}
    for time_, kernel in zip(at, found.kernels, strict=True):
        for buffer in {*targets(kernel), *(b for b, _ in reads(kernel))} - registers:
            if buffer.kind == "arena":
                lives.setdefault(buffer, []).append(time_)
    placed = [(b, b.place, b.place + b.size * b.dtype.itemsize) for b in found.buffers if b in lives]
    for (a, start, end), (b, other, stop) in itertools.combinations(placed, 2):
        together = min(lives[a]) <= max(lives[b]) and min(lives[b]) <= max(lives[a])
        assert end <= size and (not together or end <= other or stop <= start)


def test_nothing_is_shared_where_all_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    net = nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 1))
    x, t = cr.datasets.two_gaussians(50, seed=0)
    history = cr.fit(net, losses.squared, optim.SGD(1e-3), x, t, steps=20, batch_size=1, engine="compiled")
    assert "@next_piece" not in history.compiled.llvm()


def test_several_python_threads_call_one_shared_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_THREADS", "3")
    layer = cr.compile(lambda x, w: cr.tanh(cr.tanh(x @ w) @ w))
    w = RNG.normal(size=(72, 72)) / 9
    given = [RNG.normal(size=(96, 72)) for _ in range(4)]
    alone = [layer(x, w).numpy().tobytes() for x in given]
    wrong: list[int] = []

    def calls(i: int) -> None:
        wrong.extend(i for _ in range(200) if layer(given[i], w).numpy().tobytes() != alone[i])

    callers = [threading.Thread(target=calls, args=(i,)) for i in range(len(given))]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
        assert not caller.is_alive()
    assert not wrong


def test_a_call_does_not_wait_for_a_helper_that_never_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_THREADS", "2")
    layer = cr.compile(lambda x, w: cr.exp(cr.tanh(x @ w)))
    x, w = RNG.normal(size=(80, 70)), RNG.normal(size=(70, 70))
    expected = layer(x, w).numpy()
    held = threading.Lock()
    held.acquire()
    helped = crew._Job.help
    monkeypatch.setattr(crew._Job, "help", lambda job, number: (held.acquire(), helped(job, number)))
    np.testing.assert_array_equal(layer(x, w).numpy(), expected)
    held.release()


def _in_a_fork(layer: cr.Tensor, x: np.ndarray, answers: object) -> None:
    answers.put(layer(x).numpy().tobytes())  # type: ignore[attr-defined]


def test_a_forked_process_has_helpers_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_THREADS", "2")
    layer, x = cr.compile(lambda x: cr.exp(cr.tanh(x @ x.T)) * 3), RNG.normal(size=(90, 90))
    expected = layer(x).numpy().tobytes()
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=_in_a_fork, args=(layer, x, answers))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # later Pythons warn of forks beside threads
        child.start()
    assert answers.get(timeout=30) == expected
    child.join(30)
    assert child.exitcode == 0


def test_an_interrupt_does_not_leave_a_helper_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while a call waits for its helper is raised only when the helper is out."""
    monkeypatch.setenv("CHAINRULE_THREADS", "2")
    inside, may_leave, left = threading.Event(), threading.Event(), threading.Event()

    def function(*arguments: int) -> int:
        if arguments[4] == 0:
            assert inside.wait(20)
            threading.Timer(0.2, may_leave.set).start()
            raise KeyboardInterrupt
        inside.set()
        may_leave.wait(20)
        time.sleep(0.05)
        left.set()
        return 0

    with pytest.raises(KeyboardInterrupt):
        crew.together(function, 1, 0)(0, 1, 1, 1)
    assert left.is_set()


def test_while_cores_are_taken_a_call_has_no_helpers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_THREADS", "3")
    monkeypatch.setattr(crew, "_alone_until", 0.0)
    monkeypatch.setattr(crew, "_CROWDED", 60)
    taken = iter([0, 0, 0, 1000])
    monkeypatch.setattr(crew, "_switches", lambda: next(taken))
    asked: list[int] = []
    monkeypatch.setattr(crew, "_taken", lambda count: asked.append(count) or [])
    call = crew.together(lambda *_: 0, 1, 0)
    for _ in range(3):
        assert call(0, 1, 1, 1) == 0
    assert asked == [2, 2]
