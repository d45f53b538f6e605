"""From a graph to kernels.

A kernel is a loop nest that writes one buffer. Whatever need not be stored is fused into the kernels that read it, by
substituting its formula; nothing about particular pairs of operations is written down anywhere.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from chainrule.compiler.fusion import by_loops, is_read_often, lower_of, product, renames, stored_nodes
from chainrule.compiler.kernels import Buffer, Kernel, Rows, Schedule, Write, strides_of
from chainrule.formula import Affine, Expr, Operand, Position, Reshaped, Stores, Var, affine, const, read
from chainrule.graph import Node, walk
from chainrule.primitives.contraction import parse

__all__ = ["schedule", "uniform"]

_MOST_COMPARED = 2**16


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
        self.matrices = {node: found for node in self.order if (found := product(node, leaves)) is not None}
        self.stored = stored_nodes(self.order, leaves, outputs)
        self.found = Schedule()
        self.operands: dict[Node, Operand] = {}
        self.turned: dict[Node, Operand] = {}  # transposed copies
        self.spaces: dict[tuple[int, ...], tuple[Var, ...]] = {}
        self.row_numbers: dict[tuple[int, int], Var] = {}
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
            elif renames(node):
                self._place(node, self.found.views[node.inputs[0]])
            else:
                self._arrange(node)
                self._compute(node)
        self._copy_out()
        return self.found

    def _compute(self, node: Node) -> None:
        """Where it is stored, or else where it is read."""
        if node in self.stored:
            self._buffer(node, "arena", -1)
            self._store(node)
        else:
            self.operands[node] = Operand(node.shape, node.dtype, _once(self._formula(node)))

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
        lower, buffer = lower_of(node), self.found.views[node]
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
            self.found.kernels.append(Kernel(space, (write,), ordered, zeroes=zeroed))
            zeroed = False

    def _as_buffer(self, node: Node) -> Buffer:
        """The buffer of a node; rows of a larger array, and constants, are copied into one."""
        if node not in self.found.views:
            operand = self.operands[node]
            space, index = self._space(node.shape)
            buffer = self._buffer(node, "arena", -1)
            self._add(space, Write(buffer, _offset(index, strides_of(node.shape)), operand[index], node))
        return self.found.views[node]

    def _arrange(self, node: Node) -> None:
        """Copies an operand of a matrix product by loops to where what is read together lies together."""
        found = self.matrices.get(node)
        if found is None or not is_read_often(found):
            return
        for x, _ in (found.a, found.b):
            if x in self.rows.read:
                self._as_buffer(x)
        y, transposed = found.b
        if transposed and y not in self.turned and by_loops(found, node):
            self.turned[y] = self._transposed(y)

    def _transposed(self, y: Node) -> Operand:
        """A copy of a matrix that is contiguous along its first axis."""
        shape = y.shape[::-1]
        buffer = Buffer(f"{self._called(y)}.T", shape[0] * shape[1], y.dtype, "arena", -1, shape)
        self.found.buffers.append(buffer)
        space, index = self._space(shape)

        def at(index: tuple[Affine, ...]) -> Expr:
            return read(buffer, _offset(index, strides_of(shape)), y.dtype)

        write = Write(buffer, _offset(index, strides_of(shape)), self.operands[y][index[::-1]], None)
        self.found.kernels.append(Kernel(space, (write,), alone=True))
        return Operand(shape, y.dtype, _once(at))

    def _operands(self, node: Node) -> list[Operand]:
        """What an operation reads; of a matrix product the transposed copy of its second operand, if there is one."""
        operands = [self.operands[x] for x in node.inputs]
        found = self.matrices.get(node)
        if found is None or found.b[0] not in self.turned or not (found.b[1] and is_read_often(found)):
            return operands
        if not by_loops(found, node):
            return operands
        *both, out = parse(node.attrs["spec"])
        second = next(i for i, labels in enumerate(both) if out[1] in labels)
        labels = both[second]  # of the node that is read, which may itself be a transpose
        inner, column = (labels.index(label) for label in sorted(labels, key=out.__contains__))
        turned, plain = self.turned[found.b[0]], operands[second]
        operands[second] = Operand(plain.shape, plain.dtype, lambda index: turned[index[inner], index[column]])
        return operands

    def _formula(self, node: Node) -> Callable[[tuple[Affine, ...]], Expr]:
        operands = self._operands(node)
        lower: Any = lower_of(node)
        if isinstance(lower, Reshaped):
            return lambda index: operands[0][_units_moved(index, node.shape, node.inputs[0].shape)]
        return lambda index: lower(operands, index, **node.attrs)

    def _some_rows(self, leaf: Node, whole: Node, numbers: Node) -> Operand:
        array = self.operands[whole]
        return Operand(leaf.shape, leaf.dtype, lambda index: array[(self._row(whole, numbers, index), *index[1:])])

    def _row(self, whole: Node, numbers: Node, index: tuple[Affine, ...]) -> Var:
        """The row of `whole` that `index` begins with; the same variable wherever it is asked for."""
        size, at = whole.shape[0], self.operands[numbers][index[:1]]
        return self.row_numbers.setdefault((size, id(at)), Var(size, at, trusted=True))

    def _write_rows(self, node: Node, whole: Node, numbers: Node) -> None:
        space, index = self._space(node.shape)
        place = _offset([affine(self._row(whole, numbers, index)), *index[1:]], strides_of(whole.shape))
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
