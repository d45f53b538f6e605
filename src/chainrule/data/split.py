"""A held-out part of the data, drawn from a seed in the same way on every machine."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.errors import DataError, OptionError, ShapeError, explain

__all__ = ["split", "split_rows"]

Rows = NDArray[np.int64]
Array = NDArray[Any]
MOST_CLASSES = 20


def split(
    x: ArrayLike, t: ArrayLike, held_out: float = 0.25, seed: int = 0, stratified: bool | None = None
) -> tuple[Array, Array, Array, Array]:
    """Shuffled copies `x_train, t_train, x_test, t_test` of the rows, `held_out` of them in the test part.

    `stratified` gives both parts the same mix of classes; None does so when `t` is one column that holds classes:
    booleans, strings, or at most 20 different whole numbers. For data larger than memory take `split_rows`.
    Raises ShapeError when the numbers of rows differ, and what `split_rows` raises.

    >>> x, t = np.arange(8.0).reshape(8, 1), np.repeat([-1.0, 1.0], 4)
    >>> x_train, t_train, x_test, t_test = split(x, t, held_out=0.5)
    >>> np.sort(t_test)
    array([-1., -1.,  1.,  1.])
    """
    x, t = np.asanyarray(x), np.asanyarray(t)
    if x.ndim == 0 or t.ndim == 0 or len(x) != len(t):
        raise ShapeError(explain("split(x, t)", f"x is {x.shape}, t is {t.shape}", "they need as many rows"))
    if stratified is None:
        stratified = _holds_classes(t)
    train, test = split_rows(len(x), held_out, seed, t.reshape(len(t), -1) if stratified else None)
    return x[train], t[train], x[test], t[test]


def split_rows(n: int, held_out: float = 0.25, seed: int = 0, classes: ArrayLike | None = None) -> tuple[Rows, Rows]:
    """The row numbers of the training part and of the test part, each in random order.

    The test part has `held_out` * n rows, rounded, and neither part is empty. With `classes` (n,) or (n, k), every
    class (every different row) gets its share in both, to within a row. The order comes from the raw stream of
    Philox (Salmon et al. 2011), which NumPy keeps across releases. Raises OptionError for `held_out` outside
    (0, 1) or the seed outside [0, 2**64), and DataError for fewer than two rows.

    >>> split_rows(8, 0.25, seed=0)[1].shape
    (2,)
    """
    called = f"split of {n} rows, held_out={held_out}, seed={seed}"
    if not 0 < held_out < 1 or not 0 <= seed < 2**64:
        raise OptionError(explain(called, "", "held_out lies between 0 and 1, the seed between 0 and 2**64"))
    if n < 2:
        raise DataError(explain(called, "", "two parts need at least two rows", "Add data."))
    order = np.argsort(np.random.Philox(key=seed).random_raw(n), kind="stable")
    if classes is not None:
        order = order[np.argsort(_place_in_class(np.asarray(classes)[order]), kind="stable")]
    count = min(max(1, int(held_out * n + 0.5)), n - 1)
    test, train = order[:count], order[count:]
    if classes is not None:  # the order by place in class is not random
        return train[_shuffle(len(train), seed, 1)], test[_shuffle(len(test), seed, 2)]
    return train, test


def _shuffle(n: int, seed: int, stream: int) -> Rows:
    return np.argsort(np.random.Philox(key=seed + stream * 2**64).random_raw(n), kind="stable")


def _place_in_class(classes: Array) -> NDArray[np.float64]:
    """For each row, how far through its class it comes, from 0 to 1: the first rows by this have all classes."""
    _, which, sizes = np.unique(classes, axis=0, return_inverse=True, return_counts=True)
    which = which.reshape(-1)
    grouped = np.argsort(which, kind="stable")
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    place = np.empty(len(which))
    place[grouped] = (np.arange(len(which)) - starts + 0.5) / np.repeat(sizes, sizes)
    return place


def _holds_classes(t: Array) -> bool:
    if t.size != len(t):
        return False
    if t.dtype.kind not in "fiu":
        return True
    values = np.unique(t)
    return len(values) <= MOST_CLASSES and bool((values == np.floor(values)).all())
