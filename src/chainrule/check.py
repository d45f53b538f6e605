"""Derivatives compared with finite differences, and what is off said by name, index and amount."""

from __future__ import annotations

import inspect
import itertools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from chainrule.autodiff import Function, gradient, tangent
from chainrule.dtypes import is_float
from chainrule.errors import GradientError, OptionError, explain
from chainrule.evaluate import Program
from chainrule.graph import Node, Source, origin_of, user_line, walk
from chainrule.primitives.elementwise import cast
from chainrule.tensor import Input, Parameter, Tensor, TensorLike, as_tensor, variable

__all__ = ["KinkWarning", "check_grads"]

MODES = ("forward", "reverse")


class KinkWarning(UserWarning):
    """The function was not differentiable at a point where its derivative was to be checked."""


def check_grads(
    f: Function,
    *args: TensorLike,
    parameters: Sequence[Parameter] = (),
    order: int = 2,
    modes: Sequence[str] = MODES,
    rtol: float = 1e-6,
    eps: float | None = None,
) -> None:
    """Compares the derivatives of `f` with central finite differences, element by element, in float64.

    Args:
        f: a function of tensors; it returns a tensor of any shape, or a tuple or list of them.
        args: where to check. Floats are differentiated for; integers and booleans stay as they are.
        parameters: what else to differentiate for: parameters that `f` uses.
        order: up to which order; the second is the derivative of the first, in every nesting of `modes`.
        modes: "forward", "reverse", or both.
        rtol: how far the two may be apart, relative to the largest derivative for that input.
        eps: the step of the differences, relative to max(1, |x|); None: 1e-3. The error is of order eps^4.

    At a kink (relu at 0) any slope between those of the two sides is accepted, at a jump any at all, with a KinkWarning
    that names the place: a subgradient is a choice. Python branches are taken once, as they are at `args`. All of `f`
    is computed in float64, whatever the dtypes of arguments, parameters and casts.

    Raises GradientError that names the input, the index, both numbers, the mode and the order; OptionError for an order
    below 1 or another mode.

    >>> check_grads(lambda x, y: (x * y).sum(), [1.0, 2.0], [3.0, 4.0])
    """
    if order < 1 or not modes or set(modes) - set(MODES):
        raise OptionError(
            explain("check_grads", f"order={order}, modes={modes}", f"order is 1 or more, modes are among {MODES}")
        )
    names = [*_names(f, args), *(p.name or f"parameter {i}" for i, p in enumerate(parameters))]
    arguments = [variable(as_tensor(x).numpy()) for x in args]
    results = f(*arguments)
    leaves: dict[Node, Tensor] = {
        x: variable(_wide(x.numpy()), name) for x, name in zip([*arguments, *parameters], names, strict=True)
    }
    outputs = _in_float64([as_tensor(y) for y in (results if isinstance(results, tuple | list) else [results])], leaves)
    value = _weighted(outputs, 0)
    named = [(name, x) for name, x in zip(names, leaves.values(), strict=True) if is_float(x.dtype)]
    place = user_line()
    _Check(getattr(f, "__name__", "f"), place, tuple(named), tuple(modes), rtol, 1e-3 if eps is None else eps).up_to(
        order, value
    )


