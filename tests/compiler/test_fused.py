"""What is fused into one kernel: sums beside sums, and reductions inside of further formulas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler import CompiledProgram
from chainrule.compiler.axes import vector_axis
from chainrule.compiler.loops import Loops
from chainrule.compiler.merge import merged
from chainrule.compiler.schedule import schedule
from chainrule.compiler.text import Text

RNG = np.random.default_rng(0)
ONES = np.ones((64, 5))
CASES: dict[str, tuple[Callable[..., Any], Callable[..., Any], tuple[tuple[int, ...], ...]]] = {
    "a row's own sum beside a product": (
        lambda a, b: a @ ONES + a @ b, lambda a, b: a @ ONES + a @ b, ((64, 64), (64, 5)),
    ),
    "two products and a row's own sum": (
        lambda a, b, c: a @ ONES + c @ b + a @ b, lambda a, b, c: a @ ONES + c @ b + a @ b,
        ((64, 64), (64, 5), (64, 64)),
    ),
    "argmax counted": (
        lambda a, b: (cr.argmax(a, 1) == cr.argmax(b, 1)).astype("float64").mean(),
        lambda a, b: (a.argmax(1) == b.argmax(1)).mean(), ((33, 17), (33, 17)),
    ),
    "argmax in floats": (lambda a: cr.argmax(-a, 0) * 0.5, lambda a: a.argmin(0) * 0.5, ((7, 33),)),
    "argmax of all": (lambda a: cr.argmax(a, 0).astype("float64") + 1, lambda a: a.argmax(0) + 1.0, ((33,),)),
    "the last, short piece of several": (
        lambda a, b: cr.concatenate([a, a, b])[-1] * 2 + cr.concatenate([a, b])[4:],
        lambda a, b: np.concatenate([a, a, b])[-1] * 2 + np.concatenate([a, b])[4:], ((4,), (1,)),
    ),
    "the first, short piece": (
        lambda a, b: cr.exp(cr.concatenate([b, a], axis=1))[:, :1],
        lambda a, b: np.exp(np.concatenate([b, a], axis=1))[:, :1], ((1, 9), (1, 1)),
    ),
    "the largest argmax": (lambda a: cr.argmax(a, 1).max(), lambda a: a.argmax(1).max(), ((17, 5),)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_fused_kernels_give_what_numpy_gives(case: str) -> None:
    f, wanted, shapes = CASES[case]
    arrays = [RNG.standard_normal(shape) for shape in shapes]
    inputs = [cr.Input(shape) for shape in shapes]
    found = CompiledProgram(inputs, [f(*inputs)])(*arrays)[0]
    np.testing.assert_allclose(found, wanted(*arrays), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["bool", "uint8", "int32", "float32"])
def test_an_argmax_of_any_kind_is_an_integer_where_it_is_read(kind: str) -> None:
    x = cr.Input((9, 12), kind)
    value = RNG.integers(0, 2 if kind == "bool" else 9, (9, 12)).astype(kind)
    found = CompiledProgram([x], [cr.argmax(x, 1) + 1, cr.argmax(x, 0) / 2])(value)
    np.testing.assert_array_equal(found[0], value.argmax(1) + 1)
    np.testing.assert_array_equal(found[1], value.argmax(0) / 2)


def test_all_sums_of_a_kernel_are_computed_in_blocks() -> None:
    a, b, c, d = (cr.Input(shape) for shape in ((64, 64), (64, 16), (64, 64), (64, 16)))
    (kernel,) = merged(schedule([a, b, c, d], [a @ b + c @ d]).kernels)
    axis = vector_axis(kernel)  # type: ignore[arg-type]
    assert axis is not None
    assert len(Loops(Text(), kernel, {})._sums(axis)) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [1, 3, 16, 33])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_over_a_root_is_no_estimate(size: int, dtype: str) -> None:
    """An estimate and a step of Newton's give NaN at 0 and at infinity, and a last bit less elsewhere."""
    value = np.resize(np.array([0.0, np.inf, 2.0, 1e-30, 1e30, 3.0], dtype), size)
    x = cr.Input((size,), dtype)
    with np.errstate(divide="ignore"):
        wanted = 1 / np.sqrt(value)
    np.testing.assert_array_max_ulp(CompiledProgram([x], [1 / cr.sqrt(x)])(value)[0], wanted, 1, dtype)
