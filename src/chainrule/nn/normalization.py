"""Batch and layer normalization."""

from __future__ import annotations

from chainrule.errors import OptionError, ShapeError, explain
from chainrule.functions import sqrt, square
from chainrule.nn.initializers import Initialized, ones, zeros
from chainrule.nn.mode import Training, current
from chainrule.nn.module import Module
from chainrule.nn.sizes import whole
from chainrule.tensor import Tensor, TensorLike, as_float

__all__ = ["BatchNorm", "LayerNorm"]


class _Scaled(Module):
    """(x - mean) / sqrt(var + eps) * weight + bias over a last axis of `features`."""

    def __init__(self, features: int, eps: float = 1e-5, *, dtype: str = "float32"):
        features = whole(type(self).__name__, "features", features)
        if not eps > 0:
            raise OptionError(explain(type(self).__name__, f"eps = {eps!r}", "it is positive"))
        self.eps = float(eps)
        self.weight = Initialized(ones, (features,), dtype=dtype, name="weight")
        self.bias = Initialized(zeros, (features,), dtype=dtype, name="bias")

    def checked(self, x: TensorLike) -> Tensor:
        """x as floats, if its last axis is the one this layer was made for."""
        x, (features,) = as_float(x), self.weight.shape
        if not x.shape or x.shape[-1] != features:
            rule = f"the last axis of x must have {features} elements"
            repair = f"Make it {type(self).__name__}({x.shape[-1]})." if x.shape else ""
            raise ShapeError(explain(self.called(), f"x is {x.shape}, weight is {self.weight.shape}", rule, repair))
        return x

    def normalized(self, x: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        """The formula."""
        return (x - mean) / sqrt(var + self.eps) * self.weight + self.bias

    def extra_repr(self) -> str:
        return f"features={self.weight.shape[0]}, eps={self.eps}"


class LayerNorm(_Scaled):
    """(x - mean) / sqrt(var + eps) * weight + bias, with the mean and variance of each row. Ba et al. (2016).

    x: (..., features). Raises ShapeError for another last axis.

    Args:
        features: the size of the last axis.
        eps: keeps a constant row finite.
        dtype: of the parameters.

    >>> LayerNorm(2, eps=1e-12)([[1.0, 3.0]])
    Tensor([[-1.,  1.]])
    """

    def forward(self, x: TensorLike) -> Tensor:
        x = self.checked(x)
        mean = x.mean(-1, keepdims=True)
        return self.normalized(x, mean, square(x - mean).mean(-1, keepdims=True))


class BatchNorm(_Scaled):
    """(x - mean) / sqrt(var + eps) * weight + bias, with statistics of each feature. Ioffe and Szegedy (2015).

    In training they are the batch's (over all axes but the last), and the running ones move towards them:
    running <- (1 - momentum) running + momentum batch, with the variance over n - 1, through `Training.updates`. In
    evaluation they are the running ones, and nothing changes.

    Args:
        features: the size of the last axis.
        momentum: how far the running statistics move in a step.
        eps: keeps a constant feature finite.
        dtype: of the parameters.

    Raises ShapeError for another last axis, and in training for fewer than two rows.

    >>> BatchNorm(1)([[1.0], [3.0]]).shape
    (2, 1)
    """

    def __init__(self, features: int, momentum: float = 0.1, eps: float = 1e-5, *, dtype: str = "float32"):
        if not 0 <= momentum <= 1:
            raise OptionError(explain("BatchNorm", f"momentum = {momentum!r}", "it is from 0 to 1"))
        super().__init__(features, eps, dtype=dtype)
        self.momentum = float(momentum)
        self.running_mean = Initialized(zeros, (features,), dtype=dtype, name="running_mean", trainable=False)
        self.running_var = Initialized(ones, (features,), dtype=dtype, name="running_var", trainable=False)

    def forward(self, x: TensorLike) -> Tensor:
        x, training = self.checked(x), current()
        if training is None:
            return self.normalized(x, self.running_mean, self.running_var)
        n, rows = x.size // x.shape[-1], tuple(range(x.ndim - 1))
        if n < 2:
            repair = "Train with a batch_size of 2 or more, or use LayerNorm."
            raise ShapeError(explain(self.called(), f"x is {x.shape}", "one row has no variance", repair))
        mean = x.mean(rows)
        var = square(x - mean).mean(rows)
        self._move(training, self.running_mean, mean)
        self._move(training, self.running_var, var * (n / (n - 1)))
        return self.normalized(x, mean, var)

    def _move(self, training: Training, running: Initialized, batch: Tensor) -> None:
        old = training.updates.get(running, running)
        new = (1 - self.momentum) * old + self.momentum * batch
        training.updates[running] = new.astype(running.dtype)

    def extra_repr(self) -> str:
        return f"features={self.weight.shape[0]}, momentum={self.momentum}, eps={self.eps}"
