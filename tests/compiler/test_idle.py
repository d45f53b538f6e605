"""Updates by nothing are left out where, and only where, they are nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler import CompiledLoop, guesses, runtime
from chainrule.compiler.carried import Loop
from chainrule.compiler.compilation import Part
from chainrule.compiler.recent import Recent
from chainrule.evaluate import Program

Step = tuple[list[cr.Tensor], list[cr.Tensor]]


@pytest.fixture(params=["true", "false"], ids=["guessed", "chosen"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a branch or by a choice, where a step can be made in both ways."""
    monkeypatch.setattr(guesses, "_FIRST", request.param)
    monkeypatch.setattr(runtime, "_CODE", Recent(16))


def inputs(names: str, size: tuple[int, ...] = ()) -> list[cr.Tensor]:
    return [cr.Input(size, "float64", name=name) for name in names.split()]


def linear(
    loss: Callable[..., cr.Tensor] = cr.losses.hinge, change: Callable[[cr.Tensor], cr.Tensor] = lambda g: g
) -> Step:
    """A step of a linear model on one row."""
    w, x, b, t = *inputs("w x", (2,)), *inputs("b t")
    value, (dw, db) = cr.value_and_grad(lambda w, b: loss(x @ w + b, t), wrt=(0, 1))(w, b)
    return [w, b, x, t], [w - 0.001 * change(dw), b - 0.001 * change(db), value]


def compiled(step: Step, carried: int, finite: Sequence[int] = (2, 3)) -> CompiledLoop:
    return CompiledLoop(Part(*step), Loop(tuple((i, i) for i in range(carried)), finite=frozenset(finite)))


def run(loop: CompiledLoop, step: Step, arrays: Sequence[np.ndarray], steps: int) -> list[np.ndarray]:
    found = [array.copy() for array in arrays]
    results = [np.empty(y.shape, y.dtype) for y in step[1]]
    loop.run(found, results, steps)
    return [*found, results[-1]]


def test_a_hinge_moves_nothing_where_it_is_0() -> None:
    text = compiled(linear(), 2).code.loops()
    head, inside = text.split("if subtract")
    assert "maximum(" in head and all(line.startswith("    ") for line in inside.splitlines()[1:])
    assert inside.count(" - 0.001 * ") == 3 and "foretold" not in text


@pytest.mark.parametrize(
    ("step", "finite"),
    [
        (linear(), ()),  # 0 times infinity is not 0
        (linear(), (2,)),
        (linear(cr.losses.squared), (2, 3)),
        (linear(lambda y, t: cr.losses.hinge(y, t) + y**2), (2, 3)),
        (linear(change=lambda g: 1e3 * g / (1 - g)), (2, 3)),
        (linear(change=lambda g: g + 1), (2, 3)),
        (linear(change=lambda g: g * np.inf), (2, 3)),
    ],
    ids=["unknown numbers", "one unknown", "no condition", "a sum", "a quotient", "and more", "times infinity"],
)
def test_all_else_is_always_made(step: Step, finite: Sequence[int]) -> None:
    assert "if " not in compiled(step, 2, finite).code.loops()


def test_what_others_read_is_always_made() -> None:
    inputs_, (w, b, value) = linear()
    text = compiled((inputs_, [w, b, value, (inputs_[1] - b) * 3.0]), 2).code.loops()
    always, inside = text.split("if subtract")
    assert "b' = " in always and "w'[0] = " in inside and "b'" not in inside


@pytest.mark.parametrize("seed", range(20))
def test_the_numbers_are_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    step = linear()
    arrays = [np.array(rng.standard_normal(size)) for size in (2, (), 2)] + [np.array(rng.choice([-1.0, 1.0]))]
    wanted, reference = list(arrays), Program(*step)
    for _ in range(300):
        *wanted[:2], loss = reference(*wanted)
    left_out, made = (run(compiled(step, 2, finite), step, arrays, 300) for finite in ((2, 3), ()))
    for ours, others, theirs in zip(left_out, made, [*wanted, loss], strict=True):
        np.testing.assert_array_equal(ours, others)
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_a_condition_that_reads_what_changes() -> None:
    w, v, x, y = inputs("w v x y")
    bit = (w * x + v > 0).astype("float64")
    step = [w, v, x, y], [w - 0.25 * (bit * y), v - 0.5 * (bit * x), w + v]
    arrays = [np.array(1.0), np.array(0.5), np.array(0.75), np.array(0.5)]
    wanted, reference = list(arrays), Program(*step)
    for _ in range(9):
        *wanted[:2], total = reference(*wanted)
        found = run(compiled(step, 2), step, arrays, _ + 1)
        np.testing.assert_allclose(found, [*wanted, total], rtol=1e-14)


