"""What a schedule costs: operations and bytes, counted on its formulas."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from chainrule.compiler.kernels import Buffer, Kernel, Product, Schedule, expressions, targets
from chainrule.formula import Var

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
        threads: how many threads a run has now (`sharing.threads`), 1 where nothing is large enough to share.
    """

    kernels: int
    flops: int
    bytes_read: int
    bytes_written: int
    arena_bytes: int
    compile_seconds: float
    threads: int

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
    flops, read, written = 0, Counter[Buffer](), Counter[Buffer]()
    own = set(targets(kernel)) if kernel.ordered is None else set()
    for expr in expressions(kernel):
        turns = _turns(expr.needs | set(expr.data[1]) if expr.op == "reduce" else expr.needs)
        if expr.op not in _NO_WORK:
            flops += turns
        if expr.op == "read" and expr.data[0] not in own:
            read[expr.data[0]] += turns
    for write in kernel.writes:
        turns = _turns(kernel.space)
        written[write.target] += write.target.size if kernel.zeroes else turns if write.stored else 0
        if write.adds:
            flops, read[write.target] = flops + turns, turns
    return flops, _bytes(read), _bytes(written)


def _bytes(elements: Counter[Buffer]) -> int:
    return sum(min(n, buffer.size) * buffer.dtype.itemsize for buffer, n in elements.items())


def _turns(variables: Iterable[Var]) -> int:
    return math.prod(v.size for v in variables)
