"""The one source of randomness: a counter-based generator (Philox 4x64-10; Salmon et al., 2011).

Draw number j of (seed, stream, step) is a pure function of those four numbers: nothing is remembered between draws,
so any step can be replayed. With key (seed, stream) the block at counter (j // 4 + 1, step, 0, 0) gives the 64-bit
words 4 (j // 4) .. 4 (j // 4) + 3; word w becomes (k + 1/2) / 2^52 with k = w >> 12 (float32: / 2^23, k = w >> 41),
a number strictly between 0 and 1, exact in its dtype.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.dtypes import DType
from chainrule.formula import Affine, Expr, Operand, const
from chainrule.graph import Shape
from chainrule.primitive import Flat, Primitive


def words(seed: int, stream: int, step: int, count: int, first: int = 0) -> np.ndarray:
    """`count` raw 64-bit words of (seed, stream, step), from number `first` on."""
    key = np.array([seed, stream], np.uint64)
    block, skipped = divmod(first, 4)
    generator = np.random.Philox(key=key, counter=np.array([block, step, 0, 0], np.uint64))
    return generator.random_raw(skipped + count)[skipped:]


def _evaluate(seed: Any, step: Any, *, stream: int, shape: Shape, dtype: DType) -> Any:
    raw = words(int(seed), stream, int(step), int(np.prod(shape))).reshape(shape)
    if dtype == np.float32:
        return ((raw >> np.uint64(41)).astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-23)
    return ((raw >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def _formula(
    operands: Sequence[Operand], index: tuple[Affine, ...], *, stream: int, shape: Shape, dtype: DType
) -> Expr:
    position = Affine()
    for k, n in zip(index, shape, strict=True):
        position = position * n + k
    seed, step = (x[()].astype(np.dtype("uint64")) for x in operands)
    word = np.dtype("uint64")
    where = Expr("position", (), word, position)
    raw = Expr("philox", (seed, const(stream, word), step, where), word)
    bits = 23 if dtype == np.float32 else 52
    k = (raw >> const(64 - bits, word)).astype(dtype)
    return (k + 0.5) * 2.0**-bits


uniform = Primitive(
    "uniform",
    shape=lambda seed, step, *, stream, shape, dtype: shape,
    evaluate=_evaluate,
    derivative=Flat("a draw does not depend on any value"),
    batch=None,
    dtype=lambda seed, step, *, stream, shape, dtype: dtype,
    lower=_formula,
)
