"""The linear (dense, fully connected) layer."""

from __future__ import annotations

from chainrule.errors import ShapeError, explain
from chainrule.functions import matmul
from chainrule.nn.initializers import Initialized, Initializer, he_uniform, uniform
from chainrule.nn.module import Module
from chainrule.nn.sizes import whole
from chainrule.random import seeded
from chainrule.tensor import Tensor, TensorLike, as_tensor

__all__ = ["Linear"]


class Linear(Module):
    """y = x w + b, with w of shape (inputs, outputs) and b of shape (outputs,).

    Args:
        inputs: the size of the last axis of x.
        outputs: the size of the last axis of y.
        bias: whether there is a b.
        init: the initializer of w; by default He's for ReLU (`initializers.he_uniform`).
        init_bias: the initializer of b; by default uniform up to 1 / sqrt(inputs), so that kinks do not all start at 0.
        seed: for the first values; None: fresh from the operating system.
        dtype: of w and b.

    x: (..., inputs) -> y: (..., outputs). Raises ShapeError for another last axis, OptionError for sizes below 1.

    >>> Linear(2, 3, seed=0)([[1.0, 2.0], [3.0, 4.0]]).shape
    (2, 3)
    """

    def __init__(
        self, inputs: int, outputs: int, bias: bool = True, *, init: Initializer = he_uniform,
        init_bias: Initializer | None = None, seed: int | None = None, dtype: str = "float32",
    ):  # fmt: skip
        inputs, outputs = whole("Linear", "inputs", inputs), whole("Linear", "outputs", outputs)
        seed = seeded(seed)
        self.weight = Initialized(init, (inputs, outputs), seed=seed, dtype=dtype, name="weight")
        init_bias = uniform(inputs**-0.5) if init_bias is None else init_bias
        drawn = Initialized(init_bias, (outputs,), seed=seed, offset=1, dtype=dtype, name="bias") if bias else None
        self.bias = drawn

    def forward(self, x: TensorLike) -> Tensor:
        x, w = as_tensor(x), self.weight
        if not x.shape or x.shape[-1] != w.shape[0]:
            rule = f"the last axis of x must have {w.shape[0]} elements"
            repair = (
                f"Make it Linear({x.shape[-1]}, {w.shape[1]}), or give it the data it was made for." if x.shape else ""
            )
            raise ShapeError(explain(self.called(), f"x is {x.shape}, weight is {w.shape}", rule, repair))
        y = matmul(x, w)
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        inputs, outputs = self.weight.shape
        return f"inputs={inputs}, outputs={outputs}" + ("" if self.bias is not None else ", bias=False")
