"""Kernels and the buffers they work on: what the stages of the compiler hand to one another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from chainrule.dtypes import DType
from chainrule.formula import Affine, Expr, Var
from chainrule.graph import Node

__all__ = [
    "Buffer", "Kernel", "Rows", "Schedule", "Tiles", "Used", "Write", "reads", "strides_of", "targets", "without_nodes",
]  # fmt: skip


@dataclass(eq=False)
class Buffer:
    """A place in memory for one value (or several of the same elements under other shapes)."""

    name: str
    size: int
    dtype: DType
    kind: str  # "input", "output", "held" (a leaf's own array), "arena", or "carried" (what a loop has a copy of)
    place: int = -1  # which input, output or held leaf; the offset in bytes for the arena
    shape: tuple[int, ...] = ()  # as the user sees it
    columns: int = 0  # the elements of a row, and what it takes with the gap behind it, if there is one
    room: int = 0

    @property
    def nbytes(self) -> int:
        """The memory that it takes."""
        return self.size * self.dtype.itemsize


@dataclass(frozen=True, eq=False)
class Write:
    """target[place] = value (or += value, where it `adds`); not `stored`: only the kernel itself reads it.

    `else_zero`: a target of one element, which is 0 where the condition of its kernel does not hold.
    """

    target: Buffer
    place: Affine
    value: Expr
    node: Node | None
    adds: bool = False
    stored: bool = True
    else_zero: bool = False


@dataclass(frozen=True, eq=False)
class Tiles:
    """How a kernel computes its one large matrix product: tile by tile of the result (`tiles.py`).

    Attributes:
        row, column: the axes of the result.
        shape: rows and columns of a tile.
    """

    row: Var
    column: Var
    shape: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Kernel:
    """for every `space`: its writes, in order."""

    space: tuple[Var, ...]
    writes: tuple[Write, ...]
    ordered: Var | None = None  # turns of this one must follow one another
    alone: bool = False  # no other kernel joins its loops
    zeroes: bool = False  # the whole (one) target becomes 0 first; `space` may then be written in part
    tiles: Tiles | None = None
    beside: tuple[Write, ...] = ()  # for every `space` and every term of its one sum, in the loop of that
    only: Expr | None = None  # a condition as 0 or 1: at 0, what it would write is there already (but see `Write`)

    @property
    def written(self) -> tuple[Write, ...]:
        """All that it writes."""
        return (*self.writes, *self.beside)

    def with_writes(self, made: Callable[[Write], Write]) -> Kernel:
        """The same kernel with what is `made` of each write."""
        return replace(self, writes=tuple(map(made, self.writes)), beside=tuple(map(made, self.beside)))

    @cached_property
    def expressions(self) -> tuple[Expr, ...]:
        """Every expression once, those that say where it reads and writes included."""
        found: dict[int, Expr] = {}
        stack = [write.value for write in self.written] + ([self.only] if self.only is not None else [])
        stack += [var.value for write in self.written for var, _ in write.place.terms if var.value is not None]
        while stack:
            expr = stack.pop()
            if id(expr) not in found:
                found[id(expr)] = expr
                stack.extend(expr.args)
                stack.extend(var.value for var, _ in expr.place.terms if var.value is not None)
        return tuple(found.values())


@dataclass
class Schedule:
    """Kernels in order, and the buffers they work on."""

    kernels: list[Kernel] = field(default_factory=list)
    buffers: list[Buffer] = field(default_factory=list)
    held: list[Node] = field(default_factory=list)
    views: dict[Node, Buffer] = field(default_factory=dict)


@dataclass(frozen=True)
class Rows:
    """Leaves that stand for some rows of a larger array, and results that are written back to such rows.

    Attributes:
        read: leaf -> (the leaf of the whole array, the leaf of the row numbers).
        written: output -> (the leaf of the whole array, the leaf of the row numbers).
    """

    read: Mapping[Node, tuple[Node, Node]] = field(default_factory=dict)
    written: Mapping[Node, tuple[Node, Node]] = field(default_factory=dict)


def targets(kernel: Kernel) -> list[Buffer]:
    """What a kernel writes."""
    return [write.target for write in kernel.written]


def without_nodes(kernel: Kernel) -> Kernel:
    """The same kernel without the graph it came from."""
    return kernel.with_writes(lambda write: replace(write, node=None))


def reads(kernel: Kernel) -> Iterator[tuple[Buffer, Affine]]:
    """Every (buffer, offset) that a kernel reads, each expression once."""
    return (expr.data for expr in kernel.expressions if expr.op == "read")


class Used:
    """What a kernel reads and writes, and which inputs it may write `over`."""

    def __init__(self, kernel: Kernel, over: Mapping[Buffer, Buffer]):
        self.kernel = kernel
        self.read, self.written = {b for b, _ in reads(kernel)}, set(targets(kernel))
        self.replaced = {over[b] for b in self.written if b in over}

    def follows(self, other: Used) -> bool:
        """Whether it has to stay behind `other`, which comes before it."""
        replaced = self.replaced & other.read
        return bool(self.read & other.written or self.written & (other.read | other.written) or replaced)


def strides_of(shape: Sequence[int]) -> list[int]:
    """Row-major strides, in elements."""
    strides = [1] * len(shape)
    for i in range(len(shape) - 2, -1, -1):
        strides[i] = strides[i + 1] * shape[i + 1]
    return strides
