"""What a schedule costs: operations and bytes, counted on its formulas."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chainrule.compiler.schedule import Buffer, Kernel, Product, Schedule
from chainrule.formula import Affine, Expr, Var

__all__ = ["Report", "costs"]

_NO_WORK = frozenset(("const", "read", "position", "cast"))


@dataclass(frozen=True)
class Report:
    """What a compiled function consists of, for one run of it (one step, of a training loop).

    Attributes:
        kernels: loop nests and calls of BLAS.
        flops: scalar operations; what does not change in a loop counts once, an elementary function counts as one.
        bytes_read, bytes_written: between the kernels and memory, every array once a kernel.
        arena_bytes: memory for values in between.
        compile_seconds: from the graph to machine code.
        threads: how many threads it runs on.
    """

    kernels: int
    flops: int
    bytes_read: int
    bytes_written: int
    arena_bytes: int
    compile_seconds: float
    threads: int = 1

    def __str__(self) -> str:
        kernels = f"{self.kernels} kernel{'s' if self.kernels != 1 else ''}"
        threads = f"{self.threads} thread{'s' if self.threads != 1 else ''}"
        return (
            f"{kernels}, {self.flops:,} flops, {self.bytes_read:,} bytes read, {self.bytes_written:,} written, "
            f"{self.arena_bytes:,} bytes of arena, {threads}, compiled in {1e3 * self.compile_seconds:.3g} ms"
        )


def costs(found: Schedule) -> tuple[int, int, int, int]:
    """Kernels, operations, bytes read and bytes written of one run."""
    counts = [_product(k) if isinstance(k, Product) else _kernel(k) for k in found.kernels]
    flops, read, written = (sum(count[i] for count in counts) for i in range(3))
    return len(found.kernels), flops, read, written


def _product(kernel: Product) -> tuple[int, int, int]:
    m, n, k = kernel.sizes
    size = kernel.target.dtype.itemsize
    return 2 * m * n * k, (m * k + k * n) * size, m * n * size


def _kernel(kernel: Kernel) -> tuple[int, int, int]:
    needs: dict[int, frozenset[Var]] = {}
    flops, read = 0, {}
    for expr in _inputs_first(kernel):
        own = _place(expr).terms
        found = frozenset(v for v, _ in own if v.value is None).union(
            *(needs[id(a)] for a in expr.args), *(needs[id(v.value)] for v, _ in own if v.value is not None)
        )
        turns = _turns(found)
        if expr.op not in _NO_WORK:
            flops += turns
        if expr.op == "read":
            buffer: Buffer = expr.data[0]
            read[buffer] = min(buffer.size, read.get(buffer, 0) + turns)
        needs[id(expr)] = found - set(expr.data[1]) if expr.op == "reduce" else found
    written = _turns(kernel.space)
    if kernel.adds:
        flops += written
        read[kernel.target] = min(kernel.target.size, written)
    bytes_read = sum(n * buffer.dtype.itemsize for buffer, n in read.items())
    return flops, bytes_read, (kernel.target.size if kernel.zeroes else written) * kernel.target.dtype.itemsize


def _turns(variables: Sequence[Var] | frozenset[Var]) -> int:
    return math.prod(v.size for v in variables)


def _place(expr: Expr) -> Affine:
    found: Affine = expr.data[1] if expr.op == "read" else expr.data if expr.op == "position" else Affine()
    return found


def _inputs_first(kernel: Kernel) -> Iterator[Expr]:
    """Every expression of a kernel once, after those it is computed from."""
    roots = [kernel.value, *(v.value for v, _ in kernel.place.terms if v.value is not None)]
    stack, seen = [(root, False) for root in roots], set()
    while stack:
        expr, ready = stack.pop()
        if ready:
            yield expr
        elif id(expr) not in seen:
            seen.add(id(expr))
            stack.append((expr, True))
            inside = (v.value for v, _ in _place(expr).terms if v.value is not None)
            stack += [(x, False) for x in (*expr.args, *inside)]