def test_a_condition_that_reads_what_lies_with_gaps() -> None:
    """The steps have a copy of `c`, whose 9 elements fill no whole vectors."""
    (b, x), (c, y) = inputs("b x"), inputs("c y", (9,))
    bit = (x - (c * y).sum() > 0).astype("float64")
    step = [b, c, x, y], [b + bit * x, cr.tanh(c - 0.5 * y), 1.0 * bit]
    arrays = [np.array(0.25), np.full(9, 0.5), np.array(0.5), np.full(9, 0.5)]  # it holds from the third step on
    loop, reference, wanted = compiled(step, 2), Program(*step), list(arrays)
    assert "if " in loop.code.loops()
    for steps in range(1, 9):
        *wanted[:2], _ = reference(*wanted)
        for ours, theirs in zip(run(loop, step, arrays, steps)[:2], wanted[:2], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-14)


@pytest.mark.parametrize("always", [0, 1])
def test_elements_of_which_one_is_always_made(always: int) -> None:
    (w, x), (t,) = inputs("w x", (2,)), inputs("t")
    margin = t - x @ w
    after = [w[i : i + 1] - 0.5 * ((margin > 0).astype("float64") * x[i : i + 1]) for i in range(2)]
    after[always] = after[always] - 0.125 * w[always : always + 1]
    step = [w, x, t], [cr.concatenate(after), cr.relu(margin)]
    arrays = [np.array([0.25, 0.5]), np.array([1.0, -0.5]), np.array(1.0)]
    loop = compiled(step, 1, (1, 2))
    for steps in range(1, 7):
        wanted, reference = list(arrays), Program(*step)
        for _ in range(steps):
            wanted[0] = reference(*wanted)[0]
        np.testing.assert_allclose(run(loop, step, arrays, steps)[0], wanted[0], rtol=1e-14)


