"""Steps that may change nothing are made in two ways, which give the same bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import losses, nn, optim
from chainrule.compiler.guesses import Guesses
from chainrule.compiler.llvm import compiled
from chainrule.compiler.recent import Recent
from chainrule.compiler.text import Text

ALWAYS, PURE = 1, 10**9  # how rare what is guessed wrong has to be: guess always, or only where nothing was wrong


def moved(model: nn.Module, x: np.ndarray, t: np.ndarray, **options: Any) -> cr.History:
    options = {"steps": 1500, "batch_size": 1, "record_every": 0, **options}
    return cr.fit_data(model, losses.hinge, optim.SGD(0.01), x, t, **options)


def rows(d: int, right: float, dtype: str = "float64", seed: int = 0) -> tuple[nn.Linear, np.ndarray, np.ndarray]:
    """A linear model, and rows of which it is far on the right side for a part, and on the wrong one for the rest."""
    rng = np.random.default_rng(seed)
    model = nn.Linear(d, 1, seed=seed, dtype=dtype)
    w = np.asarray(model.weight.value)[:, 0]
    t = np.where(rng.random(400) < right, 1.0, -1.0)
    x = 20 * w / (w @ w) + 0.1 * rng.standard_normal((400, d))
    return model, x.astype(dtype), t[:, None].astype(dtype)


@pytest.mark.parametrize("right", [0.0, 0.02, 0.5, 0.98, 1.0])
@pytest.mark.parametrize(("d", "dtype"), [(1, "float64"), (2, "float64"), (5, "float32"), (40, "float32")])
def test_both_ways_give_the_same_bits(monkeypatch: pytest.MonkeyPatch, d: int, dtype: str, right: float) -> None:
    model, x, t = rows(d, right, dtype)
    found = []
    for rare in (ALWAYS, PURE, 12):
        monkeypatch.setattr("chainrule.compiler.runtime._CODE", Recent(4))
        monkeypatch.setattr("chainrule.compiler.guesses._RARE", rare)
        cr.nn.Linear.load_state_dict(again := nn.Linear(d, 1, dtype=dtype), model.state_dict())
        history = moved(again, x, t)
        assert "if subtract" in history.compiled.loops() and history.data is not None
        found.append((history.data.tobytes(), history.updates, history.state is not None))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("steps", [1, 255, 256, 257, 600])
@pytest.mark.parametrize("every", [0, 1, 5, 256, 300])
def test_blocks_and_periods(steps: int, every: int) -> None:
    model, x, t = rows(2, 0.5)
    ours, theirs = (moved(model, x, t, steps=steps, record_every=every, engine=e) for e in ("compiled", "reference"))
    assert ours.data is not None and theirs.data is not None
    np.testing.assert_allclose(ours.data, theirs.data, rtol=1e-12)
    np.testing.assert_allclose(ours.loss, theirs.loss, rtol=1e-12)
    assert (ours.updates, ours.final is None) == (theirs.updates, theirs.final is None)


@pytest.mark.parametrize(("held", "dtype"), [("float32", "float64"), ("float64", "float32")])
def test_a_model_of_another_dtype(held: str, dtype: str) -> None:
    """A number that is made wider stays finite."""
    model, x, t = rows(3, 0.9, dtype)
    ours, theirs = (moved(model.astype(held), x, t, engine=engine) for engine in ("compiled", "reference"))
    assert ours.compiled is not None and "if subtract" in ours.compiled.loops()
    assert ours.data is not None and theirs.data is not None
    np.testing.assert_allclose(ours.data, theirs.data, rtol=1e-5)


def network(seed: int) -> nn.Module:
    """As many hidden units as inputs: their gradients are loops over the same space."""
    first, last = nn.Linear(3, 3, seed=seed, dtype="float64"), nn.Linear(3, 1, seed=seed + 1, dtype="float64")
    return nn.Sequential(first, nn.ReLU(), last)


@pytest.mark.parametrize("seed", range(8))
def test_a_network_moves_rows_as_the_reference_does(seed: int) -> None:
    """Of its gradients each element is computed from all of another's."""
    rng = np.random.default_rng(seed)
    x, t = rng.standard_normal((30, 3)), rng.choice([-1.0, 1.0], (30, 1))
    ours, theirs = (moved(network(seed), x, t, steps=900, engine=e) for e in ("compiled", "reference"))
    assert ours.compiled is not None and "if subtract" in ours.compiled.loops()
    assert ours.data is not None and theirs.data is not None
    np.testing.assert_allclose(ours.data, theirs.data, rtol=1e-9)
    assert ours.updates == theirs.updates


