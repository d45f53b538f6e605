"""Loops of steps take results below the least normal number for 0; all else computes with them."""

from __future__ import annotations

import platform
import threading

import numpy as np
import pytest
from tests.compiler.test_elementary import FLOATS, LIMIT, REFERENCE, points, ulps

import chainrule as cr
import chainrule.primitives.elementwise as elementwise
from chainrule import losses, nn, optim
from chainrule.compiler.carried import Loop
from chainrule.compiler.compilation import Part
from chainrule.compiler.runtime import CompiledLoop

pytestmark = pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="x86 has the switch")


def halved(value: np.ndarray, steps: int) -> np.ndarray:
    p = cr.Input(value.shape, value.dtype)
    result = value.copy()
    CompiledLoop(Part([p], [p * 0.5]), Loop(carried=((0, 0),))).run([result], [np.empty_like(result)], steps)
    return result


@pytest.mark.parametrize("dtype", FLOATS)
def test_what_fades_away_becomes_zero_in_a_loop_of_steps(dtype: str) -> None:
    tiny = np.finfo(dtype).tiny
    start = np.array([8 * tiny, -8 * tiny, 16 * tiny, np.inf, np.nan], dtype)
    np.testing.assert_array_equal(halved(start, 3), [tiny, -tiny, 2 * tiny, np.inf, np.nan])
    np.testing.assert_array_equal(halved(start, 4), [0, 0, tiny, np.inf, np.nan])


@pytest.mark.parametrize("dtype", FLOATS)
def test_given_denormal_numbers_are_read_as_they_are(dtype: str) -> None:
    small = np.full(3, np.finfo(dtype).smallest_subnormal)
    x = cr.Input((3,), dtype)
    result = np.empty(3, dtype)
    CompiledLoop(Part([x], [x / np.finfo(dtype).tiny]), Loop()).run([small], [result], 1)
    np.testing.assert_array_equal(result, np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", FLOATS)
def test_functions_and_the_caller_keep_them(dtype: str) -> None:
    tiny = np.full(40, np.finfo(dtype).tiny, dtype)
    model = nn.Linear(1, 1, seed=0)
    found = []

    def fit() -> None:
        cr.fit(model, losses.squared, optim.SGD(0.1), np.ones((4, 1)), np.ones((4, 1)), steps=10, engine="compiled")
        found.append(tiny / 2)

    thread = threading.Thread(target=fit)
    fit()
    thread.start()
    thread.join()
    found.append(cr.compile(lambda x: x / 2)(tiny).numpy())
    for half in found:
        np.testing.assert_array_equal(half * 2, tiny)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", REFERENCE)
def test_elementary_functions_are_as_near_in_a_loop(name: str, dtype: str) -> None:
    """Their own steps in between do not come to where it matters, for results that are normal numbers."""
    x = points(name, dtype, 3000)
    leaf, result = cr.Input(x.shape, dtype), np.empty_like(x)
    CompiledLoop(Part([leaf], [getattr(elementwise, name)(leaf)]), Loop()).run([x], [result], 1)
    with np.errstate(all="ignore"):
        wanted = REFERENCE[name](x.astype(np.longdouble))
    tiny = np.finfo(dtype).tiny
    lost = np.abs(wanted) < tiny
    assert ulps(result[~lost], wanted[~lost]).max() <= LIMIT
    assert (np.abs(result[lost]) <= tiny).all()


def test_an_optimizer_at_rest_holds_zeros() -> None:
    """A unit that gets no gradient any more: Adam's averages of it fade away, and do not stay denormal."""
    x = np.ones((4, 1), np.float32)
    model = nn.Linear(1, 1, seed=0)
    history = cr.fit(model, losses.hinge, optim.Adam(0.5), x, x, steps=2000, engine="compiled")
    assert history.loss[-1] == 0
    np.testing.assert_array_equal(history.state.arrays["weight/m"], 0)
