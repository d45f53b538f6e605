"""Optimizers: 100 steps of each against a plain NumPy loop of the published recurrence, and what each can find."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import optim
from chainrule.errors import OptionError
from chainrule.evaluate import Program

STEPS = 100
LR, DECAY = 0.05, 0.1
START = np.array([1.5, -2.0, 0.3])

Gradient = Callable[[np.ndarray], np.ndarray]
Path = list[np.ndarray]


def slope(p: np.ndarray) -> np.ndarray:
    """The gradient of a function that is neither a parabola nor separable: sum(cos(p)) + (p . q)^2."""
    q = np.array([0.3, 0.5, -0.2])
    return np.asarray(-np.sin(p) + 2 * (p @ q) * q)


# The recurrences as their papers state them: (p, gradient, step size) -> 100 points
def sgd(p: np.ndarray, g: Gradient, lr: float) -> Path:
    return [p := p - lr * g(p) for _ in range(STEPS)]


def momentum(p: np.ndarray, g: Gradient, lr: float) -> Path:
    path, v = [], np.zeros_like(p)
    for _ in range(STEPS):
        v = 0.9 * v + g(p)
        p = p - lr * v
        path.append(p)
    return path


def nesterov(p: np.ndarray, g: Gradient, lr: float) -> Path:
    """Sutskever's form, with the gradient at q + mu v; the library's p is that point."""
    path, q, v = [], p, np.zeros_like(p)
    for _ in range(STEPS):
        v = 0.9 * v - lr * g(q + 0.9 * v)
        q = q + v
        path.append(q + 0.9 * v)
    return path


def adagrad(p: np.ndarray, g: Gradient, lr: float) -> Path:
    path, s = [], np.zeros_like(p)
    for _ in range(STEPS):
        s = s + g(p) ** 2
        p = p - lr * g(p) / (np.sqrt(s) + 1e-10)
        path.append(p)
    return path


def rmsprop(p: np.ndarray, g: Gradient, lr: float) -> Path:
    path, v = [], np.zeros_like(p)
    for _ in range(STEPS):
        v = 0.99 * v + 0.01 * g(p) ** 2
        p = p - lr * g(p) / (np.sqrt(v) + 1e-8)
        path.append(p)
    return path


def adam(p: np.ndarray, g: Gradient, lr: float, decoupled: float = 0.0) -> Path:
    path, m, v = [], np.zeros_like(p), np.zeros_like(p)
    for t in range(1, STEPS + 1):
        m = 0.9 * m + 0.1 * g(p)
        v = 0.999 * v + 0.001 * g(p) ** 2
        m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.999**t)
        p = p - lr * (m_hat / (np.sqrt(v_hat) + 1e-8) + decoupled * p)
        path.append(p)
    return path


def adamw(p: np.ndarray, g: Gradient, lr: float) -> Path:
    return adam(p, g, lr, decoupled=0.01)


@dataclass(frozen=True)
class Case:
    optimizer: type[Any]
    published: Callable[[np.ndarray, Gradient, float], Path]
    peer: str  # PyTorch's name
    peer_options: dict[str, Any]
    rosenbrock: float | Callable[..., Any]  # a step size that gets there
    steps: int


CASES = {
    "SGD": Case(optim.SGD, sgd, "SGD", {}, 2e-3, 20_000),
    "Momentum": Case(optim.Momentum, momentum, "SGD", {"momentum": 0.9}, 5e-4, 10_000),
    "Nesterov": Case(optim.Nesterov, nesterov, "SGD", {"momentum": 0.9, "nesterov": True}, 5e-4, 10_000),
    "Adagrad": Case(optim.Adagrad, adagrad, "Adagrad", {}, 0.5, 10_000),
    "RMSProp": Case(optim.RMSProp, rmsprop, "RMSprop", {}, optim.ExponentialDecay(0.01, 0.5, every=1000), 10_000),
    "Adam": Case(optim.Adam, adam, "Adam", {}, 0.02, 5_000),
    "AdamW": Case(optim.AdamW, adamw, "AdamW", {}, 0.02, 5_000),
}


def test_every_optimizer_is_in_the_table() -> None:
    exported = [getattr(optim, name) for name in optim.__all__]
    found = {cls for cls in exported if inspect.isclass(cls) and issubclass(cls, optim.Optimizer)}
    assert found - {optim.Optimizer} == {case.optimizer for case in CASES.values()}


def loss_of(p: cr.Tensor) -> cr.Tensor:
    """What `slope` is the gradient of."""
    return cr.cos(p).sum() + (p * np.array([0.3, 0.5, -0.2])).sum() ** 2


def program(optimizer: optim.Optimizer, loss: Callable[[cr.Tensor], cr.Tensor], p: np.ndarray) -> tuple[Program, list]:
    """One step as a traced graph, and its first (p, state ..., step)."""
    leaf, step = cr.Input(p.shape, p.dtype), cr.Input((), "int64")
    start = {name: value.numpy() for name, value in optimizer.init(cr.as_tensor(p)).items()}
    state = {name: cr.Input(value.shape, value.dtype) for name, value in start.items()}
    new, after = optimizer.update(leaf, cr.gradient(loss(leaf), [leaf])[0], state, step)
    assert after.keys() == start.keys()
    return Program([leaf, *state.values(), step], [new, *after.values()]), [p, *start.values()]


def trajectory(optimizer: optim.Optimizer, steps: int = STEPS, loss: Any = loss_of, p: np.ndarray = START) -> Path:
    run, values = program(optimizer, loss, p)
    path = []
    for step in range(steps):
        values = run(*values, np.int64(step))
        path.append(values[0])
    return path


@pytest.mark.parametrize("name", CASES)
def test_a_hundred_steps_equal_the_published_recurrence(name: str) -> None:
    case = CASES[name]
    np.testing.assert_allclose(trajectory(case.optimizer(LR)), case.published(START, slope, LR), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in CASES if name != "AdamW"])
def test_weight_decay_is_added_to_the_gradient(name: str) -> None:
    case = CASES[name]
    found = trajectory(case.optimizer(LR, weight_decay=DECAY))
    np.testing.assert_allclose(found, case.published(START, lambda p: slope(p) + DECAY * p, LR), rtol=1e-10, atol=1e-12)


def test_weight_decay_of_adamw_is_not() -> None:
    found = trajectory(optim.AdamW(LR, weight_decay=DECAY))
    np.testing.assert_allclose(found, adam(START, slope, LR, decoupled=DECAY), rtol=1e-10, atol=1e-12)
    still = trajectory(optim.AdamW(LR, weight_decay=DECAY), steps=3, loss=lambda p: 0 * p.sum())
    np.testing.assert_allclose(still[-1], START * (1 - LR * DECAY) ** 3, rtol=1e-14)


@pytest.mark.parametrize("name", CASES)
def test_eager_steps_are_the_traced_ones(name: str) -> None:
    optimizer = CASES[name].optimizer(LR)
    p, state = cr.as_tensor(START), optimizer.init(cr.as_tensor(START))
    for step, expected in enumerate(trajectory(optimizer, steps=5)):
        p, state = optimizer.update(p, cr.grad(loss_of)(p), state, cr.as_tensor(step))
        np.testing.assert_array_equal(p, expected)


@pytest.mark.parametrize("name", CASES)
def test_the_dtype_is_kept(name: str) -> None:
    optimizer = CASES[name].optimizer(optim.CosineDecay(LR, 10), weight_decay=0.1)
    p = cr.variable(START.astype("float32"))
    new, state = optimizer.update(p, p * 2, optimizer.init(p), cr.as_tensor(3))
    assert new.dtype == np.float32
    assert {value.dtype for value in state.values()} <= {np.dtype("float32")}


@pytest.mark.parametrize("name", CASES)
def test_the_minimum_of_a_parabola(name: str) -> None:
    lr = optim.ExponentialDecay(0.3, 0.5, every=100) if name == "RMSProp" else 1.0 if name == "Adagrad" else 0.1
    options = {"weight_decay": 0.0} if name == "AdamW" else {}
    goal = np.array([1.0, -3.0])
    end = trajectory(CASES[name].optimizer(lr, **options), 2000, lambda p: ((p - goal) ** 2).sum(), np.zeros(2))[-1]
    np.testing.assert_allclose(end, goal, atol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_the_minimum_of_rosenbrocks_function(name: str) -> None:
    """(1 - a)^2 + 100 (b - a^2)^2 is smallest at (1, 1), at the end of a bent valley."""
    case = CASES[name]
    options = {"weight_decay": 0.0} if name == "AdamW" else {}

    def valley(p: cr.Tensor) -> cr.Tensor:
        return (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2

    end = trajectory(case.optimizer(case.rosenbrock, **options), case.steps, valley, np.array([-1.0, 1.0]))[-1]
    np.testing.assert_allclose(end, [1, 1], atol=0.01)


@pytest.mark.parametrize("name", CASES)
def test_zero_gradients_move_nothing(name: str) -> None:
    options = {"weight_decay": 0.0} if name == "AdamW" else {}
    end = trajectory(CASES[name].optimizer(LR, **options), 3, lambda p: 0 * p.sum())[-1]
    np.testing.assert_array_equal(end, START)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("lr", [-1e-3, np.nan, np.inf, "fast", True, None])
def test_a_step_size_is_finite_and_not_negative(name: str, lr: Any) -> None:
    with pytest.raises(OptionError, match=rf"^{name}: lr = {lr!r}: it is a number, at least 0 and finite"):
        CASES[name].optimizer(lr)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("number", [np.float32(0.125), np.float64(0.125), np.int64(1)])
def test_a_step_size_of_numpys_is_a_number(name: str, number: Any) -> None:
    """And leaves a parameter's dtype."""
    rule = CASES[name].optimizer(number, weight_decay=number)
    assert rule == CASES[name].optimizer(number.item(), weight_decay=number.item())
    p, g, step = cr.Input((2,), "float32"), cr.Input((2,), "float32"), cr.Input((), "int64")
    new, state = rule.update(p, g, rule.init(cr.as_tensor(np.zeros(2, "float32"))), step)
    assert {x.dtype for x in (new, *state.values())} == {np.dtype("float32")}