def test_a_row_drawn_twice_at_once_moves_once() -> None:
    model, x, t = rows(2, 0.5)
    drawn = [[0, 0], [1, 0], [2, 2]]
    ours, theirs = (
        moved(model, x, t, steps=3, batch_size=2, sampling=drawn, engine=e) for e in ("compiled", "reference")
    )
    assert ours.data is not None and theirs.data is not None
    np.testing.assert_allclose(ours.data, theirs.data, rtol=1e-12)


def test_a_row_and_its_state_are_written_where_they_are_computed() -> None:
    """Of several rows, which may be the same, all are read before any is written."""
    model, x, t = rows(2, 0.5)
    found = []
    for batch in (1, 2):
        rule = optim.Momentum(0.01)
        found.append(cr.fit_data(model, losses.squared, rule, x, t, steps=9, batch_size=batch).compiled.loops())
    one, two = found
    assert "    x[rows[0], i] = subtract_2\n    x/velocity[rows[0], i] = add\n" in one
    assert "\nfor i < 2, j < 2: x[rows[i], j] = subtract_2[i, j]" in two


@pytest.mark.parametrize("number", [np.inf, np.nan])
def test_weights_that_are_not_finite_are_noticed(number: float) -> None:
    """0 times such a weight is not 0. The code kept from finite ones is not used."""
    x, t = np.array([[1.0, 2.0], [3.0, 1.0]]), np.array([[1.0], [1.0]])
    model = nn.Linear(2, 1, seed=0, dtype="float64")
    for weights, stops in (([5.0, 5.0], False), ([number, 5.0], True), ([5.0, 5.0], False)):
        model.load_state_dict({"weight": np.array(weights)[:, None], "bias": np.zeros(1)})
        for engine in ("compiled", "reference"):
            if stops:
                with pytest.raises(cr.errors.NonFiniteError):
                    moved(model, x, t, steps=5, engine=engine)
            else:
                assert moved(model, x, t, steps=5, engine=engine).updates == 0


class Chain(nn.Module):
    """Values that are read one after another, many of them, behind a sum that reads itself."""

    def __init__(self, length: int):
        super().__init__()
        self.length, self.weight = length, cr.Parameter(np.array([[0.5], [0.3]]))

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        y = cr.cumsum(x, axis=1) @ self.weight
        for _ in range(self.length):
            y = y + 0.001 * cr.tanh(y)
        return y


@pytest.mark.parametrize("move", [cr.fit, cr.fit_data])
@pytest.mark.parametrize("length", [0, 400])
def test_a_long_chain_is_asked_once(length: int, move: Any) -> None:
    rng = np.random.default_rng(0)
    x, t, found = rng.standard_normal((20, 2)), rng.choice([-1.0, 1.0], (20, 1)), []
    for engine in ("compiled", "reference"):
        model = Chain(length)
        history = move(model, losses.hinge, optim.SGD(0.01), x, t, steps=3, batch_size=1, engine=engine)
        found.append([model.weight.value, history.loss, *([history.data] if history.data is not None else [])])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10)


@pytest.mark.parametrize("d", [3, 50, 300])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_long_weights_are_left_where_they_are(d: int, dtype: str) -> None:
    rng = np.random.default_rng(d)
    x = rng.standard_normal((100, d)).astype(dtype)
    t = np.sign(x @ rng.standard_normal((d, 1))).astype(dtype)
    found = []
    for engine in ("compiled", "reference"):
        model = nn.Linear(d, 1, seed=0, dtype=dtype)
        history = cr.fit(model, losses.hinge, optim.SGD(0.01), x, t, steps=2000, batch_size=1, engine=engine)
        if engine == "compiled":
            assert "if subtract" in history.compiled.loops()
        found.append([*model.state_dict().values(), history.loss])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3 if dtype == "float32" else 1e-10, atol=1e-5)


