"""Kernels and the buffers they work on: what the stages of the compiler hand to one another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from chainrule.dtypes import DType
from chainrule.formula import Affine, Expr, Var
from chainrule.graph import Node

__all__ = [
    "Buffer", "Kernel", "Rows", "Schedule", "Tiles", "Write", "expressions", "reads", "strides_of", "targets",
    "without_nodes",
]  # fmt: skip


@dataclass(eq=False)
class Buffer:
    """A place in memory for one value (or several of the same elements under other shapes)."""

    name: str
    size: int
    dtype: DType
    kind: str  # "input", "output", "held" (a leaf's own array) or "arena"
    place: int = -1  # which input, output or held leaf; the offset in bytes for the arena
    shape: tuple[int, ...] = ()  # as the user sees it

    @property
    def nbytes(self) -> int:
        """The memory that it takes."""
        return self.size * self.dtype.itemsize


@dataclass(frozen=True, eq=False)
class Write:
    """target[place] = value (or += value, where it `adds`); not `stored`: only the kernel itself reads it."""

    target: Buffer
    place: Affine
    value: Expr
    node: Node | None
    adds: bool = False
    stored: bool = True


@dataclass(frozen=True, eq=False)
class Tiles:
    """How a kernel computes its one large matrix product: tile by tile of the result (`tiles.py`).

    Attributes:
        total: the sum of products of two reads, along the row and along the column.
        row, column: the axes of the result.
        shape: rows and columns of a tile.
    """

    total: Expr
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
    return [write.target for write in kernel.writes]


def without_nodes(kernel: Kernel) -> Kernel:
    """The same kernel without the graph it came from."""
    return replace(kernel, writes=tuple(replace(write, node=None) for write in kernel.writes))


def expressions(kernel: Kernel) -> Iterator[Expr]:
    """Every expression of a kernel once, those that say where it reads and writes included."""
    seen: set[int] = set()
    stack = [write.value for write in kernel.writes]
    stack += [var.value for write in kernel.writes for var, _ in write.place.terms if var.value is not None]
    while stack:
        expr = stack.pop()
        if id(expr) not in seen:
            seen.add(id(expr))
            yield expr
            stack.extend(expr.args)
            stack.extend(var.value for var, _ in expr.place.terms if var.value is not None)


def reads(kernel: Kernel) -> Iterator[tuple[Buffer, Affine]]:
    """Every (buffer, offset) that a kernel reads, each expression once."""
    return (expr.data for expr in expressions(kernel) if expr.op == "read")


def strides_of(shape: Sequence[int]) -> list[int]:
    """Row-major strides, in elements."""
    strides = [1] * len(shape)
    for i in range(len(shape) - 2, -1, -1):
        strides[i] = strides[i + 1] * shape[i + 1]
    return strides
