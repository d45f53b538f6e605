"""Back to the values before a chunk of steps, whether the engine replaces them or writes over them."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import aligned
from chainrule.finite import is_finite
from chainrule.training.step import Array, Arrays

__all__ = ["Past"]

SMALL = 2**20  # bytes of carried values that are copied and checked at every chunk
SECONDS = 1.0  # how often larger ones are, at most
SHARE = 0.02  # of the time, that keeping them may take


class Past:
    """Keeps the carried values of the step `step`; from there those of later steps can be made again.

    Small ones, and rows that move, are kept at every chunk. Large ones that are written over are kept now and then:
    copying and checking them may take as long as a step.

    Args:
        arrays: the carried values.
        in_place: whether they are written over; `arrays.whole` are then copied once, so that nobody else's are.
    """

    def __init__(self, arrays: Arrays, in_place: bool):
        self.step = -1
        self._arrays, self._in_place = arrays, in_place
        self._large = in_place and sum([array.nbytes for array in arrays.whole]) > SMALL
        self._next = 0.0  # when to keep large ones again
        self._whole: list[Array] = []
        self._own = False  # whether they are copies that nobody else has
        self._moving: list[Array] = []
        self._rows: Any = slice(None)

    def keep(self, step: int, indices: NDArray[np.int64] | None, sound: bool = True) -> None:
        """The steps from `step` on are about to change the values, of the moving ones the rows `indices`.

        Only values that are known to be `sound` are kept.
        """
        arrays = self._arrays
        if arrays.moving:
            every = indices is None or indices.size >= len(arrays.moving[0])
            self._rows = slice(None) if every else indices.ravel()  # type: ignore[union-attr]
            self._moving = [array[self._rows].copy() for array in arrays.moving]
        began = time.perf_counter()
        if self.step < 0 and self._in_place:
            self._whole, arrays.whole = arrays.whole, [aligned.copied(array) for array in arrays.whole]
            self._own = False
        elif self._large and not sound:
            return
        elif self._own:
            for kept, array in zip(self._whole, arrays.whole, strict=True):
                kept[...] = array
        else:
            self._whole = []  # what a step may not write to is let go before there is a copy
            self._whole = [array.copy() for array in arrays.whole] if self._in_place else list(arrays.whole)
            self._own = self._in_place
        self.step, now = step, time.perf_counter()
        self._next = now + max(SECONDS, (now - began) / SHARE)

    def due(self) -> bool:
        """Whether the values are to be checked after this chunk, and kept before the next."""
        return not self._large or time.perf_counter() > self._next

    def finite(self) -> bool:
        """Whether all values that may have changed are finite."""
        moved = [array[self._rows] for array in self._arrays.moving]
        return all(map(is_finite, [*self._arrays.whole, *moved]))

    def back(self) -> None:
        """The values are again those before the step `self.step`."""
        arrays = self._arrays
        arrays.whole = [aligned.copied(array) for array in self._whole] if self._in_place else list(self._whole)
        for array, saved in zip(arrays.moving, self._moving, strict=True):
            array[self._rows] = saved
