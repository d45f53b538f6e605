"""Arrays of every size and kind, as they come: strided, read-only, mapped, in Fortran's order, empty."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler import CompiledProgram
from chainrule.errors import OptionError, ShapeError

SIZES = (1, 7, 15, 16, 17, 31, 33, 64, 65)


def everything(x: Any, w: Any) -> tuple[Any, ...]:
    """Vectors along rows and columns, sums along each axis, a product, reads back to front, and a change of dtype."""
    h = x @ w
    return cr.tanh(h), x.sum(axis=0), x.sum(axis=1), h.max(axis=1), (x[::-1] * 2).T, (x > 0).sum(), x.astype("float32")


def by_numpy(x: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, ...]:
    h = x @ w
    return np.tanh(h), x.sum(0), x.sum(1), h.max(1), (x[::-1] * 2).T, np.asarray((x > 0).sum()), x.astype("float32")


def agree(found: Any, wanted: Any, dtype: str) -> None:
    tolerance = 1e-4 if dtype == "float32" else 1e-12
    for y, expected in zip(found, wanted, strict=True):
        assert (y.shape, y.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_allclose(y.numpy(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", SIZES)
def test_odd_sizes(n: int, dtype: str) -> None:
    rng = np.random.default_rng(n)
    f = cr.compile(everything)
    for m in (n, 3):
        x, w = rng.standard_normal((m, n)).astype(dtype), rng.standard_normal((n, n)).astype(dtype)
        agree(f(x, w), by_numpy(x, w), dtype)


def mapped(x: np.ndarray, folder: Path) -> np.ndarray:
    x.tofile(folder / "x")
    return np.memmap(folder / "x", x.dtype, "r", shape=x.shape)


def unaligned(x: np.ndarray, folder: Path) -> np.ndarray:
    return np.frombuffer(b"!" + x.tobytes(), np.uint8)[1:].view(x.dtype).reshape(x.shape)


def read_only(x: np.ndarray, folder: Path) -> np.ndarray:
    x = x.copy()
    x.flags.writeable = False
    return x


KINDS: dict[str, Callable[[np.ndarray, Path], np.ndarray]] = {
    "every second row": lambda x, _: np.repeat(x, 2, axis=0)[::2],
    "every second column": lambda x, _: np.repeat(x, 2, axis=1)[:, ::2],
    "back to front": lambda x, _: x[::-1, ::-1].copy()[::-1, ::-1],
    "in Fortran's order": lambda x, _: np.asfortranarray(x),
    "broadcast": lambda x, _: np.broadcast_to(x[:1], x.shape),
    "of the other byte order": lambda x, _: x.astype(x.dtype.newbyteorder()),
    "mapped from a file": mapped,
    "unaligned": unaligned,
    "read-only": read_only,
}


@pytest.mark.parametrize("n", [5, 40])  # copied into the frame, or read where it lies
@pytest.mark.parametrize("kind", KINDS)
def test_arrays_as_they_come(kind: str, n: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((n, n)), rng.standard_normal((n, n))
    given = KINDS[kind](x, tmp_path)
    before = np.array(given)
    agree(cr.compile(everything)(given, w), by_numpy(before.astype("float64"), w), "float64")
    np.testing.assert_array_equal(given, before)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_arrays_without_elements(shape: tuple[int, int]) -> None:
    def f(x: Any) -> tuple[Any, ...]:
        return x.sum(axis=0), x.sum(), cr.exp(x), x @ x.T, x.T[::-1]

    x = np.ones(shape)
    wanted = (x.sum(0), np.asarray(x.sum()), np.exp(x), x @ x.T, x.T[::-1])
    for y, expected in zip(cr.compile(f)(x), wanted, strict=True):
        np.testing.assert_array_equal(y.numpy(), expected)
        assert y.shape == expected.shape


@pytest.mark.parametrize("bad", [-5, 4, 2**40, -(2**63), 2**63 - 1])
def test_an_index_out_of_range_is_refused_and_never_read(bad: int) -> None:
    rows = np.array([0, 3, bad, -4])
    for f in (lambda x, i: x[i], lambda x, i: cr.grad(lambda x: (x[i] * 2).sum())(x)):
        compiled = cr.compile(f)
        with pytest.raises(ShapeError, match="index"):
            compiled(np.ones((4, 9)), rows)
        with pytest.raises(ShapeError):  # nor does a call leave anything behind that lets it through
            compiled(np.ones((4, 9)), rows)
        assert compiled(np.ones((4, 9)), np.array([0, 3, 3, -4])).shape in ((4, 9),)


def test_other_shapes_than_it_was_compiled_for_are_refused() -> None:
    from chainrule.compiler import CompiledProgram

    x = cr.Input((2, 3), name="x")
    with pytest.raises(OptionError, match=r"'x' \(2, 3\).*\(3, 2\)"):
        CompiledProgram([x], [x + 1])(np.ones((3, 2)))


@pytest.mark.parametrize("size", [9, 10, 17, 25])
def test_a_number_kept_in_a_register_is_read_in_every_strip_of_a_sum(size: int) -> None:
    """The last strip of a sum may be one lane wide: it reads what the same kernel wrote before."""
    x = cr.Input((size,), name="x")
    once = x[0] * 3.0
    y = (x * once).sum() + (x - once).sum()
    arrays = [np.arange(1.0, size + 1)]
    found = CompiledProgram([x], [y, once * 2])(*arrays)
    np.testing.assert_allclose(found[0], (arrays[0] * 3).sum() + (arrays[0] - 3).sum(), rtol=1e-14)
