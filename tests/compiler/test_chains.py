"""The chain from one step's values to the next one's: what comes last in it, and that the numbers stay the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import llvmlite.binding as llvm
import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler import CompiledLoop
from chainrule.compiler.carried import Loop, carried_buffers
from chainrule.compiler.chains import shortened
from chainrule.compiler.compilation import Part
from chainrule.compiler.llvm import _optimize, _target
from chainrule.compiler.merge import merged
from chainrule.compiler.pseudocode import printed
from chainrule.compiler.regroup import regrouped
from chainrule.compiler.schedule import schedule
from chainrule.evaluate import Program

Step = tuple[list[cr.Tensor], list[cr.Tensor]]


def inputs(names: str, size: tuple[int, ...] = ()) -> list[cr.Tensor]:
    return [cr.Input(size, "float64", name=name) for name in names.split()]


def loops(step: Step, carried: int) -> list[str]:
    """The step's kernels, the first outputs `carried` to the first inputs."""
    found = schedule(*step)
    pairs = carried_buffers(found, Loop(tuple((i, i) for i in range(carried))))
    found.kernels = shortened(regrouped(merged(found.kernels)), pairs)
    return printed(found).splitlines()


def linear(loss: Callable[..., cr.Tensor], n: int = 2) -> Step:
    """A step of a linear model on one row."""
    w, x, b, t = *inputs("w x", (n,)), *inputs("b t")
    value, (dw, db) = cr.value_and_grad(lambda w, b: loss(x @ w + b, t), wrt=(0, 1))(w, b)
    return [w, b, x, t], [(w - 0.001 * dw).named("v"), (b - 0.001 * db).named("c"), value.named("loss")]


def test_what_is_carried_comes_last_in_a_sum() -> None:
    w, v, b, x, z, t = inputs("w v b x z t")
    step = [w, v, b, x, z, t], [(t - (b + x * w + z * v)).named("y"), v + 1, b + 1]
    assert loops(step, 3)[0] == "y = t - x * w - (b + z * v)"


def test_without_carried_values_nothing_changes() -> None:
    w, b, x, t = inputs("w b x t")
    assert loops(([w, b, x, t], [(t - (b + x * w + t * b)).named("y")]), 0) == ["y = t - (b + x * w + t * b)"]


def test_a_sum_without_products_keeps_its_order() -> None:
    """Somebody may have chosen it: what Kahan's sum loses is 0 in any other."""
    s, x = inputs("s x")
    t = s + x
    step = [s, x], [t, ((t - s) - x).named("lost"), (s + 1e16 - 1e16 + x).named("y")]
    assert loops(step, 1)[-2:] == ["lost = add - s - x", "y = x + (1e+16 + s - 1e+16)"]


@pytest.mark.parametrize(
    "update, wanted",
    [
        (lambda w, x, t: w - 0.001 * x * (-2 * (t - w)), "v = w + 0.002 * x * (t - w)"),
        (lambda w, x, t: w - x * (0.5 * (t - w)), "v = w - 0.5 * x * (t - w)"),
        (lambda w, x, t: w - x * (0.3 * (t - w)), "v = w - x * 0.3 * (t - w)"),
        (lambda w, x, t: w - x * (3 * (t - w)), "v = w - x * (3 * (t - w))"),
        (lambda w, x, t: w - x * (1e-30 * (t - w)), "v = w - x * (1e-30 * (t - w))"),
        (lambda w, x, t: (w - t) * x * (t > 0).astype("float64"), "v = float64(t > 0) * x * (w - t)"),
    ],
    ids=["sign and two", "half", "small", "large", "tiny", "condition"],
)
def test_a_factor_goes_to_what_is_known_first(update: Callable[..., cr.Tensor], wanted: str) -> None:
    w, x, t = inputs("w x t")
    assert loops(([w, x, t], [update(w, x, t).named("v")]), 1) == [wanted]


def test_a_step_of_a_linear_model() -> None:
    """One subtraction and three multiplications with an addition follow one another, in two branches of two."""
    assert loops(linear(lambda y, t: (t - y) ** 2), 2) == [
        "subtract = t - x[0] * w[0] - (b + x[1] * w[1])",
        "c = b + 0.002 * subtract",
        "loss = subtract ** 2",
        "v[0] = w[0] + 0.002 * x[0] * subtract",
        "v[1] = w[1] + 0.002 * x[1] * subtract",
    ]


@pytest.mark.parametrize(
    "loss, count",
    [
        (cr.losses.hinge, 1),
        (lambda y, t: cr.losses.hinge(y, t) + cr.losses.hinge(y + 1, t), 0),
        (lambda y, t: cr.relu(1 - t * y) ** 2, 0),
        (lambda y, t: (t - cr.relu(y)) ** 2, 0),
    ],
    ids=["hinge", "two of them", "not alone", "on the way"],
)
def test_one_condition_that_all_hangs_on_is_foretold(loss: Callable[..., cr.Tensor], count: int) -> None:
    assert "\n".join(loops(linear(loss), 2)).count("foretold(") == count