def ways(bits: np.ndarray) -> np.ndarray:
    """By which way each step is made whose condition holds as `bits` say: True where it is guessed."""
    text, made = Text(), np.zeros(len(bits), np.int64)

    def once(i: str) -> None:
        at = [text.let(f"getelementptr i64, ptr {array}, i64 {i}") for array in arrays]
        text.count(text.let(f"load i64, ptr {at[0]}"))
        text.do(f"store i64 {int(text.guesses)}, ptr {at[1]}")

    guesses = Guesses(text)
    arrays = [text.let(f"load ptr, ptr {text.let(f'getelementptr ptr, ptr %table, i64 {k}')}") for k in (0, 1)]
    guesses.steps("0", "%steps", once)
    lines = "\n".join([*text.on_entry(), *text.lines])
    head = "define i64 @run(ptr %table, i64 %periods, i64 %steps, i64 %last)"
    code = compiled(f"{head} {{\nentry:\n{lines}\n  ret i64 0\n}}", "run", {})
    table = np.array([bits.ctypes.data, made.ctypes.data])
    code.call(table.ctypes.data, 1, len(bits), 0)
    return made == 1


def test_what_is_mostly_guessed_right_is_guessed() -> None:
    """A block goes the way that suits the one before; the first one is guessed."""
    shares = [0.5, 0.5, 0.0, 0.02, 0.2, 0.98, 1.0, 0.8, 0.5]
    bits = np.concatenate([np.arange(256) < share * 256 for share in shares]).astype(np.int64)
    found = ways(np.append(bits, np.zeros(100, np.int64))).astype(int)
    assert [set(found[start : start + 256]) for start in range(0, len(found), 256)] == [
        {1}, {0}, {0}, {1}, {1}, {0}, {1}, {1}, {0}, {0},
    ]  # fmt: skip


class TwoHeads(nn.Module):
    """One with a hinge, whose condition only its own weights hang on; the other learns at every step."""

    def __init__(self, columns: int, dtype: str):
        self.a, self.b = (nn.Linear(columns, 1, seed=seed, dtype=dtype) for seed in (0, 1))

    def forward(self, x: cr.Tensor) -> tuple[cr.Tensor, cr.Tensor]:
        return self.a(x), self.b(x)


@pytest.mark.parametrize(("columns", "dtype"), [(30, "float32"), (12, "float64"), (16, "float64"), (5, "float64")])
def test_weights_with_gaps_stay_where_the_condition_does_not_hold(columns: int, dtype: str) -> None:
    def loss(y: Any, t: cr.Tensor) -> cr.Tensor:
        wanted = t.reshape((-1, 1))
        return (cr.relu(1 - wanted * y[0]) + (y[1] - wanted) ** 2).sum(axis=1)

    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, columns)).astype(dtype)
    t = np.where(rng.random(200) < 0.5, 1, -1).astype(dtype)
    found = []
    for engine in ("reference", "compiled"):
        model = TwoHeads(columns, dtype)
        cr.fit(model, loss, optim.SGD(1e-3), x, t, steps=800, batch_size=1, record_every=0, engine=engine)
        found.append(model.state_dict())
    for name, value in found[0].items():
        np.testing.assert_allclose(found[1][name], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("seed", range(40))
def test_random_fits_with_a_hinge_agree_with_the_reference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    d, hidden, n, batch = (int(rng.choice(some)) for some in ((1, 2, 3, 8, 40), (0, 0, 1, 3, 8), (1, 3, 50), (1, 1, 2)))
    batch = min(batch, n)
    x, t = rng.standard_normal((n, d)), rng.choice([-1.0, 1.0], (n, 1))
    options: dict[str, Any] = {"batch_size": batch, "steps": int(rng.choice([1, 255, 257, 600])), "seed": seed}
    options["record_every"] = int(rng.choice([0, 7, 256, 300]))
    if rng.random() < 0.3:
        options["sample_weight"] = rng.uniform(0, 2, n)
    rule = (optim.SGD(0.02), optim.SGD(0.02, weight_decay=0.01), optim.Momentum(0.01))[rng.choice([0, 0, 1, 2])]
    moves = (cr.fit_data, cr.fit)[rng.integers(2)]
    found = []
    for engine in ("compiled", "reference"):
        layers = [nn.Linear(d, hidden, seed=seed, dtype="float64"), nn.ReLU()] if hidden else []
        model = nn.Sequential(*layers, nn.Linear(hidden or d, 1, seed=seed, dtype="float64"))
        history = moves(model, losses.hinge, rule, x, t, engine=engine, **options)
        found.append([history.loss, history.updates or 0, *model.state_dict().values()])
        found[-1] += [history.data] if history.data is not None else []
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
