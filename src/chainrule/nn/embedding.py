"""A table of vectors, one for every whole number."""

from __future__ import annotations

from chainrule.errors import DTypeError, explain
from chainrule.functions import take
from chainrule.nn.initializers import Initialized, Initializer, normal
from chainrule.nn.module import Module
from chainrule.nn.sizes import whole
from chainrule.random import seeded
from chainrule.tensor import Tensor, TensorLike, as_tensor

__all__ = ["Embedding"]


class Embedding(Module):
    """y = w[x], with w of shape (count, width): (...) integers from 0 to count - 1 -> (..., width).

    Args:
        count: how many vectors there are.
        width: the size of each.
        init: the initializer of w; by default normal with the variance 1.
        seed: for the first values; None: fresh from the operating system.
        dtype: of w.

    Raises DTypeError for x that are no integers, ShapeError for one out of range.

    >>> Embedding(10, 3)([1, 4]).shape
    (2, 3)
    """

    def __init__(
        self, count: int, width: int, *, init: Initializer = normal(), seed: int | None = None, dtype: str = "float32"
    ):
        count, width = whole("Embedding", "count", count), whole("Embedding", "width", width)
        self.weight = Initialized(init, (count, width), seed=seeded(seed), dtype=dtype, name="weight")

    def forward(self, x: TensorLike) -> Tensor:
        x = as_tensor(x)
        if x.dtype.kind not in "iu":
            repair = "Convert them first: x.astype(int)."
            raise DTypeError(explain(self.called(), f"x is of {x.dtype}", "it takes whole numbers", repair))
        return take(self.weight, x, axis=0)

    def extra_repr(self) -> str:
        count, width = self.weight.shape
        return f"count={count}, width={width}"
