"""Gradient clipping: functions from a list of gradients to a list of gradients, for `fit(clip=...)`.

NaN and infinite gradients are not repaired: they stay, and are reported by the fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chainrule.functions import clip, maximum, sqrt
from chainrule.optim.optimizer import check_number
from chainrule.tensor import Tensor

__all__ = ["ClipByGlobalNorm", "ClipByNorm", "ClipByValue"]


@dataclass(frozen=True)
class _Clip:
    limit: float

    def __post_init__(self) -> None:
        check_number(self, "limit", above=True)


@dataclass(frozen=True)
class ClipByValue(_Clip):
    """Every element held between -limit and limit.

    >>> from chainrule import as_tensor
    >>> ClipByValue(1.0)([as_tensor([3.0, -0.5])])
    [Tensor([ 1. , -0.5])]
    """

    def __call__(self, gradients: Sequence[Tensor]) -> list[Tensor]:
        return [clip(g, -self.limit, self.limit) for g in gradients]


@dataclass(frozen=True)
class ClipByNorm(_Clip):
    """Every gradient by itself scaled down to the Euclidean norm `limit` where its norm is larger.

    >>> from chainrule import as_tensor
    >>> ClipByNorm(1.0)([as_tensor([3.0, 4.0])])
    [Tensor([0.6, 0.8])]
    """

    def __call__(self, gradients: Sequence[Tensor]) -> list[Tensor]:
        return [g * _scale(self.limit, [g]) for g in gradients]


@dataclass(frozen=True)
class ClipByGlobalNorm(_Clip):
    """All gradients scaled by one number, so that the norm of all together is at most `limit`. Pascanu et al. (2013).

    >>> from chainrule import as_tensor
    >>> ClipByGlobalNorm(1.0)([as_tensor([3.0]), as_tensor([4.0])])
    [Tensor([0.6]), Tensor([0.8])]
    """

    def __call__(self, gradients: Sequence[Tensor]) -> list[Tensor]:
        scale = _scale(self.limit, gradients)
        return [g * scale.astype(g.dtype) for g in gradients]


def _scale(limit: float, gradients: Sequence[Tensor]) -> Tensor:
    """limit / norm, at most 1."""
    squares = [(g**2).sum() for g in gradients]
    total = squares[0]
    for more in squares[1:]:
        total = total + more
    return limit / maximum(sqrt(total), limit)