def _names(f: Function, args: Sequence[TensorLike]) -> list[str]:
    """What to call the arguments: their own names, else those of the parameters of `f`."""
    try:
        kinds = inspect.signature(f).parameters.values()
        formal = [p.name for p in kinds if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    except (TypeError, ValueError):
        formal = []
    filled = itertools.chain(formal, (f"argument {i}" for i in itertools.count(len(formal))))
    return [x.name if isinstance(x, Tensor) and x.name else name for x, name in zip(args, filled, strict=False)]


def _wide(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64) if is_float(array.dtype) else array


def _in_float64(outputs: Sequence[Tensor], leaves: Mapping[Node, Tensor]) -> list[Tensor]:
    """The graph of `outputs` built anew on `leaves`, in float64."""
    found: dict[Node, Tensor] = dict(leaves)
    for node in walk(outputs):
        if node in found:
            continue
        if node.primitive is None:
            assert isinstance(node, Tensor)
            found[node] = as_tensor(_wide(node.numpy()))
        elif node.primitive is cast and is_float(node.dtype):
            found[node] = as_tensor(found[node.inputs[0]], np.float64)
        else:
            with origin_of(node):
                y = node.primitive(*(found[x] for x in node.inputs), **node.attrs)
            found[node] = as_tensor(y, np.float64) if is_float(y.dtype) else y
    return [found[y] for y in outputs]


def _weighted(tensors: Sequence[Tensor], salt: int) -> Tensor:
    """One number in which every element has a weight of its own, so that no two errors cancel."""
    total = as_tensor(0.0)
    for i, y in enumerate(tensors):
        if is_float(y.dtype):
            total = total + (y * _weights(y, salt, i)).sum()
    return total


def _weights(x: Tensor, salt: int, i: int) -> np.ndarray:
    if i == 0 and x.size == 1:
        return np.ones(x.shape)
    draws: np.ndarray = np.random.default_rng([salt, i]).uniform(0.5, 1.5, x.shape)
    return draws


@dataclass(frozen=True)
class _Check:
    """What stays the same from order to order."""

    function: str
    place: Source | None
    leaves: tuple[tuple[str, Tensor], ...]
    modes: tuple[str, ...]
    rtol: float
    eps: float
    history: str = ""  # the modes of the orders below

    @property
    def called(self) -> str:
        return f"check_grads of {self.function}" + (f" at {self.place}" if self.place else "")

    def up_to(self, order: int, value: Tensor) -> None:
        """Checks the derivative of the number `value`, and goes on with that derivative."""
        evaluate = self._evaluator([value])
        for mode in self.modes:
            for i, analytic in enumerate(self._forward(value) if mode == "forward" else self._reverse(value)):
                self._compare(mode, i, analytic, lambda arrays: float(evaluate(arrays)[0]))
        if order > 1:
            for mode in self.modes:
                replace(self, history=f" over {mode}{self.history}").up_to(order - 1, self._slope(value, mode))

    def _evaluator(self, outputs: Sequence[Tensor], more: Sequence[Tensor] = ()) -> Callable[..., list[np.ndarray]]:
        program = Program([*(x for _, x in self.leaves), *more], outputs)
        return lambda arrays, directions=(): program(*arrays, *directions)

    def _point(self) -> list[np.ndarray]:
        return [x.numpy() for _, x in self.leaves]

    def _reverse(self, value: Tensor) -> list[np.ndarray]:
        return self._evaluator(gradient(value, [x for _, x in self.leaves]))(self._point())

    def _forward(self, value: Tensor) -> Iterator[np.ndarray]:
        """One tangent for every element of every input; its graph is made once."""
        directions = [Input(x.shape, np.float64) for _, x in self.leaves]
        slope = tangent([value], {x: d for (_, x), d in zip(self.leaves, directions, strict=True)})
        evaluate = self._evaluator(slope, directions)
        zeros = [np.zeros(d.shape) for d in directions]
        for i, d in enumerate(directions):
            found = np.zeros(d.shape)
            for index in np.ndindex(*d.shape):
                one = np.zeros(d.shape)
                one[index] = 1
                found[index] = evaluate(self._point(), [*zeros[:i], one, *zeros[i + 1 :]])[0]
            yield found

    def _slope(self, value: Tensor, mode: str) -> Tensor:
        """The derivative of `value` in one direction, as a graph: what the next order differentiates."""
        leaves = [x for _, x in self.leaves]
        if mode == "reverse":
            return _weighted(gradient(value, leaves), 1)
        return tangent([value], {x: _weights(x, 1, i) for i, x in enumerate(leaves)})[0]

    def _compare(self, mode: str, i: int, analytic: np.ndarray, f: Callable[[list[np.ndarray]], float]) -> None:
        lines = [_Line(f, self._point(), i, index, self.eps) for index in np.ndindex(*analytic.shape)]
        numeric = np.array([line.slope() for line in lines]).reshape(analytic.shape)
        scale = np.abs(numeric).max(initial=0)
        roundoff = 1e-14 * max(1.0, abs(f(self._point()))) / self.eps
        wrong = ~(np.abs(analytic - numeric) <= self.rtol * scale + roundoff)  # NaN is wrong
        for k in np.flatnonzero(wrong):
            excuse = lines[k].excuse(analytic.flat[k], numeric.flat[k])
            wrong.flat[k] = excuse is None
            if excuse:
                self._warn(self._title(mode, i, analytic.shape, int(k)), excuse)
        if wrong.any():
            raise GradientError(self._message(mode, i, analytic, numeric, wrong))

    def _title(self, mode: str, i: int, shape: tuple[int, ...], k: int) -> str:
        index = tuple(map(int, np.unravel_index(k, shape)))
        kind = f"{mode} mode" if not self.history else f"{mode}{self.history}"
        return f"order {self.history.count('over') + 1}, {kind}: input '{self.leaves[i][0]}', index {index}"

    def _message(self, mode: str, i: int, analytic: np.ndarray, numeric: np.ndarray, wrong: np.ndarray) -> str:
        off = np.where(wrong, np.abs(analytic - numeric), -1.0)
        k = int(np.argmax(np.where(np.isnan(off), np.inf, off)))
        a, b = float(analytic.flat[k]), float(numeric.flat[k])
        relative = f" ({abs(a - b) / abs(b):.2g} relative)" if b else ""
        return explain(
            self.called,
            f"{self._title(mode, i, analytic.shape, k)}: the derivative is {a:.10g}, finite differences give {b:.10g}, "
            f"off by {abs(a - b):.3g}{relative}",
            f"{int(wrong.sum())} of {wrong.size} elements of this input are off",
            "Look for a wrong derivative in a custom operation that this input goes through.",
        )

    def _warn(self, title: str, excuse: str) -> None:
        text = explain(
            self.called, f"{title}: {excuse}", "there is no derivative to compare with", "Move the point a little."
        )
        file, line = (self.place.file, self.place.line) if self.place else ("<unknown>", 0)
        warnings.warn_explicit(text, KinkWarning, file, line)


@dataclass(frozen=True)
class _Line:
    """f along one element of one of its arguments."""

    f: Callable[[list[np.ndarray]], float]
    point: list[np.ndarray]
    argument: int
    index: tuple[int, ...]
    eps: float

    def at(self, step: float) -> float:
        """f with the element moved by `step`."""
        moved = self.point[self.argument].copy()
        moved[self.index] += step
        return self.f([*self.point[: self.argument], moved, *self.point[self.argument + 1 :]])

    @property
    def step(self) -> float:
        return self.eps * max(1.0, abs(float(self.point[self.argument][self.index])))

    def slope(self) -> float:
        """The central difference of fourth order."""
        h = self.step
        near, far = self.at(h) - self.at(-h), self.at(2 * h) - self.at(-2 * h)
        return (8 * near - far) / (12 * h)

    def excuse(self, analytic: float, numeric: float) -> str | None:
        """Why `analytic` may be right although it is not `numeric`: "" or what to warn of; None: it is wrong.

        From a step to an eighth of it, what two sides differ by falls to an eighth where f is smooth: their values at a
        point without a jump, their slopes at a point without a kink.
        """
        h = self.step / 512
        far, near, middle, right, beyond = (self.at(k * h) for k in (-8, -1, 0, 1, 8))
        tolerance = 1e-5 * max(1.0, abs(middle), abs(numeric))
        close = (right - near) / (2 * h)
        if abs(numeric - close) > tolerance >= abs(analytic - close):
            return ""  # the kink is off the point, and only the wide step met it
        if abs(right - near) > max(0.5 * abs(beyond - far), 1e-6):
            return f"the value jumps from {near:.6g} to {right:.6g}"
        low, high = sorted([(middle - near) / h, (right - middle) / h])
        bend = abs(beyond - 2 * middle + far) / (8 * h)
        kinked = high - low > max(0.5 * bend, tolerance) and low - tolerance <= analytic <= high + tolerance
        return f"the slopes of the two sides are {low:.6g} and {high:.6g}" if kinked else None
