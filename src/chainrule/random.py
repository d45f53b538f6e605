"""Random draws without hidden state: every draw is a function of (seed, stream, step) and its position.

The generator is Philox 4x64-10 (Salmon et al., 2011), counter-based: nothing is remembered between draws, so any step
of any run can be replayed, and the numbers are promised across versions and engines. `seed` says which run, `stream`
what the draws are for, `step` when. `seed` and `step` may be placeholders.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from chainrule.dtypes import checked, is_whole
from chainrule.errors import OptionError, explain
from chainrule.functions import floor, ndtri
from chainrule.primitives import random as _random
from chainrule.tensor import Tensor, TensorLike, as_tensor, cast_to

__all__ = ["integers", "normal", "permutation", "uniform"]

# What the library draws for: no two uses share a stream. A user's own draws start at 0.
SAMPLING, SHUFFLING, INITIALIZING, LAYERS = (2**40 * i for i in (1, 2, 3, 4))


def uniform(
    seed: int | Tensor,
    shape: int | Sequence[int] = (),
    low: float = 0.0,
    high: float = 1.0,
    *,
    stream: int = 0,
    step: int | Tensor = 0,
    dtype: DTypeLike = np.float64,
) -> Tensor:
    """Draws spread evenly over `low` to `high`, both ends excluded.

    Raises OptionError for a seed, stream or step that is negative or not a whole number.

    >>> uniform(seed=0, shape=2)
    Tensor([0.01154675, 0.2415492 ])
    """
    sizes = (shape,) if isinstance(shape, int) else tuple(int(n) for n in shape)
    found = _random.uniform(
        _counter("seed", seed), _counter("step", step), stream=int(stream), shape=sizes, dtype=checked(dtype)
    )
    return found if (low, high) == (0, 1) else low + (high - low) * found


def normal(
    seed: int | Tensor,
    shape: int | Sequence[int] = (),
    mean: float = 0.0,
    std: float = 1.0,
    *,
    stream: int = 0,
    step: int | Tensor = 0,
    dtype: DTypeLike = np.float64,
) -> Tensor:
    """Normally distributed draws: the quantile function (Wichura, 1988) of one float64 `uniform` draw each.

    >>> normal(seed=0, shape=2)
    Tensor([-2.27188415, -0.70132792])
    """
    drawn = ndtri(uniform(seed, shape, stream=stream, step=step))
    return cast_to(mean + std * drawn, checked(dtype))


def integers(
    seed: int | Tensor, high: int, shape: int | Sequence[int] = (), *, stream: int = 0, step: int | Tensor = 0
) -> Tensor:
    """Whole numbers (int64) from 0 to `high` - 1, drawn with replacement.

    >>> integers(seed=0, high=6, shape=4), integers(seed=0, high=6, shape=4, step=1)
    (Tensor([0, 1, 0, 3]), Tensor([1, 1, 4, 3]))
    """
    if high < 1:
        raise OptionError(explain("random.integers", f"high = {high}", "it must be at least 1"))
    return cast_to(floor(high * uniform(seed, shape, stream=stream, step=step)), np.dtype("int64"))


def permutation(seed: int, n: int, *, stream: int = 0, step: int = 0) -> np.ndarray:
    """The numbers 0 to `n` - 1 (int64) in random order: the order of `n` raw draws, ties by position.

    >>> permutation(seed=0, n=5).tolist()
    [0, 2, 1, 4, 3]
    """
    return np.argsort(_random.words(int(seed), stream, int(step), n), kind="stable")


def _counter(name: str, value: TensorLike) -> Tensor:
    x = as_tensor(value)
    if x.dtype.kind not in "iu" or x.shape != ():
        raise OptionError(explain("random", f"{name} = {value!r}", "it is one whole number"))
    if x.value is not None and not 0 <= int(x.value) < 2**63:
        raise OptionError(explain("random", f"{name} = {value!r}", f"it goes from 0 to {2**63 - 1}"))
    return x


def seeded(seed: int | None) -> int:
    """`seed`, or fresh entropy from the operating system for None."""
    if seed is None:
        return int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> np.uint64(1))
    if not is_whole(seed) or not 0 <= seed < 2**63:
        raise OptionError(
            explain(
                "seed",
                repr(seed),
                f"a seed is a whole number from 0 to {2**63 - 1}",
                "Or None for a fresh one.",
            )
        )
    return int(seed)