def test_other_options_of_numpys_are_numbers() -> None:
    assert optim.Momentum(0.1, mu=np.float64(0.5)) == optim.Momentum(0.1, mu=0.5)
    assert optim.ClipByValue(np.int8(2)) == optim.ClipByValue(2)
    with pytest.raises(OptionError, match="SGD: lr = "):
        optim.SGD(np.float64("nan"))
    with pytest.raises(OptionError, match="SGD: lr = "):
        optim.SGD(np.bool_(True))


REFUSED = {
    "mu": (lambda: optim.Momentum(0.1, mu=1.0), "Momentum: mu = 1.0: it is a number, at least 0 and less than 1"),
    "mu of Nesterov": (lambda: optim.Nesterov(0.1, mu=-0.1), "Nesterov: mu = -0.1"),
    "b1": (lambda: optim.Adam(b1=1), "Adam: b1 = 1"),
    "b2": (lambda: optim.AdamW(b2=float("nan")), "AdamW: b2 = nan"),
    "eps": (lambda: optim.Adam(eps=0), "Adam: eps = 0: it is a number, more than 0 and finite"),
    "rho": (lambda: optim.RMSProp(0.1, rho=2), "RMSProp: rho = 2"),
    "Adagrad": (lambda: optim.Adagrad(0.1, eps=-1), "Adagrad: eps = -1"),
    "decay": (lambda: optim.SGD(0.1, weight_decay=-1), "SGD: weight_decay = -1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_options_out_of_range_are_refused(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(OptionError, match=message):
        make()


def test_an_optimizer_without_a_rule_says_so() -> None:
    p = cr.variable(1.0)
    with pytest.raises(NotImplementedError, match=r"Optimizer defines no update\(\)"):
        optim.Optimizer(0.1).update(p, p, {}, cr.as_tensor(0))


def peer_trajectory(torch: Any, case: Case, options: dict[str, Any], schedule: Any = None) -> Path:
    p = torch.tensor(START.copy(), requires_grad=True)
    peer = getattr(torch.optim, case.peer)([p], lr=LR, **case.peer_options, **options)
    scheduler = schedule(peer) if schedule else None
    path = []
    for _ in range(STEPS):
        peer.zero_grad()
        (torch.cos(p).sum() + (p @ torch.tensor([0.3, 0.5, -0.2], dtype=p.dtype)) ** 2).backward()
        peer.step()
        if scheduler:
            scheduler.step()
        path.append(p.detach().numpy().copy())
    return path


@pytest.mark.peers
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("decay", [0.0, DECAY])
def test_pytorch_takes_the_same_path(name: str, decay: float) -> None:
    torch = pytest.importorskip("torch")
    case = CASES[name]
    found = trajectory(case.optimizer(LR, weight_decay=decay))
    np.testing.assert_allclose(found, peer_trajectory(torch, case, {"weight_decay": decay}), rtol=1e-10, atol=1e-12)


SCHEDULES: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "step": (optim.StepDecay(LR, 30, 0.5), "StepLR", {"step_size": 30, "gamma": 0.5}),
    "exponential": (optim.ExponentialDecay(LR, 0.97), "ExponentialLR", {"gamma": 0.97}),
    "cosine": (optim.CosineDecay(LR, STEPS, 0.01), "CosineAnnealingLR", {"T_max": STEPS, "eta_min": 0.01}),
    "warmup": (optim.Warmup(LR, 20), "LinearLR", {"start_factor": 1 / 20, "total_iters": 19}),
    "piecewise": (
        optim.Piecewise((20, 60), (LR, LR / 10, LR / 100)), "MultiStepLR", {"milestones": [20, 60], "gamma": 0.1},
    ),
}  # fmt: skip


@pytest.mark.peers
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_pytorch_takes_the_same_path_on_a_schedule(name: str, schedule: str) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs, options = SCHEDULES[schedule]
    case = CASES[name]
    decay = {"weight_decay": 0.01}
    found = trajectory(case.optimizer(ours, **decay))
    peer = peer_trajectory(torch, case, decay, lambda peer: getattr(torch.optim.lr_scheduler, theirs)(peer, **options))
    np.testing.assert_allclose(found, peer, rtol=1e-10, atol=1e-12)
