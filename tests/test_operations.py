"""Every operation against NumPy or SciPy, its derivatives against differences and one another, in both modes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.engines import compiled, listed, run
from tests.table import PRIMITIVES, TABLE, Case, Row

import chainrule as cr
from chainrule import functions
from chainrule.graph import walk
from chainrule.primitive import REGISTRY, Flat, Linear, Multilinear, Primitive, Selecting, Smooth

ROWS = [pytest.param(row, id=f"{i}-{row.name}") for i, row in enumerate(TABLE)]
SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan])
DTYPES = {"f": ["float32", "float64"], "i": ["int8", "int32", "int64"], "u": ["uint8", "uint64"], "b": ["bool"]}


# What the table covers
def test_every_function_has_a_row() -> None:
    missing = set(functions.__all__) - {row.name for row in TABLE}
    assert not missing, f"no row of the table tests {sorted(missing)}"


def test_every_primitive_is_exercised() -> None:
    untested = PRIMITIVES - set(rows_by_primitive())
    assert not untested, f"no row of the table exercises the primitives {sorted(untested)}"


# Values
def draw_values(draw: Any, row: Row, case: Case) -> list[np.ndarray]:
    """Arrays for the case's operands: any dtype the row takes, with zeros and, in floats, infinities and NaN."""
    arrays = []
    for i, operand in enumerate(case.operands):
        if isinstance(operand, np.ndarray):
            arrays.append(operand)
            continue
        dtype = np.dtype(draw(st.sampled_from([name for kind in row.kinds for name in DTYPES[kind]])))
        rng = np.random.default_rng(draw(st.integers(0, 999)))
        x = rng.uniform(*row.domain(i), operand) if row.within else rng.standard_normal(operand) * 3
        if dtype.kind == "f" and not row.within and draw(st.booleans()):
            x = np.where(rng.random(operand) < 0.4, rng.choice(SPECIAL if row.extremes else SPECIAL[:4], operand), x)
        arrays.append(np.asarray(x if dtype.kind == "f" else np.abs(x) if dtype.kind == "u" else x).astype(dtype))
    return arrays


def check_values(engine: str, row: Row, draw: Any) -> None:
    case = row.case(draw)
    arrays = draw_values(draw, row, case)
    with np.errstate(all="ignore"):
        expected = [np.asarray(y) for y in listed(case.reference(*arrays))]
    found = run(engine, case.ours, *arrays)
    assert len(found) == len(expected)
    for y, wanted in zip(found, expected, strict=True):
        assert y.shape == wanted.shape
        assert y.dtype == wanted.dtype
        rtol = 2e-4 if wanted.dtype == np.float32 or any(a.dtype == np.float32 for a in arrays) else row.rtol
        finite = np.abs(wanted[np.isfinite(wanted)]) if wanted.dtype.kind == "f" else np.zeros(0)
        np.testing.assert_allclose(y, wanted, rtol=rtol, atol=rtol * max(1.0, finite.max(initial=0)))


def each_case(check: Callable[..., None], examples: int, **options: Any) -> None:
    """Runs `check` on drawn cases."""

    @settings(max_examples=examples, deadline=None, **options)
    @given(st.data())
    def cases(data: st.DataObject) -> None:
        check(data.draw)

    cases()


