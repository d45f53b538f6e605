"""The reference engine: the step's graph walked by NumPy, one call a node. It defines what is right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.evaluate import Program
from chainrule.training.step import Array, Arrays, Ran, Step

__all__ = ["ReferenceRunner"]


class ReferenceRunner:
    """Runs a step; see `Runner`."""

    def __init__(self, step: Step):
        self._program = Program(step.inputs, step.outputs)
        self._dtypes = [leaf.dtype for leaf in step.rows]
        self._whole = len(step.whole)
        self._data: Sequence[Array] = ()
        self._seed = np.int64(0)

    def begin(self, data: Sequence[Array], seed: int) -> None:
        """A run begins, over the rows of `data`."""
        self._data, self._seed = data, np.int64(seed)

    def end(self) -> None:
        """The run is over."""
        self._data = ()

    def run(self, arrays: Arrays, indices: NDArray[np.int64] | None, first: int, count: int) -> Ran:
        """Make `count` steps from number `first` on."""
        if arrays.moving:
            return self._run_moving(arrays, indices, first, count)
        losses = np.empty(count)
        program, seed, n = self._program, self._seed, self._whole
        numbers = np.arange(first, first + count)
        for k, batch in enumerate(self._batches(indices, count)):
            *arrays.whole, losses[k] = program(*arrays.whole, *batch, numbers[k], seed)
        assert len(arrays.whole) == n
        return Ran(float(losses.mean()))

    def _batches(self, indices: NDArray[np.int64] | None, count: int) -> Any:
        """For every step its rows of each data array (by indexing: np.take copies the whole of a strided one)."""
        if indices is None:
            rows = [array.astype(dtype, copy=False) for array, dtype in zip(self._data, self._dtypes, strict=True)]
            return (rows for _ in range(count))
        chunk = [
            array[indices].astype(dtype, copy=False) for array, dtype in zip(self._data, self._dtypes, strict=True)
        ]
        return zip(*chunk, strict=True)

    def _run_moving(self, arrays: Arrays, indices: NDArray[np.int64] | None, first: int, count: int) -> Ran:
        losses, moved = np.empty(count), 0
        numbers, n, m = np.arange(first, first + count), len(arrays.whole), len(arrays.moving)
        for k, batch in enumerate(self._batches(indices, count)):
            rows = slice(None) if indices is None else indices[k]
            before = [array[rows] for array in arrays.moving]
            out = self._program(*arrays.whole, *before, *batch, numbers[k], self._seed)
            arrays.whole = out[:n]
            for array, after in zip(arrays.moving, out[n : n + m], strict=True):
                array[rows] = after
            losses[k] = out[n + m]
            moved += int(out[-1])
        return Ran(float(losses.mean()), moved)
