"""NumPy's functions called on tensors: ours, with their derivatives, or an error that says which to take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import special

import chainrule as cr
from chainrule.errors import TraceError

A, T = np.array([2.0, 3.0]), np.array([0.75, -1.5])

SAME: dict[str, Callable[[Any], Any]] = {
    "exp": np.exp,
    "abs": np.abs,
    "hinge": lambda t: np.maximum(0, 1 - A * t),
    "array + tensor": lambda t: A + t,
    "array - tensor": lambda t: A - t,
    "array / tensor": lambda t: A / t,
    "array ** tensor": lambda t: A**t,
    "array @ tensor": lambda t: A @ t,
    "NumPy number * tensor": lambda t: np.float64(3) * t,
    "array < tensor": lambda t: A < t,  # noqa: SIM300
    "+tensor": np.positive,
    "sum": np.sum,
    "sum over an axis": lambda t: np.sum(t, axis=0, keepdims=True),
    "mean": np.mean,
    "var": lambda t: np.var(t, ddof=1),
    "argmax": np.argmax,
    "where": lambda t: np.where(t > 0, t, 0),
    "concatenate": lambda t: np.concatenate([t, A, t]),
    "clip": lambda t: np.clip(t, -1, 1),
    "isfinite": np.isfinite,
}


@pytest.mark.parametrize("name", SAME)
def test_the_result_is_a_tensor_of_the_same_values(name: str) -> None:
    found = SAME[name](cr.variable(T))
    assert isinstance(found, cr.Tensor)
    np.testing.assert_allclose(found.numpy(), SAME[name](T), rtol=1e-15)
    traced = SAME[name](cr.Input((2,)))
    assert (traced.shape, traced.dtype) == (found.shape, found.dtype)


def test_the_derivative_is_kept() -> None:
    np.testing.assert_array_equal(cr.grad(lambda t: np.sum(np.exp(t)))(T), np.exp(T))
    np.testing.assert_array_equal(cr.grad(lambda t: np.maximum(0, 1 - A * t).sum())(T), [0.0, -3.0])


def test_adding_to_an_array_in_place_gives_a_tensor() -> None:
    def total(t: Any) -> Any:
        found = np.zeros(2)
        found += t
        return (found * found).sum()

    np.testing.assert_array_equal(cr.grad(total)(T), 2 * T)


REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a ufunc that is not ours": (
        np.sinh,
        r"NumPy's sinh\(t\) at test_dispatch.py:\d+: .* no derivative.*chainrule.sin",
    ),
    "another library's": (special.erf, r"NumPy's erf\(t\).*Use chainrule.erf, or take .numpy\(\)"),
    "a function that is not ours": (np.linalg.norm, r"NumPy's norm\(t\).*Compose it"),
    "out=": (lambda t: np.add(t, 1, out=np.zeros(2)), r"chainrule.add\(a, b\) takes its place.*'out'"),
    "where=": (lambda t: np.exp(t, where=[True, False]), r"chainrule.exp\(x\) takes its place.*'where'"),
    "dtype=": (lambda t: np.sum(t, dtype="float32"), r"chainrule.sum\(x, axis, keepdims\).*'dtype'"),
    "dtype by position": (lambda t: np.sum(t, 0, np.float32), "given by name"),
    "reduce": (np.add.reduce, r"NumPy's add.reduce\(t\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_lose_the_derivative_is_refused(name: str) -> None:
    call, said = REFUSED[name]
    with pytest.raises(TraceError, match=said):
        call(cr.variable(T, name="t"))


def test_what_has_no_derivative_to_lose_looks_at_the_values() -> None:
    t = cr.variable(T)
    assert np.allclose(t, T)
    assert np.isnan(t).tolist() == [False, False]
    assert np.round(t).tolist() == [1, -2]
    assert np.argsort(t).tolist() == [1, 0]
    assert (np.shape(t), np.ndim(t), np.size(t)) == ((2,), 1, 2)
    assert np.shape(cr.Input((3, 2))) == (3, 2)
    assert np.linalg.norm(cr.as_tensor([3.0, 4.0])) == 5.0
    with pytest.raises(TraceError, match="placeholder"):
        np.isnan(cr.Input((2,)))
