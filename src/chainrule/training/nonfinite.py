"""NaN and infinity: found, and traced to the first operation that made one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import NonFiniteError, explain
from chainrule.evaluate import Program
from chainrule.graph import Node
from chainrule.training.step import Array
from chainrule.training.trace import Traced

__all__ = ["all_finite", "explain_nonfinite"]


def all_finite(arrays: Sequence[Array]) -> bool:
    """Whether no float in `arrays` is NaN or infinite."""
    return all(array.dtype.kind != "f" or bool(np.isfinite(array).all()) for array in arrays)


def explain_nonfinite(
    called: str, traced: Traced, data: Sequence[Array], indices: NDArray[np.int64] | None, number: int, seed: int
) -> NonFiniteError:
    """The error for step `number`, which is made once more, node by node, from the carried values before it."""
    step, arrays = traced.step, traced.arrays
    rows = slice(None) if indices is None else indices[0]
    moving = [array[rows] for array in arrays.moving]
    batch = [array[rows].astype(leaf.dtype, copy=False) for array, leaf in zip(data, step.rows, strict=True)]
    values = Program(step.inputs, step.outputs).trace(*arrays.whole, *moving, *batch, np.int64(number), np.int64(seed))
    bad = [node for node, value in values.items() if not node.is_leaf and not all_finite([value])]
    first = min(bad, key=lambda node: node.index) if bad else step.loss
    where = f" in {'.'.join(first.path)}" if first.path else ""
    inputs = ", ".join(_shown(x, values[x]) for x in first.inputs)
    return NonFiniteError(
        explain(
            f"{called}, step {number}",
            f"{first.describe()}{where} became NaN or infinite, from {inputs}",
            "training goes on with finite numbers only; the parameters are left as they were before this step",
            "Try a smaller step size, gradient clipping (clip=optim.ClipByGlobalNorm(1.0)) or standardized data.",
        )
    )


def _shown(node: Node, value: Array) -> str:
    if not value.size:
        return node.label
    return f"{node.label} in [{np.min(value):.4g}, {np.max(value):.4g}]"
