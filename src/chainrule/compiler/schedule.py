"""From a graph to kernels: which values are stored, and which are computed where they are read.

A kernel is a loop nest that writes one buffer. Whatever need not be stored is fused into the kernels that read it, by
substituting its formula; nothing about particular pairs of operations is written down anywhere.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from chainrule.compiler.blas import pays
from chainrule.dtypes import DType
from chainrule.formula import (
    WRITTEN_OUT,
    Affine,
    Expr,
    Operand,
    Position,
    Reshaped,
    Stores,
    Var,
    affine,
    const,
    read,
)  # fmt: skip
from chainrule.graph import Node, walk
from chainrule.primitives.contraction import parse

__all__ = [
    "Buffer", "Kernel", "Product", "Rows", "Schedule", "Write", "reads", "schedule", "targets", "uniform",
    "without_nodes",
]  # fmt: skip

_LARGEST_INLINE = 400  # operations of one element's formula
_MOST_COMPARED = 2**16
_DEEPEST_INLINE = 100  # bounds the recursion over formulas
_TRANSPARENT = frozenset(("alias", "stop_gradient", "custom"))


@dataclass(eq=False)
class Buffer:
    """A place in memory for one value (or several of the same elements under other shapes)."""

    name: str
    size: int
    dtype: DType
    kind: str  # "input", "output", "held" (a leaf's own array) or "arena"
    place: int = -1  # which input, output or held leaf; the offset in bytes for the arena
    shape: tuple[int, ...] = ()  # as the user sees it


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
class Kernel:
    """for every `space`: its writes, in order."""

    space: tuple[Var, ...]
    writes: tuple[Write, ...]
    ordered: Var | None = None  # turns of this one must follow one another
    zeroes: bool = False  # the whole (one) target becomes 0 first; `space` may then be written in part


@dataclass(frozen=True, eq=False)
class Product:
    """target (m, n) = a (m, k) @ b (k, n) by BLAS; a flag says that an operand lies transposed in memory."""

    target: Buffer
    sizes: tuple[int, int, int]
    a: tuple[Buffer, bool]
    b: tuple[Buffer, bool]
    node: Node | None


@dataclass
class Schedule:
    """Kernels in order, and the buffers they work on."""

    kernels: list[Kernel | Product] = field(default_factory=list)
    buffers: list[Buffer] = field(default_factory=list)
    held: list[Node] = field(default_factory=list)
    views: dict[Node, Buffer] = field(default_factory=dict)


def strides_of(shape: Sequence[int]) -> list[int]:
    """Row-major strides, in elements."""
    strides = [1] * len(shape)
    for i in range(len(shape) - 2, -1, -1):
        strides[i] = strides[i + 1] * shape[i + 1]
    return strides


@dataclass(frozen=True)
class Rows:
    """Leaves that stand for some rows of a larger array, and results that are written back to such rows.

    Attributes:
        read: leaf -> (the leaf of the whole array, the leaf of the row numbers).
        written: output -> (the leaf of the whole array, the leaf of the row numbers).
    """

    read: Mapping[Node, tuple[Node, Node]] = field(default_factory=dict)
    written: Mapping[Node, tuple[Node, Node]] = field(default_factory=dict)


def schedule(inputs: Sequence[Node], outputs: Sequence[Node], rows: Rows | None = None) -> Schedule:
    """The kernels that compute `outputs` from `inputs` and from the leaves that hold their values.

    Outputs that are written back to rows have no buffer of their own among the results.
    """
    return _Scheduler(inputs, outputs, rows or Rows()).run()


class _Scheduler:
    def __init__(self, inputs: Sequence[Node], outputs: Sequence[Node], rows: Rows):
        self.inputs, self.outputs, self.rows = inputs, outputs, rows
        self.order = walk(outputs)
        leaves = {*inputs, *rows.read}
        self.products = {node: found for node in self.order if (found := _product(node, leaves)) is not None}
        self.stored = _stored(self.order, leaves, outputs, self.products)
        self.found = Schedule()
        self.operands: dict[Node, Operand] = {}
        self.spaces: dict[tuple[int, ...], tuple[Var, ...]] = {}
        self.readers = {x: node.path for node in reversed(self.order) for x in node.inputs if x.is_leaf}

    def run(self) -> Schedule:
        for i, node in enumerate(self.inputs):
            self._buffer(node, "input", i)
        for leaf, (whole, numbers) in self.rows.read.items():
            self.operands[leaf] = self._some_rows(leaf, whole, numbers)
        for node in self.order:
            if node in self.found.views or node in self.operands:
                continue
            if node.is_leaf and (number := uniform(node)) is not None:
                self.operands[node] = Operand(node.shape, node.dtype, lambda index, number=number: number)  # type: ignore[misc]
            elif node.is_leaf:
                self._buffer(node, "held", len(self.found.held))
                self.found.held.append(node)
            elif _renames(node):
                self._place(node, self.found.views[node.inputs[0]])
            elif node in self.stored:
                self._buffer(node, "arena", -1)
                self._store(node)
            else:
                self.operands[node] = self._inlined(node)
        self._copy_out()
        return self.found

    def _buffer(self, node: Node, kind: str, place: int) -> Buffer:
        size = 1
        for n in node.shape:
            size *= n
        buffer = Buffer(self._called(node), size, node.dtype, kind, place, node.shape)
        self.found.buffers.append(buffer)
        self._place(node, buffer)
        return buffer

    def _called(self, node: Node) -> str:
        """The user's name behind its module's path; a parameter has the path of the module that reads it."""
        parameter = node.is_leaf and node.tracked and node.value is not None
        path = self.readers.get(node, ()) if parameter else node.path
        return ".".join((*path[1:], node.label))  # within the outermost module

    def _place(self, node: Node, buffer: Buffer) -> None:
        self.found.views[node] = buffer
        strides = strides_of(node.shape)

        def at(index: tuple[Affine, ...]) -> Expr:
            return read(buffer, _offset(index, strides), node.dtype)

        self.operands[node] = Operand(node.shape, node.dtype, _once(at))

    def _space(self, sizes: Sequence[int]) -> tuple[tuple[Var, ...], tuple[Affine, ...]]:
        """The loop variables over these sizes, and the index they make. Axes of size 1 need no loop.

        The variables are the same for all kernels, so that kernels can be merged as they are.
        """
        long = tuple(n for n in sizes if n != 1)
        space = self.spaces.setdefault(long, tuple(Var(n) for n in long))
        left = iter(space)
        return space, tuple(affine(0 if n == 1 else next(left)) for n in sizes)

    def _add(self, space: tuple[Var, ...], write: Write) -> None:
        self.found.kernels.append(Kernel(space, (write,)))

    def _store(self, node: Node) -> None:
        """The kernels that compute `node` into its buffer."""
        lower, buffer = _lower(node), self.found.views[node]
        if node in self.products:
            sizes, (a, flip_a), (b, flip_b) = self.products[node]
            one, two = (self._as_buffer(a), flip_a), (self._as_buffer(b), flip_b)
            self.found.kernels.append(Product(buffer, sizes, one, two, node))
            return
        operands = [self.operands[x] for x in node.inputs]
        strides = strides_of(node.shape)
        if not isinstance(lower, Stores):
            space, index = self._space(node.shape)
            value = self._formula(node)(index)
            self._add(space, Write(buffer, _offset(index, strides), value, node))
            return
        zeroed = lower.zeroed
        for store in lower.plan(operands, self.operands[node], **node.attrs):
            space, index = self._space(store.sizes)
            ordered = None if store.ordered is None else next((v for v, _ in index[store.ordered].terms), None)
            place = _offset([affine(k) for k in store.place(index)], strides)
            value = store.value(index)
            write = Write(buffer, place, value, node, store.adds)
            self.found.kernels.append(Kernel(space, (write,), ordered, zeroed))
            zeroed = False

    def _as_buffer(self, node: Node) -> Buffer:
        """The buffer of a node; rows of a larger array, and constants, are copied into one."""
        if node not in self.found.views:
            operand = self.operands[node]
            space, index = self._space(node.shape)
            buffer = self._buffer(node, "arena", -1)
            self._add(space, Write(buffer, _offset(index, strides_of(node.shape)), operand[index], node))
        return self.found.views[node]

    def _formula(self, node: Node) -> Callable[[tuple[Affine, ...]], Expr]:
        operands = [self.operands[x] for x in node.inputs]
        lower: Any = _lower(node)
        if isinstance(lower, Reshaped):
            return lambda index: operands[0][_units_moved(index, node.shape, node.inputs[0].shape)]
        return lambda index: lower(operands, index, **node.attrs)

    def _inlined(self, node: Node) -> Operand:
        """An operand that is computed where it is read."""
        return Operand(node.shape, node.dtype, _once(self._formula(node)))

    def _some_rows(self, leaf: Node, whole: Node, numbers: Node) -> Operand:
        size, array, at = whole.shape[0], self.operands[whole], self.operands[numbers]
        return Operand(
            leaf.shape, leaf.dtype, lambda index: array[(Var(size, at[index[:1]], trusted=True), *index[1:])]
        )

    def _write_rows(self, node: Node, whole: Node, numbers: Node) -> None:
        space, index = self._space(node.shape)
        row = Var(whole.shape[0], self.operands[numbers][index[:1]], trusted=True)
        place = _offset([affine(row), *index[1:]], strides_of(whole.shape))
        value = self.operands[node][index]
        self._add(space, Write(self.found.views[whole], place, value, node))

    def _copy_out(self) -> None:
        """Outputs that are views, leaves, or asked for twice are copied into a buffer of their own."""
        taken: set[Buffer] = set()
        for node, (whole, numbers) in self.rows.written.items():
            self._write_rows(node, whole, numbers)
        for i, node in enumerate(y for y in self.outputs if y not in self.rows.written):
            if node not in self.found.views:  # a constant
                self._buffer(node, "held", len(self.found.held))
                self.found.held.append(node)
            buffer = self.found.views[node]
            if buffer.kind == "arena" and buffer not in taken:
                buffer.kind, buffer.place = "output", i
                taken.add(buffer)
                continue
            copy = Buffer(self._called(node), buffer.size, buffer.dtype, "output", i, node.shape)
            self.found.buffers.append(copy)
            space, (at,) = self._space((buffer.size,))
            self._add(space, Write(copy, at, read(buffer, at, buffer.dtype), node))


def _once(formula: Callable[[tuple[Affine, ...]], Expr]) -> Callable[[tuple[Affine, ...]], Expr]:
    """A formula that makes one expression an index, so that what is read twice is computed once."""
    return functools.cache(formula)


def targets(kernel: Kernel | Product) -> list[Buffer]:
    """What a kernel writes."""
    return [kernel.target] if isinstance(kernel, Product) else [write.target for write in kernel.writes]


def without_nodes(kernel: Kernel | Product) -> Kernel | Product:
    """The same kernel without the graph it came from."""
    if isinstance(kernel, Product):
        return replace(kernel, node=None)
    return replace(kernel, writes=tuple(replace(write, node=None) for write in kernel.writes))


def reads(kernel: Kernel | Product) -> Iterator[tuple[Buffer, Affine | None]]:
    """Every (buffer, offset) that a kernel reads, each expression once; offset None: all of it."""
    if isinstance(kernel, Product):
        yield kernel.a[0], None
        yield kernel.b[0], None
        return
    seen: set[int] = set()
    stack = [write.value for write in kernel.writes]
    stack += [var.value for write in kernel.writes for var, _ in write.place.terms if var.value is not None]
    while stack:
        expr = stack.pop()
        if id(expr) in seen:
            continue
        seen.add(id(expr))
        stack.extend(expr.args)
        if expr.op == "read":
            source, offset = expr.data
            yield source, offset
            stack.extend(var.value for var, _ in offset.terms if var.value is not None)


def _offset(index: Sequence[Position], strides: Sequence[int]) -> Affine:
    offset = Affine()
    for k, stride in zip(index, strides, strict=True):
        offset = offset + affine(k) * stride
    return offset


def uniform(node: Node) -> Expr | None:
    """The one number that all elements of a constant are, if there is one (a large one is not searched for it)."""
    value = node.value
    if node.tracked or value is None or not value.size:
        return None
    if any(value.strides) and (value.size > _MOST_COMPARED or not (value == value.flat[0]).all()):
        return None
    return const(value.flat[0], node.dtype)


def _units_moved(index: tuple[Affine, ...], shape: Sequence[int], wanted: Sequence[int]) -> list[Position]:
    """`index` into `shape` as one into `wanted`, which differs in axes of size 1 only."""
    kept = iter([k for k, n in zip(index, shape, strict=True) if n != 1])
    return [0 if n == 1 else next(kept) for n in wanted]


def _lower(node: Node) -> Any:
    assert node.primitive is not None
    return node.primitive.lower


def _product(node: Node, leaves: set[Node]) -> tuple[tuple[int, int, int], tuple[Node, bool], tuple[Node, bool]] | None:
    """The sizes and operands of a matrix product that is left to BLAS; None for anything else."""
    if node.is_leaf or node in leaves or _name(node) != "contract":
        return None
    a, b, out = parse(node.attrs["spec"])
    if not (len(a) == len(b) == len(out) == 2 and len({*a, *b}) == 3):
        return None
    (x, a), (y, b) = (_behind_transposes(x, labels) for x, labels in zip(node.inputs, (a, b), strict=True))
    if out[0] not in a:
        (x, a), (y, b) = (y, b), (x, a)
    inner = next(label for label in a if label not in out)
    sizes = dict(zip(a + b, x.shape + y.shape, strict=True))
    m, n, k = sizes[out[0]], sizes[out[1]], sizes[inner]
    flip_a, flip_b = a == inner + out[0], b == out[1] + inner
    if not pays(m, n, k, node.dtype, flip_b):
        return None
    return (m, n, k), (x, flip_a), (y, flip_b)


def _behind_transposes(x: Node, labels: str) -> tuple[Node, str]:
    while not x.is_leaf and _name(x) == "transpose":
        labels = "".join(labels[x.attrs["axes"].index(i)] for i in range(len(labels)))
        x = x.inputs[0]
    return x, labels


def _stored(
    order: Sequence[Node], inputs: set[Node], outputs: Sequence[Node], products: Mapping[Node, Any]
) -> set[Node]:
    """The nodes that get a buffer: decided from the last to the first, since it depends on the readers.

    Stored is what is asked for, what is written rather than read, what several readers share, what one reader would
    compute more than once an element, and what a reshape renames; the rest is computed where it is read.
    """
    stored = {node for node in outputs if not node.is_leaf} | _cuts(order, inputs) | {*products}
    stored |= {x for _, *operands in products.values() for x, _ in operands if not x.is_leaf}
    reads: dict[Node, int] = dict.fromkeys(order, 0)
    repeated: set[Node] = set()
    for node in reversed(order):
        if node.is_leaf or node in inputs:
            continue
        free = _is_free(node)
        again = node in repeated and not _is_narrow(node)
        if isinstance(_lower(node), Stores) or (not free and (reads[node] > 1 or again)):
            stored.add(node)
        fused = node not in stored
        for i, x in enumerate(node.inputs):
            reads[x] += reads[node] if fused else 1
            if _repeats(node) or (fused and node in repeated):
                repeated.add(x)
            if not x.is_leaf and (_renames(node) or (i == 1 and _name(node) in ("gather", "scatter_add"))):
                stored.add(x)
    return stored


def _cuts(order: Sequence[Node], inputs: set[Node]) -> set[Node]:
    """Nodes stored only to keep the formulas of what is fused short."""
    found: set[Node] = set()
    size: dict[Node, int] = {}
    depth: dict[Node, int] = {}
    for node in order:
        if node.is_leaf or node in inputs:
            size[node] = depth[node] = 1
            continue
        size[node] = _width(node) + sum(size[x] for x in node.inputs)
        depth[node] = _terms(node) % (WRITTEN_OUT + 1) + max(depth[x] for x in node.inputs)
        if size[node] > _LARGEST_INLINE or depth[node] > _DEEPEST_INLINE:
            found.add(node)
            size[node] = depth[node] = 1
    return found


def _width(node: Node) -> int:
    """How many terms a formula gets from a node: those of a written-out sum, for each element of a short row."""
    if not _is_narrow(node):
        return 1
    return max(1, math.prod(node.shape) // max((1, *node.shape))) * _terms(node)


def _terms(node: Node) -> int:
    """How many terms one element of a sum has."""
    if _name(node) == "contract":
        labels, _, out = parse(node.attrs["spec"])
        return math.prod(n for label, n in zip(labels, node.inputs[0].shape, strict=True) if label not in out)
    return math.prod(node.inputs[0].shape[a] for a in node.attrs["axes"]) if _name(node) in ("sum", "max") else 1


def _is_narrow(node: Node) -> bool:
    """Whether it has many short rows: then a sum over a row is written out, and what it reads need not be stored."""
    rows = max((1, *node.shape))
    return math.prod(node.shape) <= rows * WRITTEN_OUT and rows > WRITTEN_OUT and _terms(node) <= WRITTEN_OUT


def _name(node: Node) -> str:
    assert node.primitive is not None
    return node.primitive.name


def _renames(node: Node) -> bool:
    """Whether it is a reshape that does more than add or drop axes of size 1."""
    return isinstance(_lower(node), Reshaped) and not _only_units(node)


def _only_units(node: Node) -> bool:
    return [n for n in node.shape if n != 1] == [n for n in node.inputs[0].shape if n != 1]


def _repeats(node: Node) -> bool:
    """Whether it reads an element of its inputs more than once."""
    return _name(node) in ("expand", "contract", "gather")


def _is_free(node: Node) -> bool:
    """Whether reading it costs as much as reading its input."""
    return _name(node) in ("expand", "transpose", "flip", "slice", *_TRANSPARENT) or isinstance(_lower(node), Reshaped)
