"""Along which axis the vectors of a kernel run.

Along the axis of its result where reads and writes are contiguous, if there is one that is long enough; else along the
innermost axis of each sum.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chainrule.compiler.kernels import Kernel
from chainrule.formula import Affine, Expr, Var

__all__ = ["all_of", "crossing_axis", "is_scalar", "strips", "sum_axis", "vector_axis"]

_LONG_ENOUGH = 4


def is_scalar(kernel: Kernel) -> bool:
    """Whether it computes one element."""
    return not kernel.space


def vector_axis(kernel: Kernel) -> Var | None:
    """The axis of the result along which a kernel's vectors run, if any."""
    values = [write.value for write in kernel.writes]
    indirect = {v for w in kernel.writes for var, _ in w.place.terms if var.value for v in var.value.needs}
    best: tuple[float, int] | None = None
    chosen = None
    for var in kernel.space:
        contiguous = all(write.place.stride(var) == 1 for write in kernel.writes)
        if var is kernel.ordered or var in indirect or not contiguous or var.size < 2:
            continue
        rank = (-sum(_scattered(value, var) for value in values), var.size)
        if best is None or rank > best:
            best, chosen = rank, var
    if chosen is None or best is None:
        return None
    sums = [e for value in values for e in all_of(value) if e.op == "reduce" and e.data[0] != "argmax"]
    inner = [axis for e in sums for axis in [sum_axis(e.args[0], e.data[1])] if axis is not None]
    if chosen.size < _LONG_ENOUGH and inner and max(v.size for v in inner) >= _LONG_ENOUGH:
        return None
    return chosen


def crossing_axis(kernel: Kernel, expr: Expr, along: Var) -> Var | None:
    """The variable of a sum along which it is contiguous, if it is not along `along`.

    The vectors of such a sum run along its own variable, for every lane of `along` one.
    """
    (body,), (kind, over) = expr.args, expr.data
    if kind == "argmax" or along not in body.needs or not _scattered(body, along):
        return None
    var = sum_axis(body, over)
    own = {write.target for write in kernel.writes}
    if var is None or _scattered(body, var) or any(e.op == "read" and e.data[0] in own for e in all_of(body)):
        return None
    return var


def sum_axis(body: Expr, over: Sequence[Var]) -> Var | None:
    """The variable of a sum along which its vectors run, if nearly all it does is contiguous there."""
    steps = list(all_of(body))
    if any(e.op in ("reduce", "position") for e in steps):
        return None
    fit = [(_scattered(body, var), -var.size, i) for i, var in enumerate(over) if var.size >= _LONG_ENOUGH]
    scattered, _, i = min(fit, default=(len(steps), 0, 0))
    return over[i] if scattered * 8 <= len(steps) else None


def strips(size: int, most: int) -> Iterator[tuple[int, int, int]]:
    """An axis of `size` in strips of falling width: (start, stop, width), widths powers of two up to `most`."""
    start, width = 0, most
    while width:
        count = (size - start) // width
        if count:
            yield start, start + count * width, width
            start += count * width
        width //= 2


def all_of(expr: Expr) -> Iterator[Expr]:
    """Every expression that `expr` is made of, each once."""
    seen: set[int] = set()
    stack = [expr]
    while stack:
        found = stack.pop()
        if id(found) not in seen:
            seen.add(id(found))
            yield found
            stack.extend(found.args)


def _scattered(expr: Expr, var: Var) -> float:
    """How many reads do not stand still and are not contiguous along `var`; one of every other element is half-way."""
    count = 0.0
    for found in all_of(expr):
        if found.op == "read":
            place: Affine = found.data[1]
            indirect = any(v.value is not None and var in v.value.needs for v, _ in place.terms)
            stride = place.stride(var)
            count += 1 if indirect or stride not in (0, 1, 2) else 0.25 if stride == 2 else 0
    return count