@pytest.mark.parametrize("seed", range(40))
def test_random_updates_agree_with_the_reference(seed: int) -> None:
    """Some are left out, some are always made, some results are read by others."""
    rng = np.random.default_rng(seed)
    step = _random_step(rng)
    arrays = [np.array(rng.uniform(-1, 1, leaf.shape)) for leaf in step[0]]
    wanted, reference = list(arrays), Program(*step)
    for _ in range(7):
        wanted[:3] = reference(*wanted)[:3]
    found = run(compiled(step, 3, range(3, 6 if seed % 4 else 5)), step, arrays, 7)
    for ours, theirs in zip(found[:3], wanted[:3], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


def _random_step(rng: np.random.Generator) -> Step:
    """Weights w, b and a number c besides, moved by a product with one condition, or by more than that."""
    (w, x), (b, c, t, z) = inputs("w x", (int(rng.integers(1, 9)),)), inputs("b c t z")
    y = (w * x).sum() + b
    margin = (1 - t * y, t - y, 1 - t * y - 0.1 * z)[rng.integers(3)]
    bit = (margin > 0).astype("float64")
    g = (bit * t, -(bit * t), 0.3 * bit * z, bit * (t * z))[rng.integers(4)]
    dw = (g * x, 0.5 * x * g)[rng.integers(2)]
    after = [
        (w - 0.5 * dw, w + dw, 0.5 * dw + w, w - 0.5 * dw - 0.01 * w)[rng.integers(4)],
        (b - 0.5 * g, b + g, b - 0.5 * g, 0.9 * b - g)[rng.integers(4)],
        (0.9 * c + 0.1, c - 0.1 * cr.tanh(w.sum()), c + g, c)[rng.integers(4)],
    ]
    others = [other for other in (after[0].sum(), 3.0 * g, w.sum() * b) if rng.random() < 0.2]
    return [w, b, c, x, t, z], [*after, cr.relu(margin), *others]


@pytest.mark.parametrize("wanted", [(1, 0), (0, 1), (0, 0)])
def test_elements_that_read_one_another(wanted: tuple[int, int]) -> None:
    """Each is written by itself: an update in place must not take a new one for an old one."""
    w, x = inputs("w", (2,))[0], inputs("x")[0]
    step = [w, x], [0.5 * w[list(wanted)] + x * w[0] * w[1], w.sum()]
    arrays = [np.array([1.0, 3.0]), np.array(0.125)]
    after, reference = list(arrays), Program(*step)
    for _ in range(4):
        after[0] = reference(*after)[0]
    np.testing.assert_allclose(run(compiled(step, 1, ()), step, arrays, 4)[0], after[0], rtol=1e-14)


@pytest.mark.parametrize("weights", [None, "weights"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_fit_is_that_of_the_reference(dtype: str, weights: str | None) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 3)).astype(dtype)
    t = np.sign(x[:, 0] - 0.3 * x[:, 1] + 0.1).astype(dtype)
    options = {"sample_weight": rng.uniform(0, 2, 60)} if weights else {}
    found = []
    for engine in ("compiled", "reference"):
        model = cr.nn.Linear(3, 1, seed=0, dtype=dtype)
        history = cr.fit(
            model, cr.losses.hinge, cr.optim.SGD(0.02), x, t, steps=900, batch_size=1, record_every=100, engine=engine,
            **options,
        )  # fmt: skip
        found.append([*model.state_dict().values(), history.loss])
        if engine == "compiled" and (dtype, weights) != ("float32", "weights"):  # they are float64, and might overflow
            assert "if subtract" in history.compiled.loops()
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4 if dtype == "float32" else 1e-12, atol=1e-6)


@pytest.mark.parametrize("seed", range(80))
def test_random_steps_agree_with_the_reference(seed: int) -> None:
    """Numbers and vectors that are carried; one condition that may read any of them; other changes beside."""
    rng = np.random.default_rng(seed)
    step = _random_graph(rng)
    arrays = [np.array(rng.uniform(-1, 1, leaf.shape)) for leaf in step[0]]
    steps, wanted, reference = int(rng.integers(1, 6)), list(arrays), Program(*step)
    for _ in range(steps):
        wanted[:4] = reference(*wanted)[:4]
    found = run(compiled(step, 4, (4, 5, 6) if seed % 4 else ()), step, arrays, steps)
    for ours, theirs in zip(found[:4], wanted[:4], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-10)


def _random_graph(rng: np.random.Generator) -> Step:
    m = int(rng.integers(2, 12))
    (a, b, x, z), (c, d, y) = inputs("a b x z"), inputs("c d y", (m,))
    margin = x - a * z - (c * y).sum()
    bit = (margin > 0).astype("float64")
    made: list[cr.Tensor] = [a, b, c, d, x, y, z]
    for _ in range(int(rng.integers(2, 20))):
        u, v = (made[i] for i in rng.integers(len(made), size=2))
        results = u * v + 0.5, u - 0.01 * v, cr.tanh(u), cr.relu(u - v), bit * u * 0.1, u / (1 + v * v), u.sum() * v, -u
        made.append(results[rng.integers(len(results))])

    def like(value: cr.Tensor, other: cr.Tensor) -> cr.Tensor:
        return value if value.shape == other.shape else value.sum() + 0 * other

    after = []
    for leaf in (a, b, c, d):
        given, other = like((x, y, z)[rng.integers(3)], leaf), like(made[-1 - rng.integers(3)], leaf)
        updates = leaf - 0.05 * (bit * given), leaf + bit * 0.1 * given, leaf - 0.02 * cr.tanh(other), cr.tanh(other)
        after.append(updates[rng.choice([0, 0, 1, 1, 2, 3])])
    others = [cr.relu(margin), cr.tanh(made[-1].sum())]
    return [a, b, c, d, x, y, z], [*after, *others[: 1 + rng.integers(2)]]