def drawn(engine: str, examples: int) -> int:
    """How many cases: fewer where every case is compiled first, which takes far longer than running it."""
    return examples if engine == "reference" else max(4, examples // 8)


@pytest.mark.parametrize("row", ROWS)
def test_value(engine: str, row: Row) -> None:
    each_case(lambda draw: check_values(engine, row, draw), drawn(engine, 20))


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
def test_value_of_many_more_cases(engine: str, row: Row) -> None:
    each_case(lambda draw: check_values(engine, row, draw), drawn(engine, 500))


# Derivatives
def draw_points(draw: Any, row: Row, case: Case) -> list[np.ndarray]:
    """float64 arrays in the row's domains, no two elements within 0.02 of one another, none within 0.05 of 0."""
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    operands = [np.zeros(x) if isinstance(x, tuple) else x for x in case.operands]
    total = sum(x.size for x in operands)
    places = rng.permutation(total) / max(total - 1, 1)
    found = []
    for i, x in enumerate(operands):
        if isinstance(case.operands[i], tuple):
            low, high = row.domain(i)
            points = low + (high - low) * places[: x.size].reshape(x.shape)
            places = places[x.size :]
            x = points + np.where(points < 0, -0.05, 0.05) * (low < 0 < high)
        found.append(x)
    return found


def weights_like(y: cr.Tensor, seed: int) -> np.ndarray:
    return np.random.default_rng([seed, y.size]).uniform(0.5, 1.0, y.shape)


def check_derivatives(engine: str, row: Row, draw: Any) -> None:
    """First and second derivatives along two directions, in every nesting of the two modes, against differences.

    The function is a weighted sum of all results and the directions are random: every element of every derivative is
    in the one number that is compared.
    """
    case = row.case(draw)
    arrays = draw_points(draw, row, case)
    leaves = [cr.Input(a.shape, a.dtype) for a in arrays]
    free = [x for x in leaves if x.dtype.kind == "f"]
    u, v = ([weights_like(x, seed + i) * (-1) ** i for i, x in enumerate(free)] for seed in (10, 20))
    results = [y for y in listed(case.ours(*leaves)) if y.dtype.kind == "f"]
    if not results or not free:
        return
    value = cr.functions.sum(cr.functions.stack([(y * weights_like(y, 7)).sum() for y in results]))

    def forward(y: cr.Tensor, direction: list[np.ndarray]) -> cr.Tensor:
        return cr.tangent([y], dict(zip(free, direction, strict=True)))[0]

    def reverse(y: cr.Tensor, direction: list[np.ndarray]) -> cr.Tensor:
        slopes = cr.gradient(y, free)
        assert [(g.shape, g.dtype) for g in slopes] == [(x.shape, x.dtype) for x in free]
        return cr.functions.sum(cr.functions.stack([(g * d).sum() for g, d in zip(slopes, direction, strict=True)]))

    first = [mode(value, u) for mode in (forward, reverse)]
    second = [mode(slope, v) for slope in first for mode in (forward, reverse)]
    program = compiled(engine, leaves, [value, *first, *second])

    def along(direction: list[np.ndarray], step: float) -> np.ndarray:
        steps = iter(direction)
        moved = [a + step * next(steps) if a.dtype.kind == "f" else a for a in arrays]
        return np.array(program(*moved))

    def difference(direction: list[np.ndarray]) -> np.ndarray:
        h = 1e-3  # the error is of order h^4
        near, far = (along(direction, k * h) - along(direction, -k * h) for k in (1, 2))
        return (8 * near - far) / (12 * h)

    found = along(u, 0.0)
    if row.flat:
        np.testing.assert_array_equal(found[1:], 0)
        return
    scale = 1 + np.abs(found).max()
    rtol = row.rtol_slopes
    agree(found[2], found[1], rtol / 1e4, scale, "reverse and forward mode")
    agree(found[1], difference(u)[0], rtol, scale, "first derivative")
    agree(found[4:], found[3], rtol / 1e4, scale, "the nestings of the modes")
    agree(found[3], difference(v)[1], rtol, scale, "second derivative")


def agree(found: Any, wanted: Any, rtol: float, scale: float, what: str) -> None:
    np.testing.assert_allclose(found, wanted, rtol=rtol, atol=rtol / 100 * scale, err_msg=what)


@pytest.mark.parametrize("row", ROWS)
def test_derivatives(engine: str, row: Row) -> None:
    each_case(lambda draw: check_derivatives(engine, row, draw), drawn(engine, 12))


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
def test_derivatives_of_many_more_cases(engine: str, row: Row) -> None:
    each_case(lambda draw: check_derivatives(engine, row, draw), drawn(engine, 200))


# The check of the check
def rows_by_primitive() -> dict[str, list[Row]]:
    """The rows in whose graphs each primitive stands, its own row and those of short graphs first."""
    if not _ROWS:
        sizes: dict[str, list[tuple[int, int]]] = {}
        for i, row in enumerate(TABLE):
            each_case(lambda draw, i=i, row=row: _note(draw, i, row, sizes), 25, derandomize=True, database=None)
        for name, found in sizes.items():
            _ROWS[name] = [TABLE[i] for i in dict.fromkeys(i for _, i in sorted(found))]
    return _ROWS


_ROWS: dict[str, list[Row]] = {}


def _note(draw: Any, i: int, row: Row, sizes: dict[str, list[tuple[int, int]]]) -> None:
    case = row.case(draw)
    leaves = [cr.Input(a.shape, a.dtype) for a in draw_points(draw, row, case)]
    nodes = [node for node in walk(listed(case.ours(*leaves))) if node.primitive]
    for node in nodes:
        assert node.primitive
        own = row.name == node.primitive.name
        sizes.setdefault(node.primitive.name, []).append((0 if own else len(nodes), i))


def wrong(rule: Callable[..., Any], k: int | None = None) -> Callable[..., Any]:
    """The rule, 0.1 % too large (or its k-th result alone)."""

    def planted(*args: Any, **kwargs: Any) -> Any:
        found = rule(*args, **kwargs)
        if k is None or not isinstance(found, tuple):
            return found * 1.001
        return tuple(x * 1.001 if i == k else x for i, x in enumerate(found))

    return planted


@dataclasses.dataclass(frozen=True)
class WrongPull:
    """A derivative that is 0.1 % too large in reverse mode."""

    right: Any

    def pull(self, *args: Any) -> Any:
        return [None if g is None else g * 1.001 for g in self.right.pull(*args)]

    def push(self, *args: Any) -> Any:
        return self.right.push(*args)


def with_one_rule_wrong(derivative: Any) -> Iterator[Any]:
    """The derivative with each of its rules planted in turn."""
    match derivative:
        case Smooth(partials):
            for i, rule in enumerate(partials):
                if rule is not None:
                    yield Smooth((*partials[:i], wrong(rule), *partials[i + 1 :]))
        case Linear(transpose, operands):
            for k in range(len(operands or (0, 1))):  # of concatenate the first two
                yield Linear(wrong(transpose, k), operands)
        case Multilinear(transposes):
            for i, rule in enumerate(transposes):
                yield Multilinear((*transposes[:i], wrong(rule), *transposes[i + 1 :]))
        case Selecting():
            yield dataclasses.replace(derivative, weights=wrong(derivative.weights))
        case _:
            yield WrongPull(derivative)


@contextmanager
def planted(primitive: Primitive, derivative: Any) -> Iterator[None]:
    right = primitive.derivative
    object.__setattr__(primitive, "derivative", derivative)
    try:
        yield
    finally:
        object.__setattr__(primitive, "derivative", right)


@pytest.mark.parametrize("name", sorted(n for n in PRIMITIVES if not isinstance(REGISTRY[n].derivative, Flat)))
def test_a_planted_error_of_a_thousandth_is_found(name: str) -> None:
    primitive = REGISTRY[name]
    row = rows_by_primitive()[name][0]
    for derivative in with_one_rule_wrong(primitive.derivative):
        with planted(primitive, derivative), pytest.raises(AssertionError, match=r"derivative|mode"):
            each_case(
                lambda draw: check_derivatives("reference", row, draw),
                60, derandomize=True, database=None, phases=[Phase.generate], report_multiple_bugs=False,
            )  # fmt: skip
