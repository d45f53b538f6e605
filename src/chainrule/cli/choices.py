"""The choices of `chainrule fit` by name: what a word on the command line stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import losses, nn, optim
from chainrule.data.target import Task
from chainrule.errors import OptionError, explain

__all__ = ["MODELS", "OPTIMIZERS", "TaskLoss", "hidden_sizes", "network", "optimizer_named", "task_loss"]

Array = NDArray[Any]
MODELS: Mapping[str, tuple[int, ...]] = {"linear": (), "mlp": (64,)}
MOST_NEURONS = 100_000
# The constructor, and the step size taken where none is given.
OPTIMIZERS: Mapping[str, tuple[Callable[[float], optim.Optimizer], float]] = {
    "adam": (optim.Adam, 1e-3),
    "adamw": (optim.AdamW, 1e-3),
    "sgd": (optim.SGD, 1e-2),
    "momentum": (optim.Momentum, 1e-3),
    "nesterov": (optim.Nesterov, 1e-3),
    "adagrad": (optim.Adagrad, 1e-2),
    "rmsprop": (optim.RMSProp, 1e-3),
}


@dataclass(frozen=True)
class TaskLoss:
    """A loss as one task uses it.

    Attributes:
        loss: (y, t) -> one value a row.
        targets: class numbers (n,) or standardized numbers (n, 1) -> what the loss takes.
        probabilities: scores (n, outputs) -> (n, classes) that add up to 1; None where scores are no probabilities.
    """

    loss: Callable[..., Any]
    targets: Callable[[Array], Array]
    probabilities: Callable[[Array], Array] | None = None


def _column(t: Array) -> Array:
    return t.reshape(len(t), -1).astype(np.float32)


def _signs(t: Array) -> Array:
    return 2 * _column(t) - 1


def _of_logits(y: Array) -> Array:
    """Both classes' probabilities, from the logit of the second; exact also where one is almost 0."""
    logit = y[:, 0].astype(np.float64)
    return np.exp(-np.logaddexp(0, np.column_stack((logit, -logit))))


def _softmax(y: Array) -> Array:
    shifted = np.exp(y.astype(np.float64) - y.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


# The first of a task is its default.
LOSSES: Mapping[Task, Mapping[str, TaskLoss]] = {
    "regression": {
        "squared": TaskLoss(losses.squared, _column),
        "absolute": TaskLoss(losses.absolute, _column),
        "huber": TaskLoss(losses.huber, _column),
    },
    "binary": {
        "logistic": TaskLoss(losses.logistic, _column, _of_logits),
        "hinge": TaskLoss(losses.hinge, _signs),
        "squared": TaskLoss(losses.squared, _signs),
    },
    "multiclass": {"softmax_cross_entropy": TaskLoss(losses.softmax_cross_entropy, lambda t: t, _softmax)},
}


def task_loss(task: Task, name: str | None) -> tuple[str, TaskLoss]:
    """The loss called `name`, None for the task's own; raises OptionError for one that does not fit the task."""
    fitting = LOSSES[task]
    found = next(iter(fitting)) if name is None else name.replace("-", "_")
    if found not in fitting:
        raise _unknown("--loss", name, list(fitting), f"the losses for a {task} target are {', '.join(fitting)}")
    return found, fitting[found]


def optimizer_named(name: str, lr: float | None) -> optim.Optimizer:
    """The optimizer of this name; raises OptionError for another name, or a step size that is none."""
    if name not in OPTIMIZERS:
        raise _unknown("--optimizer", name, list(OPTIMIZERS), f"it is one of {', '.join(OPTIMIZERS)}")
    make, usual = OPTIMIZERS[name]
    return make(usual if lr is None else lr)


def hidden_sizes(model: str) -> tuple[int, ...]:
    """The sizes of the hidden layers: of a named model, or numbers parted by commas.

    >>> hidden_sizes("linear"), hidden_sizes("32,16")
    ((), (32, 16))
    """
    if model in MODELS:
        return MODELS[model]
    parts = [part.strip() for part in model.split(",")]
    if not all(part.isdecimal() and 0 < int(part) <= MOST_NEURONS for part in parts):
        rule = f"it is one of {', '.join(MODELS)}, or the sizes of hidden layers, such as 32,16"
        raise _unknown("--model", model, list(MODELS), rule)
    return tuple(map(int, parts))


def network(inputs: int, hidden: Sequence[int], outputs: int) -> nn.Sequential:
    """Linear layers with ReLU between them: inputs -> hidden ... -> outputs, float32."""
    layers: list[nn.Module] = []
    for size in hidden:
        layers += [nn.Linear(inputs, size, seed=0), nn.ReLU()]
        inputs = size
    return nn.Sequential(*layers, nn.Linear(inputs, outputs, seed=0))


def _unknown(option: str, value: str | None, known: Sequence[str], rule: str) -> OptionError:
    close = get_close_matches(str(value), known, n=1)
    return OptionError(explain(f"{option} {value}", "", rule, f"Is it {close[0]}?" if close else ""))
