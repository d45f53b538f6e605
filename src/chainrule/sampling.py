"""Which rows of the data each step of training sees: a pure function of (seed, step), so that any can be replayed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.errors import DTypeError, OptionError, ShapeError, explain
from chainrule.primitives.random import words
from chainrule.random import SAMPLING, SHUFFLING, permutation

__all__ = ["Sampler", "indices"]

Indices = NDArray[np.int64]
KINDS = ("replacement", "shuffle", "all", "given")
BLOCK = 2**14  # draws made in one go; a generator costs as much as a thousand draws
FEW = 2**12  # draws that are made alone when they are the first


def indices(seed: int, rows: int, batch_size: int, start: int, stop: int, sampling: str = "replacement") -> Indices:
    """The row numbers that `fit` uses in the steps from `start` to `stop` - 1: shape (stop - start, batch_size), int64.

    Draw d = step * batch_size + position depends on the seed and d alone:

    - "replacement": floor(rows * u) with u the uniform number made of word d of the seed's stream;
    - "shuffle": element d mod rows of the random order of epoch d // rows, so that every row comes once an epoch
      (a batch may end one epoch and begin the next).

    Raises OptionError for sizes that are not positive, a batch larger than the data, or another `sampling`.

    >>> indices(seed=0, rows=10, batch_size=2, start=0, stop=3).tolist()
    [[4, 2], [1, 1], [2, 7]]
    """
    if sampling not in ("replacement", "shuffle"):
        raise OptionError(explain("sampling.indices", f"sampling={sampling!r}", "it is 'replacement' or 'shuffle'"))
    if not 0 <= start <= stop:
        raise OptionError(explain("sampling.indices", f"steps {start} to {stop}", "steps count from 0, upwards"))
    return Sampler(sampling, rows, batch_size, seed).draw(start, stop)


@dataclass(frozen=True)
class Sampler:
    """One way to choose rows, of `rows` there are, `batch_size` at a time.

    Attributes:
        kind: "replacement", "shuffle", "all" (every row, in order, at every step) or "given".
        given: for "given", the row numbers of every step: (steps, batch_size).

    >>> Sampler("shuffle", rows=4, batch_size=2, seed=0).draw(0, 4).tolist()  # two epochs
    [[2, 1], [3, 0], [0, 2], [1, 3]]
    """

    kind: str
    rows: int
    batch_size: int
    seed: int
    given: Indices | None = None
    _recent: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise OptionError(explain("sampling", f"{self.rows} rows", "there must be at least one"))
        if self.batch_size < 1:
            raise OptionError(explain("sampling", f"batch_size={self.batch_size}", "it must be at least 1"))
        if self.batch_size > self.rows and self.kind != "given":
            raise OptionError(
                explain(
                    "sampling",
                    f"batch_size={self.batch_size}, {self.rows} rows of data",
                    "a batch is no larger than the data",
                    f"Use batch_size={self.rows}, or None for all rows.",
                )
            )

    def apart(self) -> Sampler:
        """The same with row numbers of its own, which no one can change while they are in use.

        >>> chosen = np.array([[0], [1]])
        >>> np.shares_memory(Sampler("given", 2, 1, 0, chosen).apart().draw(0, 2), chosen)
        False
        """
        return self if self.given is None else replace(self, given=self.given.copy())

    def draw(self, start: int, stop: int) -> Indices:
        """The rows of the steps from `start` to `stop` - 1: (stop - start, batch_size)."""
        if self.given is not None:
            return self.given[start:stop]
        if self.kind == "all":
            return np.broadcast_to(np.arange(self.rows), (stop - start, self.rows))
        first, last = start * self.batch_size, stop * self.batch_size
        found = self._replaced(first, last) if self.kind == "replacement" else self._shuffled(first, last)
        return found.reshape(stop - start, self.batch_size)

    def _replaced(self, first: int, last: int) -> Indices:
        if not self._recent and last - first <= FEW:
            self._recent[-1] = found = self._draws(first, last - first)  # a short run asks once
            return found
        blocks = range(first // BLOCK, max(first, last - 1) // BLOCK + 1)
        drawn = np.concatenate([self._remembered(block, self._block) for block in blocks])
        offset = blocks.start * BLOCK
        return drawn[first - offset : last - offset]

    def _block(self, block: int) -> Indices:
        return self._draws(block * BLOCK, BLOCK)

    def _draws(self, first: int, count: int) -> Indices:
        raw = words(self.seed, SAMPLING, 0, count, first=first)
        uniform = ((raw >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
        return (self.rows * uniform).astype(np.int64)

    def _shuffled(self, first: int, last: int) -> Indices:
        parts = []
        while first < last:
            epoch, position = divmod(first, self.rows)
            part = self._remembered(epoch, self._order)[position : position + last - first]
            parts.append(part)
            first += len(part)
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def _order(self, epoch: int) -> Indices:
        return permutation(self.seed, self.rows, stream=SHUFFLING, step=epoch)

    def _remembered(self, key: int, make: Any) -> Indices:
        """What `make(key)` gives; the last two are kept, because steps come in order."""
        if key not in self._recent:
            while len(self._recent) > 1:
                del self._recent[next(iter(self._recent))]
            self._recent[key] = make(key)
        found: Indices = self._recent[key]
        return found


def given_indices(value: ArrayLike, rows: int) -> Indices:
    """Row numbers a user chose, checked: (steps,) or (steps, batch) -> (steps, batch), each in [0, rows)."""
    found = np.asarray(value)
    if found.dtype.kind not in "iu":
        raise DTypeError(explain("sampling", f"an array of {found.dtype}", "row numbers are integers"))
    if found.ndim not in (1, 2) or not found.size:
        raise ShapeError(explain("sampling", f"an array of {found.shape}", "it is (steps,) or (steps, batch)"))
    wide = np.ascontiguousarray(found, np.int64)
    if np.maximum.reduce(wide.view(np.uint64), axis=None) >= rows:  # a negative number is a large one
        where = tuple(int(i) for i in np.argwhere((found < 0) | (found >= rows))[0])
        rule = f"there are {rows} rows, counted from 0"
        raise OptionError(explain("sampling", f"row {int(found[where])} at position {where}", rule))
    return wide.reshape(len(wide), -1)
