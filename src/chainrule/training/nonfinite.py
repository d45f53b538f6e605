"""NaN and infinity: found, and traced to the first place that made one: loss, gradient or update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import NonFiniteError, explain
from chainrule.evaluate import Program
from chainrule.finite import is_finite
from chainrule.graph import Node, walk
from chainrule.training.step import Array
from chainrule.training.trace import Traced

__all__ = ["explain_nonfinite"]

Values: TypeAlias = Mapping[Node, Array]


def explain_nonfinite(
    called: str, traced: Traced, data: Sequence[Array], indices: NDArray[np.int64] | None, number: int, seed: int
) -> NonFiniteError:
    """The error for step `number`, which is made once more, node by node, from the carried values before it."""
    step, arrays = traced.step, traced.arrays
    rows = slice(None) if indices is None else indices[0]
    moving = [array[rows] for array in arrays.moving]
    batch = [array[rows].astype(leaf.dtype, copy=False) for array, leaf in zip(data, step.rows, strict=True)]
    values = Program(step.inputs, step.outputs).trace(*arrays.whole, *moving, *batch, np.int64(number), np.int64(seed))
    what = _in_the_loss(traced, values) or _in_a_gradient(traced, values) or _in_an_update(traced, values)
    moved = "the parameters" if traced.parameters else "the data"
    anew = "model.initialize(seed=0)" if traced.parameters else "a copy of the data"
    again = f" {moved.capitalize()} may be huge by now: begin another run with {anew}." if number else ""
    parts = (
        f"{called}, step {number}",
        what or f"the loss {traced.loss} became NaN or infinite",
        f"training goes on with finite numbers only; {moved} are left as they were before this step",
    )
    repair = "Try a smaller step size, gradient clipping (clip=optim.ClipByGlobalNorm(1.0)) or standardized data."
    error = NonFiniteError(explain(*parts, repair + again))
    error.found = explain(*parts)
    return error


def _in_the_loss(traced: Traced, values: Values) -> str:
    """The first operation of the model, or of the loss, that gave one; empty if all of theirs are finite."""
    first = _first(values, walk([traced.step.loss]))
    if first is None:
        return ""
    found = f"{first.describe()}{_module(first)}"
    if first in set(walk(traced.outputs)):  # by identity: == of tensors is a tensor
        return f"{found} became NaN or infinite, from {_shown(first.inputs, values)}"
    outputs = " and".join(_range(values.get(y)) for y in traced.outputs)
    return (
        f"the loss {traced.loss}, in its {found}, became NaN or infinite, from {_shown(first.inputs, values)},"
        f" with the model's output{outputs}"
    )


def _in_a_gradient(traced: Traced, values: Values) -> str:
    """Whose gradient is not finite, and the line of the user's whose derivative was the first that was not."""
    paths = [repr(path) for path, g in traced.gradients.items() if g in values and not is_finite(values[g])]
    first = _first(values, walk(traced.gradients.values()))
    if first is None or not paths:
        return ""
    line = f", in the derivative of {first.source}{_module(first)}," if first.source else ""
    return f"the gradient of {', '.join(paths)}{line} became NaN or infinite, from {_shown(first.inputs, values)}"


def _in_an_update(traced: Traced, values: Values) -> str:
    """What is moved, or the optimizer's memory of it, that is not finite after a finite gradient."""
    for carry in (*traced.step.whole, *traced.step.moving):
        if carry.after in values and not is_finite(values[carry.after]):
            path = carry.name if carry.name in traced.gradients else carry.name.rpartition("/")[0]
            g = traced.gradients.get(path)
            slope = f" and its gradient{_range(values.get(g))}" if g is not None else ""
            return f"the update of {carry.name!r} became NaN or infinite, from {_shown([carry.before], values)}{slope}"
    return ""


def _first(values: Values, nodes: Sequence[Node]) -> Node | None:
    """The first of `nodes` (inputs before users) that is not finite."""
    return next((node for node in nodes if not node.is_leaf and not is_finite(values[node])), None)


def _module(node: Node) -> str:
    return f" in {'.'.join(node.path)}" if node.path else ""


def _shown(nodes: Sequence[Node], values: Values) -> str:
    """Labels and ranges; without constants where there is something else."""
    told = [node for node in nodes if node.tracked] or nodes
    return ", ".join(node.label + _range(values.get(node)) for node in told)


def _range(value: Array | None) -> str:
    return "" if value is None or not value.size else f" in [{np.min(value):.4g}, {np.max(value):.4g}]"
