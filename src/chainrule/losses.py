"""Losses: plain functions (y, t) -> one value a sample, from the model's output y and the target t.

y and t have one shape, (samples, ...), and a loss is summed over all axes but the first; for numbers it is a number.
A t of shape (n,) is taken for a y of shape (n, 1). Any function of tensors that gives one value a sample, or one
number, is a loss as good as these.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from chainrule.errors import DTypeError, OptionError, ShapeError, TargetError, explain
from chainrule.functions import abs as _abs
from chainrule.functions import expand_dims, logsumexp, relu, softplus, take_along_axis, where
from chainrule.graph import Shape
from chainrule.shaping import call_site, shapes_of
from chainrule.tensor import Tensor, TensorLike, as_float, as_tensor

__all__ = ["absolute", "hinge", "huber", "logistic", "softmax_cross_entropy", "squared", "targets"]

_INTEGERS = "a target is a class's number, an integer"
_AS_INTEGERS = "Convert whole numbers by t.astype(int)."
_ROWS = 65536  # so many targets are looked at together: they may come from a file larger than memory


def targets(check: Callable[[Any, Shape | None], None]) -> Callable[[Callable[..., Tensor]], Any]:
    """Give a loss `check_targets(t, shape=None)`, which raises TargetError for targets it is not defined for.

    `t` is an array, `shape` that of the output y where it is known. A call of the loss checks a t that holds values;
    `fit` checks all of t before it starts.

    >>> hinge.check_targets([1, -1])
    """

    def decorate(loss: Callable[..., Tensor]) -> Any:
        @wraps(loss)
        def checked(y: TensorLike, t: TensorLike, *args: Any, **kwargs: Any) -> Tensor:
            y, t = as_float(y), as_tensor(t)
            if t.value is not None:
                check(t.value, y.shape)
            return loss(y, t, *args, **kwargs)

        def check_targets(t: Any, shape: Shape | None = None) -> None:
            check(as_tensor(t).numpy() if isinstance(t, list | tuple | Tensor) else t, shape)

        found: Any = checked
        found.check_targets = check_targets
        return found

    return decorate


def squared(y: TensorLike, t: TensorLike) -> Tensor:
    """(t - y)^2.

    >>> squared(0.1, 1.0)
    Tensor(0.81)
    """
    y, t = _aligned("squared", y, t)
    return _per_sample((t - y) ** 2)


def absolute(y: TensorLike, t: TensorLike) -> Tensor:
    """|t - y|; the derivative where they are equal is 0.

    >>> absolute([0.0, 1.0], [2.0, 1.0])
    Tensor([2., 0.])
    """
    y, t = _aligned("absolute", y, t)
    return _per_sample(_abs(t - y))


def huber(y: TensorLike, t: TensorLike, delta: float = 1.0) -> Tensor:
    """(t - y)^2 / 2 where |t - y| <= delta, else delta (|t - y| - delta / 2). Huber (1964).

    Another delta for `fit`: `functools.partial(losses.huber, delta=2.0)`.

    >>> huber([0.0, 0.0], [0.5, 3.0])
    Tensor([0.125, 2.5  ])
    """
    if not delta > 0:
        raise OptionError(explain("huber", f"delta = {delta!r}", "it is positive"))
    y, t = _aligned("huber", y, t)
    distance = _abs(t - y)
    return _per_sample(where(distance <= delta, 0.5 * (t - y) ** 2, delta * (distance - 0.5 * delta)))


def _check_signs(t: Any, shape: Shape | None) -> None:
    _check_each("hinge", t, lambda part: abs(part) == 1, "a target is -1 or +1",
                "Convert targets 0 and 1 by 2 * t - 1.")  # fmt: skip


@targets(_check_signs)
def hinge(y: TensorLike, t: TensorLike) -> Tensor:
    """max(0, 1 - t y) for t of -1 or +1; the derivative is -t where t y < 1, else 0 (at the kink too).

    Cortes and Vapnik (1995). Raises TargetError for other targets.

    >>> hinge([0.5, 2.0], [1.0, 1.0])
    Tensor([0.5, 0. ])
    """
    y, t = _aligned("hinge", y, t)
    return _per_sample(relu(1 - t * y))


def _check_bits(t: Any, shape: Shape | None) -> None:
    _check_each("logistic", t, lambda part: (part == 0) | (part == 1), "a target is 0 or 1",
                "Convert targets -1 and +1 by (t + 1) / 2.")  # fmt: skip


@targets(_check_bits)
def logistic(y: TensorLike, t: TensorLike) -> Tensor:
    """log(1 + exp(y)) - t y for t of 0 or 1: minus the log of the probability of t, where y is the logit of 1.

    The derivative is sigmoid(y) - t. Raises TargetError for other targets.

    >>> logistic([0.0], [1.0])
    Tensor([0.69314718])
    """
    y, t = _aligned("logistic", y, t)
    return _per_sample(softplus(y) - t * y)


def _check_labels(t: Any, shape: Shape | None) -> None:
    called, repair = "softmax_cross_entropy", "Number the classes from 0: t = numpy.unique(t, return_inverse=True)[1]."
    if t.dtype.kind not in "iu":
        raise TargetError(explain(called, f"targets of {t.dtype}", _INTEGERS, f"{_AS_INTEGERS} {repair}"))
    top = shape[-1] if shape else None
    columns = "1 column" if top == 1 else f"{top} columns"
    rule = "a target is a class's number, from 0" + (f" to {top - 1}: y has {columns}" if top else " up")
    if top and t.size:
        classes = max(int(t.max()) + 1, 2)
        if classes > top:
            more = f"Give the model {classes} outputs, one a class (the largest label + 1)"
            repair = f"{more}, with the classes numbered from 0." if int(t.min()) < 0 else f"{more}."
    _check_each(called, t, lambda part: (part >= 0) & (part < top) if top else part >= 0, rule, repair)


@targets(_check_labels)
def softmax_cross_entropy(y: TensorLike, t: TensorLike) -> Tensor:
    """log(sum_j exp(y_j)) - y_t: minus the log of the softmax probability of class t.

    Args:
        y: logits (n, k), one column a class.
        t: the classes' numbers, 0 to k - 1, integers of shape (n,) or (n, 1).

    The derivative is softmax(y) - one_hot(t). Raises TargetError for other targets.

    >>> softmax_cross_entropy([[0.0, 0.0]], [1])
    Tensor([0.69314718])
    """
    y, t = as_float(y), as_tensor(t)
    if not y.shape or t.shape not in (y.shape[:-1], (*y.shape[:-1], 1)):
        raise ShapeError(
            explain(
                call_site("softmax_cross_entropy", y, t),
                shapes_of(y, t),
                "y has a column for every class, and t one label for every row of y",
                "Of one-hot targets take the labels: t.argmax(axis=1).",
            )
        )
    if t.dtype.kind not in "iu":
        raise DTypeError(
            explain(call_site("softmax_cross_entropy", y, t), f"targets of {t.dtype}", _INTEGERS, _AS_INTEGERS)
        )
    labels = t if t.ndim == y.ndim else expand_dims(t, t.ndim)
    found = logsumexp(y, -1) - take_along_axis(y, labels, -1).reshape(y.shape[:-1])
    return _per_sample(found)


def _aligned(called: str, y: TensorLike, t: TensorLike) -> tuple[Tensor, Tensor]:
    """y and t of one shape; integer targets in y's dtype."""
    y, t = as_float(y), as_tensor(t)
    t = t if t.dtype.kind == "f" else t.astype(y.dtype)
    if y.shape == (*t.shape, 1) and t.ndim == 1:
        t = expand_dims(t, 1)
    if y.shape != t.shape:
        raise ShapeError(
            explain(
                call_site(called, y, t),
                f"the output {y.label} is {y.shape}, the target {t.label} is {t.shape}",
                "they must have one shape, and are not broadcast",
                f"Give the model the outputs that t has, or reshape: t.reshape({y.shape})."
                if y.size == t.size
                else "Give the model one output for every column of t, and a row for every row.",
            )
        )
    return y, t


def _per_sample(values: Tensor) -> Tensor:
    return values.sum(tuple(range(1, values.ndim))) if values.ndim > 1 else values


def _check_each(called: str, t: Any, good: Callable[[Any], Any], rule: str, repair: str) -> None:
    flat = t.reshape(-1)
    for start in range(0, len(flat), _ROWS):
        part = flat[start : start + _ROWS]
        found = good(part)
        at = int(found.argmin())
        if not found[at]:
            width = max(1, t.size // max(1, len(t))) if t.shape else 1
            got = f"target {part[at].item()!r} in row {(start + at) // width}"
            raise TargetError(explain(called, got, rule, repair))
