"""NumPy's matmul and einsum, brought to contractions of two operands."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.errors import ShapeError, explain
from chainrule.graph import Node
from chainrule.primitive import constant
from chainrule.primitives import axes as ops
from chainrule.primitives.contraction import contract
from chainrule.primitives.elementwise import where, zeros_like
from chainrule.shaping import broadcast_to, call_site, shapes_of

_LABELS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def matmul(a: Node, b: Node) -> Any:
    """The matrix product over the last axis of `a` and the last but one of `b`, as np.matmul."""
    if not a.shape or not b.shape:
        raise ShapeError(
            explain(call_site("matmul", a, b), shapes_of(a, b), "a number has no inner axis", "Use * to scale.")
        )
    inner_a, inner_b = a.shape[-1], b.shape[-2] if len(b.shape) > 1 else b.shape[0]
    if inner_a != inner_b:
        raise ShapeError(
            explain(
                call_site("matmul", a, b),
                shapes_of(a, b),
                f"the inner sizes {inner_a} and {inner_b} differ",
                "The last axis of the first must match the last but one of the second.",
            )
        )
    rows = "m" if len(a.shape) > 1 else ""
    columns = "n" if len(b.shape) > 1 else ""
    if len(a.shape) < 3 and len(b.shape) < 3:
        return contract(a, b, spec=f"{rows}k,k{columns}->{rows}{columns}")
    ranks = len(a.shape[:-2]), len(b.shape[:-2])
    lead = "abcdefgh"[: max(ranks)]
    lead_a, lead_b = lead[len(lead) - ranks[0] :], lead[len(lead) - ranks[1] :]
    return einsum(f"{lead_a}{rows}k,{lead_b}k{columns}->{lead}{rows}{columns}", a, b)


def einsum(spec: str, *operands: Node) -> Any:
    """A sum of products of any number of operands, as np.einsum (labels may repeat; '...' broadcasts)."""
    inputs, out = _parsed(spec, operands)
    merged = [_simple(labels, x) for labels, x in zip(inputs, operands, strict=True)]
    _check_sizes(spec, merged, operands)
    while len(merged) > 1:
        later = set(out).union(*(labels for labels, _ in merged[2:]))
        merged[:2] = [_pair(merged[0], merged[1], later)]
    labels, x = merged[0]
    x = _summed(labels, x, set(out))
    labels = "".join(label for label in labels if label in out)
    order = tuple(labels.index(label) for label in out)
    return x if order == tuple(range(len(order))) else ops.transpose(x, axes=order)


def _parsed(spec: str, operands: tuple[Node, ...]) -> tuple[list[str], str]:
    """The labels of every operand and of the result, with '...' replaced by labels of its own."""
    called = call_site(f"einsum '{spec}'", *operands)
    spec = spec.replace(" ", "")
    left, arrow, out = spec.partition("->")
    inputs = left.split(",")
    if len(inputs) != len(operands):
        raise ShapeError(explain(called, f"{len(operands)} operands", f"the subscripts name {len(inputs)}"))
    free = [label for label in _LABELS if label not in spec]
    ranks = [len(x.shape) - len(s.replace("...", "")) for s, x in zip(inputs, operands, strict=True)]
    dots = max((rank for s, rank in zip(inputs, ranks, strict=True) if "..." in s), default=0)
    for s, rank in zip(inputs, ranks, strict=True):
        if rank < 0 or (rank and "..." not in s):
            raise ShapeError(explain(called, shapes_of(*operands), f"'{s}' does not name every axis"))
    extra = "".join(free[:dots])
    if not arrow:
        once = sorted(label for label in set(left) - set(".,") if left.count(label) == 1)
        out = ("..." if "..." in left else "") + "".join(once)
    filled = [s.replace("...", extra[dots - rank :]) for s, rank in zip(inputs, ranks, strict=True)]
    out = out.replace("...", extra)
    if len(set(out)) != len(out) or not set(out) <= set("".join(filled)):
        raise ShapeError(explain(called, f"the result '{out}'", "its labels must be the operands', each once"))
    return filled, out


def _check_sizes(spec: str, merged: list[tuple[str, Any]], operands: tuple[Node, ...]) -> None:
    """One size for every label (size 1 stretches, as in NumPy)."""
    sizes: dict[str, int] = {}
    for labels, x in merged:
        for label, n in zip(labels, x.shape, strict=True):
            if sizes.setdefault(label, n) != n and 1 not in (n, sizes[label]):
                raise ShapeError(
                    explain(
                        call_site(f"einsum '{spec}'", *operands),
                        shapes_of(*operands),
                        f"label '{label}' stands for {sizes[label]} and for {n}",
                    )
                )
            sizes[label] = max(sizes[label], n) if 0 not in (sizes[label], n) else 0
    for i, (labels, x) in enumerate(merged):
        merged[i] = labels, broadcast_to(x, [sizes[label] for label in labels])


def _simple(labels: str, x: Any) -> tuple[str, Any]:
    """Repeated labels of one operand taken along their diagonal."""
    for label in sorted(set(labels)):
        while labels.count(label) > 1:
            i, j = labels.index(label), labels.rindex(label)
            if x.shape[i] != x.shape[j]:
                raise ShapeError(explain(call_site("einsum", x), shapes_of(x), f"label '{label}' stands for two sizes"))
            x, labels = _diagonal(x, i, j), labels[:j] + labels[j + 1 :]
    return labels, x


def _diagonal(x: Any, i: int, j: int) -> Any:
    """`x` along i = j (i < j), without the axis j."""
    others = tuple(k for k in range(len(x.shape)) if k not in (i, j))
    on = ops.expand(constant(x, np.eye(x.shape[i], dtype=bool)), shape=x.shape, axes=others)
    return ops.total(where(on, x, zeros_like(x)), axes=(j,))


def _pair(first: tuple[str, Any], second: tuple[str, Any], later: set[str]) -> tuple[str, Any]:
    """The contraction of two operands, with the labels in `later` kept."""
    (labels_a, a), (labels_b, b) = first, second
    a, b = _summed(labels_a, a, later | set(labels_b)), _summed(labels_b, b, later | set(labels_a))
    labels_a = "".join(label for label in labels_a if label in later or label in labels_b)
    labels_b = "".join(label for label in labels_b if label in later or label in labels_a)
    out = "".join(dict.fromkeys(label for label in labels_a + labels_b if label in later))
    return out, contract(a, b, spec=f"{labels_a},{labels_b}->{out}")


def _summed(labels: str, x: Any, kept: set[str]) -> Any:
    axes = tuple(i for i, label in enumerate(labels) if label not in kept)
    return ops.total(x, axes=axes) if axes else x
