"""Rows with gaps behind them: who gets them, and that what lies there never matters."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from tests.compiler.graphs import trained_step

import chainrule as cr
from chainrule import losses, nn, optim
from chainrule.autodiff import gradient
from chainrule.compiler import runtime
from chainrule.compiler.carried import Loop, carried_buffers
from chainrule.compiler.compilation import Part
from chainrule.compiler.kernels import Kernel, reads, targets
from chainrule.compiler.memory import after_readers
from chainrule.compiler.merge import merged
from chainrule.compiler.padding import padded
from chainrule.compiler.recent import Recent
from chainrule.compiler.runtime import CompiledLoop
from chainrule.compiler.schedule import schedule
from chainrule.compiler.text import Text, Value
from chainrule.evaluate import Program


def test_rows_that_fill_no_whole_vectors_have_gaps() -> None:
    found, loop = trained_step()  # weights of (6, 12), (12, 20) and (20, 9)
    carried = carried_buffers(found, loop)
    kernels, made = padded(after_readers(merged(found.kernels), carried), dict(carried))
    assert {(each.rows, each.columns, each.inner.room, each.inner.size) for each in made} == {
        (6, 12, 16, 96), (12, 20, 24, 288), (20, 9, 16, 320),
    }  # fmt: skip
    inner = {each.inner: each for each in made}
    for kernel in kernels:
        assert isinstance(kernel, Kernel)
        assert not {*targets(kernel), *(b for b, _ in reads(kernel))} & {b for pair in carried for b in pair}
        for buffer, place in [*reads(kernel), *((w.target, w.place) for w in kernel.writes)]:
            if buffer in inner:
                assert place is not None and all(f == 1 or f % buffer.room == 0 for _, f in place.terms)


@pytest.mark.parametrize(
    ("shape", "change"),
    [
        ((6, 8), lambda w: w * 0.5),  # whole vectors
        ((6, 5), lambda w: w * 0.5),  # not even one
        ((500,), lambda w: w * 0.5),  # many
        ((8, 12), lambda w: cr.reshape(cr.reshape(w, (12, 8)) * np.arange(8.0), (8, 12))),  # rows of another length
    ],
)
def test_other_rows_have_none(shape: tuple[int, ...], change: Any) -> None:
    w = cr.Input(shape, name="w")
    found = schedule([w], [change(w)])
    assert padded(found.kernels, dict(carried_buffers(found, Loop(((0, 0),)))))[1] == []


def test_the_caller_has_no_gaps() -> None:
    w, g = cr.Input((3, 20), name="w"), cr.Input((20,), name="g")
    loop = CompiledLoop(Part([w, g], [w - 0.5 * g]), Loop(((0, 0),)), record=Part([w], [w.sum(axis=1)]))
    value, records = np.ones((3, 20)), np.empty((2, 3))
    loop.run([value, np.arange(20.0)], [np.empty((3, 20))], 3, 2, ([value], [records]))
    np.testing.assert_array_equal(value, np.broadcast_to(1 - 3 * np.arange(20.0), (3, 20)))
    np.testing.assert_array_equal(records[:, 0], [20, 20 - 1.5 * 190])


def trained(optimizer: Any, dtype: str, widths: tuple[int, ...], activation: Any) -> list[np.ndarray]:
    random = np.random.RandomState(0)
    x, t = random.randn(50, widths[0]).astype(dtype), random.randn(50, widths[-1]).astype(dtype)
    layers: list[Any] = []
    for n, m in itertools.pairwise(widths):
        layers += [nn.Linear(n, m, dtype=dtype, seed=0), activation()]
    net = nn.Sequential(*layers[:-1])
    history = cr.fit(net, losses.squared, optimizer, x, t, steps=40, record_every=10, batch_size=1, engine="compiled")
    return [*net.state_dict().values(), np.array(history.records["train"])]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("widths", [(2, 10, 100, 30, 10, 1), (3, 17, 9, 33, 2), (20, 20, 20)])
@pytest.mark.parametrize("optimizer", [optim.SGD(1e-3), optim.Adam(1e-3)], ids=["SGD", "Adam"])
def test_what_lies_in_gaps_never_matters(
    optimizer: Any, widths: tuple[int, ...], dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for activation in (nn.ReLU, nn.Sigmoid):
        monkeypatch.setattr(runtime, "_CODE", Recent(8))
        plain = trained(optimizer, dtype, widths, activation)
        monkeypatch.setattr(runtime, "_CODE", Recent(8))
        with monkeypatch.context() as patch:
            patch.setattr(Text, "clear", _filled_with_nan)
            spoiled = trained(optimizer, dtype, widths, activation)
        for ours, theirs in zip(plain, spoiled, strict=True):
            assert np.isfinite(ours).all()
            np.testing.assert_array_equal(ours, theirs)


def _filled_with_nan(text: Text, place: Value, nbytes: int) -> None:
    text.declared.add("declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)")
    text.do(f"call void @llvm.memset.p0.i64(ptr {place}, i8 -1, i64 {nbytes}, i1 false)")


def test_a_part_of_a_row_is_not_a_row() -> None:
    """To write 12 of 15 elements as 16 is to write the other three."""
    w, x, one = cr.Input((15,), name="w"), cr.Input((15,), name="x"), cr.Input(name="one")
    part = cr.pad(cr.functions.broadcast_to(one, (12,)) * x[0], (0, 3)) + w * x
    arrays = [np.full(15, 0.5), np.arange(1.0, 16.0), np.array(2.0)]
    _agrees([w, x, one], [w - 0.1 * part, part.sum()], arrays)


@pytest.mark.parametrize("columns", [9, 12, 30, 129])
def test_looked_up_rows_of_numbers_without_gaps(columns: int) -> None:
    """The row numbers of a whole vector of elements are not all there."""
    rng = np.random.default_rng(columns)
    rows = rng.integers(0, 4, (1, columns))
    w, x = cr.Input((4, columns), name="w"), cr.Input((1, columns), name="x")
    y = (cr.tanh(cr.take_along_axis(w, rows, axis=0)) * x).sum()
    (g,) = gradient(y, [w])
    _agrees([w, x], [w - 0.1 * g, y], [rng.normal(size=(4, columns)), rng.normal(size=(1, columns))])


def _agrees(inputs: list[Any], outputs: list[Any], arrays: list[np.ndarray]) -> None:
    """Three steps, whose first output becomes the first input, give what the reference gives."""
    reference, wanted, found = Program(inputs, outputs), list(arrays), [arrays[0].copy(), *arrays[1:]]
    for _ in range(3):
        wanted[0] = reference(*wanted)[0]
    loop = CompiledLoop(Part(inputs, outputs), Loop(((0, 0),)))
    loop.run(found, [np.empty(y.shape, y.dtype) for y in outputs], 3)
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-12, atol=1e-12)
