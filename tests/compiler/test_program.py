"""A schedule as one function: what it says, what it never does, and what a loop carries."""

from __future__ import annotations

import re
import tracemalloc
import weakref

import numpy as np
import pytest
from tests.compiler.graphs import random_graph

import chainrule as cr
from chainrule.compiler import CompiledLoop, CompiledProgram, tiles
from chainrule.compiler.carried import Loop
from chainrule.compiler.compilation import Part
from chainrule.compiler.program import assemble
from chainrule.compiler.schedule import schedule
from chainrule.evaluate import Program


@pytest.mark.parametrize("seed", range(40))
def test_random_graphs_agree_with_the_reference(seed: int) -> None:
    inputs, outputs = random_graph(seed)
    arrays = np.random.default_rng(seed).standard_normal((2, 5, 5))
    for found, wanted in zip(CompiledProgram(inputs, outputs)(*arrays), Program(inputs, outputs)(*arrays), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_nothing_is_allocated_while_it_runs(seed: int) -> None:
    """The code calls LLVM's intrinsics alone, and its stack does not grow in a loop."""
    ir = assemble(schedule(*random_graph(seed))).ir
    called = set(re.findall(r"declare .*@([\w.]+)\(", ir))
    assert {name for name in called if not name.startswith("llvm.")} <= {"sched_yield"}
    entry = ir.split("@run(")[1].split("\nloop")[0]
    assert ir.count("alloca") == entry.count("alloca")


def test_the_stack_of_a_long_loop_of_products_does_not_grow() -> None:
    a, b = cr.Input((48, 48), "float32"), cr.Input((48, 48), "float32")
    loop = CompiledLoop(Part([a, b], [a @ b]), Loop(carried=((0, 0),)))
    one = np.eye(48, dtype="float32")
    result = one.copy()
    loop.run([result, one], [np.empty_like(one)], steps=100_000)
    np.testing.assert_array_equal(result, one)


def test_a_loop_carries_its_result_in_place() -> None:
    p, g = cr.Input((5,), name="p"), cr.Input((5,), name="g")
    loop = CompiledLoop(Part([p, g], [p - 0.5 * g]), Loop(carried=((0, 0),)))
    value = np.ones(5)
    loop.run([value, np.arange(5.0)], [np.empty(5)], steps=4)
    np.testing.assert_array_equal(value, 1 - 2 * np.arange(5.0))
    assert loop.code.loops() == "for i < 5: p'[i] = p[i] - 0.5 * g[i]"
    assert (
        loop.code.llvm().count("call void @llvm.memcpy") == 3
    )  # in before the steps, and back after them what changed


def test_a_loop_reads_what_it_is_given_now_and_keeps_nothing_of_it() -> None:
    p, g = cr.Input((5,), name="p"), cr.Input((5,), name="g")
    loop = CompiledLoop(Part([p, g], [p - 0.5 * g]), Loop(carried=((0, 0),)))
    value, after = np.ones(5), np.empty(5)
    for scale in (2.0, 4.0):
        given = np.full(5, scale)
        loop.run([value, given], [after], steps=2)
        loop.run([value, given], [after], steps=1)  # the same arrays, with other values
    np.testing.assert_array_equal(value, np.full(5, 1 - 0.5 * (2 * 3 + 4 * 3)))
    there = weakref.ref(given)
    loop.trim()
    del given
    assert there() is None


@pytest.mark.parametrize(("periods", "last"), [(1, 0), (1, 2), (3, 0), (3, 1), (3, 4)])
def test_the_last_period_may_have_fewer_steps_or_none(periods: int, last: int) -> None:
    p, x = cr.Input((3,), name="p"), cr.Input((3,), name="x")
    loop = CompiledLoop(Part([p, x], [p + x]), Loop(((0, 0),), frozenset({1})), record=Part([p], [p.sum()]))
    steps = 4 * (periods - 1) + last
    value, given, records = np.zeros(3), np.arange(3.0 * max(steps, 1)).reshape(-1, 3), np.full((1, periods), np.nan)
    loop.run([value, given], [np.empty(3)], 4, periods, ([value], records), last)
    np.testing.assert_array_equal(value, given[:steps].sum(axis=0))
    np.testing.assert_array_equal(records[0], [given[: 4 * k].sum() for k in range(periods)])


def test_records_and_the_caller_see_what_steps_keep_on_the_stack() -> None:
    p, g = cr.Input((3,), name="p"), cr.Input((3,), name="g")
    velocity = cr.Input((3,), name="v")
    after = 0.5 * velocity + g
    step = Part([p, velocity, g], [p - after, after])
    loop = CompiledLoop(step, Loop(carried=((0, 0), (1, 1))), record=Part([p], [p.sum()]))
    values, speed, records = np.zeros(3), np.zeros(3), np.empty((1, 4))
    wanted_p, wanted_v, wanted = np.zeros(3), np.zeros(3), []
    for k in range(12):
        if k % 3 == 0:
            wanted.append(wanted_p.sum())
        wanted_v = 0.5 * wanted_v + np.arange(3.0)
        wanted_p = wanted_p - wanted_v
    inputs, outputs = [values, speed, np.arange(3.0)], [np.empty(3), np.empty(3)]
    loop.run(inputs, outputs, steps=3, periods=4, record=([values], records))
    np.testing.assert_array_equal(values, wanted_p)
    np.testing.assert_array_equal(speed, wanted_v)
    np.testing.assert_array_equal(records[0], wanted)


def test_a_large_value_is_carried_where_it_lies() -> None:
    p, g = cr.Input((500,), name="p"), cr.Input((500,), name="g")
    loop = CompiledLoop(Part([p, g], [p - 0.5 * g]), Loop(carried=((0, 0),)))
    value = np.ones(500)
    loop.run([value, np.arange(500.0)], [np.empty(500)], steps=4)
    np.testing.assert_array_equal(value, 1 - 2 * np.arange(500.0))
    assert "memcpy" not in loop.code.llvm()


def test_a_result_that_is_still_read_is_carried_by_a_copy() -> None:
    p = cr.Input((4,), name="p")
    loop = CompiledLoop(Part([p], [p[::-1] + 1]), Loop(carried=((0, 0),)))
    value = np.arange(4.0)
    loop.run([value], [np.empty(4)], steps=3)
    np.testing.assert_array_equal(value, np.arange(4.0)[::-1] + 3)


def test_streams_move_from_step_to_step() -> None:
    s, x = cr.Input((), name="s"), cr.Input((2,), name="x")
    total = s + x.sum()
    loop = CompiledLoop(Part([s, x], [total, total * 10]), Loop(((0, 0),), frozenset({1}), frozenset({1})))
    seen, state = np.empty(3), np.zeros(())
    loop.run([state, np.arange(6.0)], [np.empty(()), seen], steps=3)
    np.testing.assert_array_equal(seen, [10.0, 60.0, 150.0])
    assert state == 15.0


def test_products_in_a_program_of_several_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long program is cut into functions, and a kernel in tiles is a function of its own in any."""
    monkeypatch.setattr(tiles, "LEAST", 0)
    x, w = cr.Input((64, 64), name="x"), cr.Input((64, 64), name="w")
    y = x
    for _ in range(120):
        y = y + cr.tanh(y @ w.T) * 0.01
    arrays = [np.random.RandomState(0).randn(64, 64), np.random.RandomState(1).randn(64, 64) * 0.1]
    program = CompiledProgram([x, w], [y])
    np.testing.assert_allclose(program(*arrays)[0], Program([x, w], [y])(*arrays)[0], rtol=1e-9, atol=1e-9)
    ir = program.code.llvm()
    assert ir.count("define internal void @turn_") > 1 and ir.count("define internal void @tile.") == 1


def test_the_arena_lives_as_long_as_what_writes_to_it() -> None:
    """Also where no input or output is small enough to have a place beside it."""
    x = cr.Input((300, 300), name="x")
    y = cr.exp(x)
    program = CompiledProgram([x], [cr.pad(y, 1), y.T])
    arena, value = program.code.arenas[0], np.ones((300, 300))
    assert arena >= value.nbytes
    tracemalloc.start()
    program(value)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held >= arena


@pytest.mark.parametrize("dtype", ["float64", "int64"])
def test_a_summed_result_is_added_to_what_is_there_over_all_steps_and_periods(dtype: str) -> None:
    x = cr.Input((2,), dtype, name="x")
    loop = CompiledLoop(Part([x], [(3 * x).sum()]), Loop(streamed_in=frozenset({0}), summed=frozenset({0})))
    values, total = np.arange(24).astype(dtype), np.full((), 99, dtype)
    loop.run([values], [total], steps=4, periods=3)
    assert total == 99 + 3 * values.sum()
    loop.run([values], [total], steps=2)
    assert total == 99 + 3 * (values.sum() + values[:4].sum())


def test_vectors_without_a_register_lie_within_a_line_of_the_cache() -> None:
    """LLVM keeps the stack as the caller had it, unless the function says otherwise: then speed is luck."""
    ir = assemble(schedule(*random_graph(0))).ir
    assert re.search(r"define i64 @run\(.*\) alignstack\(64\)", ir)
