"""The first step of a run on both engines, operation by operation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from chainrule.sampling import Sampler
from chainrule.training.step import Array
from chainrule.training.trace import Traced
from chainrule.verify import Verifier

__all__ = ["verify_step"]


def verify_step(traced: Traced, data: Sequence[Array], sampler: Sampler, number: int) -> None:
    """Raises VerificationError where the step `number` differs between the engines; changes nothing."""
    step, arrays = traced.step, traced.arrays
    rows = slice(None) if sampler.kind == "all" else sampler.draw(number, number + 1)[0]
    moving = [array[rows] for array in arrays.moving]
    batch = [array[rows].astype(leaf.dtype, copy=False) for array, leaf in zip(data, step.rows, strict=True)]
    verifier = Verifier(step.inputs, step.outputs)
    verifier.check([*arrays.whole, *moving, *batch, np.int64(number), np.int64(sampler.seed)])
