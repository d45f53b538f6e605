"""Products of two arrays summed over shared axes: matrix products, dot, outer and batched products.

`spec` is written as in einsum, "ij,jk->ik". Every label stands in at least two of its three parts, and at most once in
each; `functions.einsum` brings any other form to this one. The transpose of a contraction is again a contraction.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from chainrule.formula import Affine, Expr, Operand, Position, reduce_over
from chainrule.graph import Shape
from chainrule.primitive import multilinear


def parse(spec: str) -> tuple[str, str, str]:
    """The labels of the two operands and of the result."""
    operands, out = spec.split("->")
    a, b = operands.split(",")
    return a, b, out


def _shape(a: Shape, b: Shape, *, spec: str) -> Shape:
    labels_a, labels_b, out = parse(spec)
    sizes = dict(zip(labels_a, a, strict=True)) | dict(zip(labels_b, b, strict=True))
    return tuple(sizes[label] for label in out)


@lru_cache(maxsize=1024)
def _plan(spec: str) -> tuple[Any, ...]:
    """How to bring a contraction to `np.matmul`: the order of axes of both operands, and of the result's."""
    a, b, out = parse(spec)
    shared = [label for label in out if label in a and label in b]
    rows = [label for label in a if label in out and label not in b]
    columns = [label for label in b if label in out and label not in a]
    inner = [label for label in a if label in b and label not in out]
    order_a = tuple(a.index(label) for label in (*shared, *rows, *inner))
    order_b = tuple(b.index(label) for label in (*shared, *inner, *columns))
    made = [*shared, *rows, *columns]
    order_out = tuple(made.index(label) for label in out)
    return order_a, order_b, order_out, len(shared), len(rows), len(inner), len(columns)


def _evaluate(a: np.ndarray, b: np.ndarray, *, spec: str) -> Any:
    order_a, order_b, order_out, shared, rows, inner, columns = _plan(spec)
    a, b = a.transpose(order_a), b.transpose(order_b)
    if rows == inner == columns == 1:
        return np.matmul(a, b).transpose(order_out)
    batch, outer = a.shape[:shared], a.shape[shared : shared + rows]
    k = int(np.prod(b.shape[shared : shared + inner]))
    last = b.shape[shared + inner :]
    product = np.matmul(a.reshape(*batch, int(np.prod(outer)), k), b.reshape(*batch, k, int(np.prod(last))))
    return product.reshape((*batch, *outer, *last)).transpose(order_out)


def _for_a(g: Any, a: Any, b: Any, *, spec: str) -> Any:
    labels_a, labels_b, out = parse(spec)
    return contract(g, b, spec=f"{out},{labels_b}->{labels_a}")


def _for_b(g: Any, a: Any, b: Any, *, spec: str) -> Any:
    labels_a, labels_b, out = parse(spec)
    return contract(a, g, spec=f"{labels_a},{out}->{labels_b}")


def _batched(n: int, *, spec: str) -> dict[str, str]:
    a, b, out = parse(spec)
    new = next(chr(code) for code in range(ord("A"), ord("z")) if chr(code) not in spec)
    return {"spec": f"{new}{a},{new}{b}->{new}{out}"}


def _formula(operands: Sequence[Operand], index: tuple[Affine, ...], *, spec: str) -> Expr:
    a, b = operands
    labels_a, labels_b, out = parse(spec)
    inner = [label for label in labels_a if label not in out]
    sizes = dict(zip(labels_a, a.shape, strict=True))

    def product(over: tuple[Position, ...]) -> Expr:
        at: dict[str, Position] = dict(zip((*out, *inner), (*index, *over), strict=True))
        found: Expr = a[[at[label] for label in labels_a]] * b[[at[label] for label in labels_b]]
        return found

    return reduce_over("sum", [sizes[label] for label in inner], product) if inner else product(())


contract = multilinear(
    "contract", shape=_shape, evaluate=_evaluate, transposes=(_for_a, _for_b), batch=_batched, lower=_formula
)