def test_conditions_of_the_terms_of_a_sum_are_not_foretold() -> None:
    (a,), (x,) = inputs("a"), inputs("x", (9,))
    step = [a, x], [a + 0.1 * ((x * a > 0).astype("float64") * x).sum()]
    assert "foretold" not in "\n".join(loops(step, 1))
    _agree(step, 1, [np.array(0.5), np.linspace(-1.0, 1.2, 9)], 5)


def test_of_a_network_the_condition_of_its_loss_is_foretold() -> None:
    (u,), (w,), (x, t) = inputs("u", (2, 5)), inputs("w", (5,)), [*inputs("x", (2,)), *inputs("t")]
    value, (du, dw) = cr.value_and_grad(lambda u, w: cr.losses.hinge(cr.relu(x @ u) @ w, t), wrt=(0, 1))(u, w)
    found = loops(([u, w, x, t], [u - 0.1 * du, w - 0.1 * dw, value]), 2)
    assert [line for line in found if "foretold(subtract > 0)" in line] and "\n".join(found).count("foretold") == 1


def test_what_is_foretold_is_a_branch_in_machine_code() -> None:
    step, made = linear(cr.losses.hinge), _target()
    module = llvm.parse_assembly(CompiledLoop(Part(*step), Loop(((0, 0), (1, 1)))).code.llvm())
    _optimize(module, made)
    assert re.search(r"br i1 .*!prof", str(module))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e300, 1e-320])
@pytest.mark.parametrize("loss", [cr.losses.squared, cr.losses.hinge], ids=["squared", "hinge"])
def test_extreme_numbers_come_through(loss: Callable[..., cr.Tensor], value: float) -> None:
    with np.errstate(all="ignore"):
        for place in range(3):
            arrays = [np.array([0.5, -0.25]), np.array(0.125), np.array([1.5, -2.0]), np.array(1.0)]
            arrays[2 if place < 2 else 3][(place,) if place < 2 else ()] = value
            _agree(linear(loss), 2, arrays, 3)


def test_pieces_without_elements_are_nothing() -> None:
    w, x, t = *inputs("w x", (1,)), *inputs("t")
    y = cr.concatenate([w[:0], w * x, x[1:]]) * w
    g = cr.grad(lambda w: cr.losses.squared(cr.concatenate([(w * x)[:0], w * x]).sum(), t))(w)
    arrays = [np.array([0.5]), np.array([1.5]), np.array(2.0)]
    _agree(([w, x, t], [w - 0.1 * g, y.sum()]), 1, arrays, 3)


@pytest.mark.parametrize("seed", range(60))
def test_random_steps_agree_with_the_reference(seed: int) -> None:
    """Sums, products, signs and conditions of numbers and small vectors, that wait for one another in any way."""
    rng = np.random.default_rng(seed)
    carried, given = inputs("a b") + inputs("c d", (int(rng.integers(2, 10)),)), inputs("x y")
    made = [*carried, *given]
    for _ in range(20):
        made.append(_random(rng, made))
    outputs = [cr.tanh(_like(made[-1 - i] + 0.5 * x, x)) for i, x in enumerate(carried)]
    arrays = [rng.uniform(-1, 1, x.shape) for x in (*carried, *given)]
    _agree(([*carried, *given], outputs), len(carried), arrays, 4)


def _random(rng: np.random.Generator, made: Sequence[cr.Tensor]) -> cr.Tensor:
    a, b, c = (made[i] for i in rng.integers(len(made), size=3))
    shapes = {x.shape for x in (a, b, c) if x.shape}
    a, b, c = (x if len(shapes) < 2 else x.sum() for x in (a, b, c))
    kinds: list[Callable[[], cr.Tensor]] = [
        lambda: a * b + c, lambda: a - b * 0.01, lambda: -(2 * a), lambda: 0.5 * a * b,
        lambda: a * (b > 0).astype("float64"),
        lambda: a - (b - c), lambda: a * 0.3 * b * c, lambda: (a + b * c) - 4 * a, lambda: cr.tanh(a),
        lambda: a * b + b * c + a * 0.1 + c,
    ]  # fmt: skip
    return kinds[rng.integers(len(kinds))]()


def _like(x: cr.Tensor, other: cr.Tensor) -> cr.Tensor:
    return x if x.shape == other.shape else x.sum() if not other.shape else x.sum() + other


def _agree(step: Step, carried: int, arrays: Sequence[np.ndarray], steps: int) -> None:
    """The steps by machine code, and one by one by the reference."""
    wanted, reference = list(arrays), Program(*step)
    for _ in range(steps):
        wanted[:carried] = reference(*wanted)[:carried]
    found = [array.copy() for array in arrays]
    loop = CompiledLoop(Part(*step), Loop(tuple((i, i) for i in range(carried))))
    loop.run(found, [np.empty(y.shape, y.dtype) for y in step[1]], steps)
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-12)
