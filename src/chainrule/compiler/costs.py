"""What a schedule costs: operations and bytes, counted on its formulas."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from chainrule.compiler.kernels import Buffer, Kernel, Schedule, targets
from chainrule.formula import Var

__all__ = ["Report", "costs", "own_bytes"]

_NO_WORK = frozenset(("const", "read", "position", "cast"))


@dataclass(frozen=True)
class Report:
    """What a compiled function consists of, for one run of it (one step, of a training loop).

    Attributes:
        kernels: loop nests.
        flops: scalar operations; what does not change in a loop counts once, an elementary function counts as one.
        bytes_read, bytes_written: between the kernels and memory, every array once a kernel.
        arena_bytes: memory for values in between. The records of a training loop use the step's.
        peak_bytes: all memory that a run takes besides the arrays it is given: the arena and the outputs; of a training
            loop also what it carries from step to step (parameters, optimizer state), which it has a copy of to itself.
            Not counted: a few numbers a step (its loss and rows), the code, the threads' stacks (a panel of a large
            product lies there, up to 150 KiB), and the earlier values that `fit` can go back to: of those there is
            another copy, if they are larger than 1 MiB not in the first second.
        compile_seconds: from the graph to machine code.
        threads: how many threads a run may have now (`crew.threads`), 1 where nothing is large enough to share.
    """

    kernels: int
    flops: int
    bytes_read: int
    bytes_written: int
    arena_bytes: int
    peak_bytes: int
    compile_seconds: float
    threads: int

    def __str__(self) -> str:
        kernels = f"{self.kernels} kernel{'s' if self.kernels != 1 else ''}"
        threads = f"{self.threads} thread{'s' if self.threads != 1 else ''}"
        return (
            f"{kernels}, {self.flops:,} flops, {self.bytes_read:,} bytes read, {self.bytes_written:,} written, "
            f"{self.arena_bytes:,} bytes of arena ({self.peak_bytes:,} in all), {threads}, "
            f"compiled in {1e3 * self.compile_seconds:.3g} ms"
        )


def costs(found: Schedule) -> tuple[int, int, int, int]:
    """Kernels, operations, bytes read and bytes written of one run."""
    counts = [_kernel(k) for k in found.kernels]
    flops, read, written = (sum(count[i] for count in counts) for i in range(3))
    return len(found.kernels), flops, read, written


def own_bytes(found: Schedule, carried: Iterable[Buffer] = (), in_place: Collection[Buffer] = ()) -> int:
    """The bytes of the arrays that a run makes: its outputs but for those `in_place`, and inputs that it changes."""
    changed = {*carried, *(b for kernel in found.kernels for b in targets(kernel) if b.kind == "input")}
    made = {b for b in found.buffers if b.kind == "output" and b not in in_place}
    return sum(b.nbytes for b in changed | made)


def _kernel(kernel: Kernel) -> tuple[int, int, int]:
    flops, read, written = 0, Counter[Buffer](), Counter[Buffer]()
    own = set(targets(kernel)) if kernel.ordered is None else set()
    for expr in kernel.expressions:
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
    for write in kernel.beside:
        written[write.target] += write.target.size if write.stored else 0
    return flops, _bytes(read), _bytes(written)


def _bytes(elements: Counter[Buffer]) -> int:
    return sum(min(n, buffer.size) * buffer.dtype.itemsize for buffer, n in elements.items())


def _turns(variables: Iterable[Var]) -> int:
    return math.prod(v.size for v in variables)
