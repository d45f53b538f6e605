"""From a kernel to loops over vectors: the axis of the vectors is chosen here, and accumulators stay in registers.

A kernel runs its vectors along the axis of its result where reads and writes are contiguous, if there is one that is
long enough; else along the innermost axis of each sum. An axis of n is cut into strips of falling powers of two (for
100 lanes of which 32 fit: 3 x 32 and 4): the longest in a loop, the rest one after another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from chainrule.compiler import blas
from chainrule.compiler.axes import all_of, strips, sum_axis, vector_axis
from chainrule.compiler.elementary import ELEMENTARY
from chainrule.compiler.scalars import FLAGS, emit, literal, splat, type_of
from chainrule.compiler.schedule import Buffer, Kernel, Product, Write, targets
from chainrule.compiler.text import Text, Value
from chainrule.dtypes import DType
from chainrule.formula import Affine, Expr, Var, affine, read

__all__ = ["write_kernel"]

_VECTOR_BYTES = 64
_ACCUMULATORS = 4  # vectors carried by one sum, to hide the latency of the addition
_SHORT = 24  # expressions in the terms of a sum that carries several accumulators
_REGISTERS = 16  # vectors that the sums of a block may carry
_MOST_ROWS = 4
_TOGETHER = 4  # strips of the widest kind that are computed at once
_UNROLLED = 8  # loops of up to so many turns are written out
_UNROLLED_TOTAL = 64
_I64 = np.dtype("int64")


def write_kernel(text: Text, kernel: Kernel | Product, pointers: dict[Buffer, Value]) -> None:
    """The code of one kernel."""
    if isinstance(kernel, Product):
        (a, flip_a), (b, flip_b) = kernel.a, kernel.b
        operands = (pointers[a], flip_a), (pointers[b], flip_b)
        blas.call(text, kernel.target.dtype, kernel.sizes, *operands, pointers[kernel.target])
        return
    if kernel.zeroes:
        (target,) = targets(kernel)
        nbytes = target.size * target.dtype.itemsize
        text.declared.add("declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)")
        text.do(f"call void @llvm.memset.p0.i64(ptr {pointers[target]}, i8 0, i64 {nbytes}, i1 false)")
    if all(var.size for var in kernel.space):
        _Writer(text, kernel, pointers).write()


@dataclass(frozen=True)
class _Strip:
    """`width` lanes of a vector axis, at the place where `bound` puts its variables.

    Values that differ between lanes are known by `context`, those that are the same in all lanes by `row`.
    """

    context: int
    width: int
    row: int = 0
    bound: dict[Var, Value] = field(default_factory=dict)


class _Writer:
    def __init__(self, text: Text, kernel: Kernel, pointers: dict[Buffer, Value]):
        self.text, self.kernel, self.pointers = text, kernel, pointers
        self.bound: dict[Var, Value] = {}
        self.scopes: list[dict[tuple[int, int], Value]] = [{}]
        self.width = 1  # lanes of the vector variable `along`
        self.context = self.row = self.contexts = 0  # which strip, and which row, values belong to; 0: to none
        self.along: Var | None = None
        self.unrolled = 1
        self.kept: list[Expr] = []  # expressions made here stay alive, since they are known by identity

    def write(self) -> None:
        vector = vector_axis(self.kernel)
        outer = [var for var in self.kernel.space if var is not vector]
        self._nest(outer, vector)

    def _nest(self, outer: Sequence[Var], vector: Var | None) -> None:
        if len(outer) == 1 and vector is not None and (rows := self._rows(outer[0], vector)) > 1:
            self._blocks(outer[0], vector, rows)
        elif outer:
            self._for(outer[0], lambda: self._nest(outer[1:], vector))
        elif vector is not None:
            self._strips(vector)
        else:
            self._store()

    # Loops
    def _for(self, var: Var, body: Callable[[], None]) -> None:
        """`body` for every value of `var`, written out if they are few."""
        self._hoist_all({var, *self._unbound()})
        if var.size <= _UNROLLED and self.unrolled * var.size <= _UNROLLED_TOTAL:
            self.unrolled *= var.size
            for i in range(var.size):
                with self._scope({var: str(i)}):
                    body()
            self.unrolled //= var.size
            return

        def turn(i: Value, _: list[Value]) -> list[Value]:
            with self._scope({var: i}):
                body()
            return []

        self.text.loop(0, var.size, 1, [], turn)

    def _unbound(self) -> set[Var]:
        return {var for var in self.kernel.space if var not in self.bound}

    def _rows(self, outer: Var, vector: Var) -> int:
        """How many rows are computed at once: as many as keep the accumulators of their sums in registers."""
        if outer is self.kernel.ordered or not self._sums(vector) or outer in _needed_by_places(self.kernel):
            return 1
        lanes = max(1, _VECTOR_BYTES // max(write.value.dtype.itemsize for write in self.kernel.writes))
        vectors = min(sum(-(-width // lanes) for _, _, width in self._cut(vector)), _ACCUMULATORS)
        rows = 1
        while rows * 2 * vectors <= _REGISTERS and rows * 2 <= min(outer.size, _MOST_ROWS):
            rows *= 2
        return rows

    def _blocks(self, outer: Var, vector: Var, rows: int) -> None:
        """The loop over `outer` in blocks of `rows`; those left over one by one."""
        stop = outer.size // rows * rows

        def block(i: Value, _: list[Value]) -> list[Value]:
            block_rows = [{outer: self._shifted(i, k)} for k in range(rows)]
            self._strips(vector, block_rows)
            return []

        self.text.loop(0, stop, rows, [], block)
        for i in range(stop, outer.size):
            with self._scope({outer: str(i)}):
                self._strips(vector, [{}])

    def _cut(self, var: Var) -> list[tuple[int, int, int]]:
        return list(strips(var.size, _lanes(self.kernel)))

    def _strips(self, var: Var, rows: Sequence[dict[Var, Value]] = ({},)) -> None:
        """The vector axis in strips, all at once where a sum then keeps all its accumulators in registers.

        Else the widest are in a loop and the rest is at once.
        """
        if len(rows) == 1:
            self._hoist_all({var})
        self.along = var
        found = self._cut(var)
        start, stop, most = found[0]
        looped = var.size > (_TOGETHER if len(rows) == 1 else 1) * most and stop > 2 * most
        if looped:
            self.text.loop(start, stop, most, [], lambda i, _: self._together(var, [(i, most)], rows))
        rest = [(str(i), width) for a, b, width in found[looped:] for i in range(a, b, width)]
        if rest:
            self._together(var, rest, rows)
        self.along = None

    def _together(self, var: Var, places: Sequence[tuple[Value, int]], rows: Sequence[dict[Var, Value]]) -> list[Value]:
        """Strips of `var` at (start, width), in every row, with one loop for a sum of all of them."""
        made = [
            _Strip(self._context(), width, row, {var: start, **bound})
            for row, bound in ((self._context() if bound else 0, bound) for bound in rows)
            for start, width in places
        ]
        with self._scope({}):
            for expr in self._sums(var) if len(made) > 1 else ():
                self._sum_together(expr, made)
            for strip in made:
                with self._in(strip):
                    self._store()
        return []

    def _sums(self, var: Var) -> list[Expr]:
        """The outermost sums along `var` that read nothing that this kernel writes."""
        found: list[Expr] = []
        own = set(targets(self.kernel))
        stack = [write.value for write in self.kernel.writes]
        while stack:
            expr = stack.pop()
            if expr.op != "reduce":
                stack.extend(expr.args)
                continue
            whole = var in expr.needs and expr.data[0] != "argmax" and all(v.size for v in expr.data[1])
            if whole and expr not in found and not any(e.op == "read" and e.data[0] in own for e in all_of(expr)):
                found.append(expr)
        return found

    def _sum_together(self, expr: Expr, made: Sequence[_Strip]) -> None:
        kind, over = expr.data
        (body,) = expr.args
        totals = []
        for strip in made:
            with self._in(strip):
                self._hoist(body, {*over, *self._unbound()})
                totals.append(splat(self.text, _identity(kind, expr.dtype), expr.dtype, strip.width))
        totals = self._accumulate(kind, expr.dtype, over, totals, body, made)
        for strip, total in zip(made, totals, strict=True):
            self.scopes[-1][id(expr), strip.context] = total

    def _context(self) -> int:
        """A number for a strip: values along the vector axis belong to one."""
        self.contexts += 1
        return self.contexts

    @contextmanager
    def _in(self, strip: _Strip) -> Iterator[None]:
        """Values are those of `strip`."""
        before = self.context, self.row, self.width
        self.context, self.row, self.width = strip.context, strip.row, strip.width
        self.bound.update(strip.bound)
        yield
        for var in strip.bound:
            del self.bound[var]
        self.context, self.row, self.width = before

    @contextmanager
    def _scope(self, bound: dict[Var, Value]) -> Iterator[None]:
        """Values computed inside depend on `bound` and are forgotten after."""
        self.bound.update(bound)
        self.scopes.append({})
        yield
        self.scopes.pop()
        for var in bound:
            del self.bound[var]

    def _store(self) -> None:
        """One element of every result (or one strip)."""
        for write in self.kernel.writes:
            value = self._value(write.value)
            self.scopes[-1][id(write.target), self.context] = value
            if write.stored:
                self._write(write, value)

    def _write(self, write: Write, value: Value) -> None:
        dtype, width = write.target.dtype, self.width
        if width == 1 or write.place.stride(self.along) == 1:  # type: ignore[arg-type]
            address = self._address(write.target, self._offset(write.place))
            if write.adds:
                value = self._add(self._load(address, dtype, width), value, dtype)
            self._put(address, value, dtype, width)
            return
        for lane, offset in enumerate(self._lane_offsets(write.place)):
            one = self.text.let(f"extractelement {type_of(dtype, width)} {value}, i64 {lane}")
            self._put(self._address(write.target, offset), one, dtype, 1)

    def _add(self, a: Value, b: Value, dtype: DType) -> Value:
        return emit(self.text, "add", [a, b], [dtype, dtype], dtype, self.width)

    # Memory
    def _offset(self, place: Affine) -> Value:
        """A position as a number of elements (that of the first lane)."""
        total: Value | None = None
        constant = place.offset
        for var, factor in place.terms:
            at = self.bound[var] if var.value is None else self._scalar_index(var)
            if not at.startswith("%"):
                constant += factor * int(at)
                continue
            term = at if factor == 1 else self.text.let(f"mul nsw i64 {at}, {factor}")
            total = term if total is None else self.text.let(f"add nsw i64 {total}, {term}")
        if total is None:
            return str(constant)
        return total if constant == 0 else self.text.let(f"add nsw i64 {total}, {constant}")

    def _scalar_index(self, var: Var) -> Value:
        assert var.value is not None
        with self._one_lane():
            return self._index_value(self._value(var.value), var, 1)

    def _index_value(self, value: Value, var: Var, width: int) -> Value:
        """A position that was read, counted from the end where it is negative."""
        assert var.value is not None
        wide = emit(self.text, "cast", [value], [var.value.dtype], _I64, width)
        if var.trusted:
            return wide
        t = type_of(_I64, width)
        size, zero = splat(self.text, str(var.size), _I64, width), splat(self.text, "0", _I64, width)
        below = self.text.let(f"icmp slt {t} {wide}, {zero}")
        moved = self.text.let(f"add {t} {wide}, {size}")
        kinds = [np.dtype("bool"), _I64, _I64]
        found = emit(self.text, "where", [below, moved, wide], kinds, _I64, width)
        outside = self.text.let(f"icmp uge {t} {found}, {size}")
        self._report(outside, width)
        return emit(self.text, "where", [outside, zero, found], kinds, _I64, width)

    def _report(self, outside: Value, width: int) -> None:
        """Remembers that an index was out of range (the read then goes to element 0, and the caller raises)."""
        if width > 1:
            name = f"llvm.vector.reduce.or.v{width}i1"
            outside = self.text.call(name, "i1", (f"<{width} x i1>", outside))
        flag = self.text.let("load i64, ptr %flags")
        wide = self.text.let(f"zext i1 {outside} to i64")
        self.text.do(f"store i64 {self.text.let(f'or i64 {flag}, {wide}')}, ptr %flags")

    @contextmanager
    def _one_lane(self) -> Iterator[None]:
        before = self.context, self.width
        if self.width > 1:
            self.context, self.width = self.row, 1
        yield
        self.context, self.width = before

    def _lane_offsets(self, place: Affine) -> list[Value]:
        """The position for each lane."""
        assert self.along is not None
        t = type_of(_I64, self.width)
        ramp = "<" + ", ".join(f"i64 {place.stride(self.along) * k}" for k in range(self.width)) + ">"
        varying = [(v, f) for v, f in place.terms if v.value is not None and self._is_vector(v.value)]
        fixed = Affine(tuple(term for term in place.terms if term not in varying), place.offset)
        total = self.text.let(f"add {t} {splat(self.text, self._offset(fixed), _I64, self.width)}, {ramp}")
        for var, factor in varying:
            at = self._index_value(self._value(var.value), var, self.width)  # type: ignore[arg-type]
            scaled = self.text.let(f"mul {t} {at}, {splat(self.text, str(factor), _I64, self.width)}")
            total = self.text.let(f"add {t} {total}, {scaled}")
        return [self.text.let(f"extractelement {t} {total}, i64 {lane}") for lane in range(self.width)]

    def _address(self, buffer: Buffer, offset: Value) -> Value:
        memory = "i8" if buffer.dtype.kind == "b" else type_of(buffer.dtype)
        return self.text.let(f"getelementptr inbounds {memory}, ptr {self.pointers[buffer]}, i64 {offset}")

    def _load(self, address: Value, dtype: DType, width: int) -> Value:
        if dtype.kind != "b":
            return self.text.let(f"load {type_of(dtype, width)}, ptr {address}, align {dtype.itemsize}")
        byte = np.dtype("uint8")
        raw = self.text.let(f"load {type_of(byte, width)}, ptr {address}, align 1")
        return emit(self.text, "cast", [raw], [byte], dtype, width)

    def _put(self, address: Value, value: Value, dtype: DType, width: int) -> None:
        if dtype.kind == "b":
            value, dtype = emit(self.text, "cast", [value], [dtype], np.dtype("uint8"), width), np.dtype("uint8")
        self.text.do(f"store {type_of(dtype, width)} {value}, ptr {address}, align {dtype.itemsize}")

    # Values
    def _is_vector(self, expr: Expr) -> bool:
        return self.width > 1 and self.along in expr.needs

    def _value(self, expr: Expr) -> Value:
        """The value in all lanes."""
        if self.width > 1 and not self._is_vector(expr):
            with self._one_lane():
                one = self._value(expr)
            return splat(self.text, one, expr.dtype, self.width)
        if expr.op == "const":
            return splat(self.text, literal(expr.data, expr.dtype), expr.dtype, self.width)
        key = (id(expr), self.context)
        for scope in reversed(self.scopes):
            if key in scope:
                return scope[key]
        value = self._computed(expr)
        self.scopes[-1][key] = value
        self.kept.append(expr)
        return value

    def _computed(self, expr: Expr) -> Value:
        if expr.op == "read":
            return self._read(expr)
        if expr.op == "position":
            return self._position(expr)
        if expr.op == "reduce":
            return self._reduce(expr)
        if expr.op == "power" and expr.args[1].op == "const" and (found := self._small_power(expr)) is not None:
            return found
        args = [self._value(arg) for arg in expr.args]
        if expr.op in ELEMENTARY and expr.dtype.kind == "f":
            return self._called(expr, args)
        return emit(self.text, expr.op, args, [arg.dtype for arg in expr.args], expr.dtype, self.width)

    def _called(self, expr: Expr, args: list[Value]) -> Value:
        """An elementary function: a function of its own in the module, written once for every width."""
        kinds = [arg.dtype for arg in expr.args]
        name = f"{expr.op}.{'.'.join(kind.name for kind in kinds)}.{self.width}"
        if name not in self.text.functions:
            self.text.functions[name] = ""  # a function may use another one, and never itself
            self.text.functions[name] = _function(self.text.beside(), name, expr.op, kinds, expr.dtype, self.width)
        given = ", ".join(f"{type_of(kind, self.width)} {arg}" for kind, arg in zip(kinds, args, strict=True))
        return self.text.let(f"call {type_of(expr.dtype, self.width)} @{name}({given})")

    def _small_power(self, expr: Expr) -> Value | None:
        x, exponent = expr.args[0], expr.args[1].data
        if exponent == 0.5 and expr.dtype.kind == "f":
            return emit(self.text, "sqrt", [self._value(x)], [x.dtype], x.dtype, self.width)
        if exponent != int(exponent) or abs(exponent) > 8 or (exponent < 0 and expr.dtype.kind != "f"):
            return None
        one = splat(self.text, literal(1, x.dtype), x.dtype, self.width)
        found = one
        for _ in range(abs(int(exponent))):
            base = self._value(x)
            kinds = [x.dtype] * 2
            found = base if found == one else emit(self.text, "multiply", [found, base], kinds, x.dtype, self.width)
        return found if exponent >= 0 else emit(self.text, "divide", [one, found], [x.dtype] * 2, x.dtype, self.width)

    def _read(self, expr: Expr) -> Value:
        buffer, place = expr.data
        for scope in reversed(self.scopes):
            if (id(buffer), self.context) in scope:  # written by this kernel, at this place
                return scope[id(buffer), self.context]
        moved = any(var.value is not None and self._is_vector(var.value) for var, _ in place.terms)
        if self.width == 1 or (place.stride(self.along) == 1 and not moved):
            return self._load(self._address(buffer, self._offset(place)), expr.dtype, self.width)
        if not moved:
            return self._strided(buffer, self._offset(place), place.stride(self.along), expr.dtype)
        value, t = "poison", type_of(expr.dtype, self.width)
        for lane, offset in enumerate(self._lane_offsets(place)):
            one = self._load(self._address(buffer, offset), expr.dtype, 1)
            value = self.text.let(f"insertelement {t} {value}, {type_of(expr.dtype)} {one}, i64 {lane}")
        return value

    def _strided(self, buffer: Buffer, first: Value, stride: int, dtype: DType) -> Value:
        """One element a lane, `stride` apart."""
        width, t = self.width, type_of(dtype, self.width)
        if stride == 2:  # two whole loads that end at the last element, and a shuffle
            low = self._load(self._address(buffer, first), dtype, width)
            high = self._load(self._address(buffer, self._shifted(first, width - 1)), dtype, width)
            mask = ", ".join(f"i32 {2 * k if 2 * k < width else 2 * k + 1}" for k in range(width))
            return self.text.let(f"shufflevector {t} {low}, {t} {high}, <{width} x i32> <{mask}>")
        value = "poison"
        for lane in range(width):
            one = self._load(self._address(buffer, self._shifted(first, lane * stride)), dtype, 1)
            value = self.text.let(f"insertelement {t} {value}, {type_of(dtype)} {one}, i64 {lane}")
        return value

    def _shifted(self, offset: Value, by: int) -> Value:
        if not offset.startswith("%"):
            return str(int(offset) + by)
        return self.text.let(f"add nsw i64 {offset}, {by}") if by else offset

    def _position(self, expr: Expr) -> Value:
        place: Affine = expr.data
        first = splat(self.text, self._offset(place), _I64, self.width)
        if self.width == 1:
            return first
        ramp = "<" + ", ".join(f"i64 {place.stride(self.along) * k}" for k in range(self.width)) + ">"  # type: ignore[arg-type]
        return self.text.let(f"add {type_of(_I64, self.width)} {first}, {ramp}")

    # Reductions
    def _hoist_all(self, unbound: set[Var]) -> None:
        for write in self.kernel.writes:
            self._hoist(write.value, unbound)

    def _hoist(self, expr: Expr, unbound: set[Var]) -> None:
        """Computes now what an expression needs of values that do not change in the loop to come."""
        if not (expr.needs & unbound) and not self._reads_target(expr):
            if expr.op != "const":
                self._value(expr)
            return
        if expr.op == "reduce":
            unbound = unbound | set(expr.data[1])
        for arg in expr.args:
            self._hoist(arg, unbound)

    def _reads_target(self, expr: Expr) -> bool:
        return self.kernel.ordered is not None

    def _reduce(self, expr: Expr) -> Value:
        kind, over = expr.data
        (body,) = expr.args
        if kind == "argmax":
            return self._argmax(over[0], body)
        first = _identity(kind, expr.dtype)
        if not all(var.size for var in over):
            return splat(self.text, first, expr.dtype, self.width)
        self._hoist(body, set(over) | self._unbound())
        vector = sum_axis(body, over) if self.width == 1 else None
        if vector is not None:
            return self._across(expr, kind, [var for var in over if var is not vector], vector)
        here = [_Strip(self.context, self.width, self.row)]
        return self._accumulate(kind, expr.dtype, over, [splat(self.text, first, expr.dtype, self.width)], body, here)[
            0
        ]

    def _accumulate(
        self, kind: str, dtype: DType, over: Sequence[Var], totals: list[Value], body: Expr, made: Sequence[_Strip]
    ) -> list[Value]:
        """`totals`, one for each strip, combined with `body` for all values of `over`, in order."""
        if not over:
            return [self._plus(kind, total, body, dtype, strip) for total, strip in zip(totals, made, strict=True)]
        var = over[0]
        if var.size <= _UNROLLED and self.unrolled * var.size <= _UNROLLED_TOTAL:
            self.unrolled *= var.size
            for i in range(var.size):
                with self._scope({var: str(i)}):
                    totals = self._accumulate(kind, dtype, over[1:], totals, body, made)
            self.unrolled //= var.size
            return totals

        def turn(i: Value, carried: list[Value]) -> list[Value]:
            with self._scope({var: i}):
                return self._accumulate(kind, dtype, over[1:], carried, body, made)

        carried = [(type_of(dtype, strip.width), total) for strip, total in zip(made, totals, strict=True)]
        return self.text.loop(0, var.size, 1, carried, turn)

    def _plus(self, kind: str, total: Value, body: Expr, dtype: DType, strip: _Strip) -> Value:
        with self._in(strip):
            return self._combine(kind, total, self._value(body), dtype)

    def _combine(self, kind: str, a: Value, b: Value, dtype: DType) -> Value:
        if kind == "sum":
            if dtype.kind == "f":
                return self.text.let(f"fadd {FLAGS} {type_of(dtype, self.width)} {a}, {b}")
            return self._add(a, b, dtype)
        return emit(self.text, "maximum", [a, b], [dtype, dtype], dtype, self.width)

    def _across(self, expr: Expr, kind: str, outer: list[Var], var: Var) -> Value:
        """A reduction whose vectors run along its own variable `var`.

        The partial result of a strip is folded to the width of the next one, which goes on from there.
        """
        (body,), dtype = expr.args, expr.dtype
        self.along = var
        partial, lanes = _identity(kind, dtype), 1

        def turn(i: Value, carried: list[Value]) -> list[Value]:
            strip = _Strip(self._context(), self.width, self.row, {var: i})
            with self._scope({}):
                return self._accumulate(kind, dtype, outer, carried, body, [strip])

        for start, stop, width in strips(var.size, _most_lanes(body, dtype)):
            folded = self._folded(kind, partial, dtype, lanes, width)
            partial = splat(self.text, partial, dtype, width) if start == 0 else folded
            self.width = lanes = width
            if stop - start <= 2 * width:
                for i in range(start, stop, width):
                    (partial,) = turn(str(i), [partial])
            else:
                (partial,) = self.text.loop(start, stop, width, [(type_of(dtype, width), partial)], turn)
        partial = self._folded(kind, partial, dtype, lanes, 1)
        self.width, self.along = 1, None
        return partial

    def _folded(self, kind: str, value: Value, dtype: DType, width: int, wanted: int) -> Value:
        """The upper half of the lanes combined with the lower half, until `wanted` lanes are left."""
        while width > wanted:
            t, width = type_of(dtype, width), width // 2
            self.width = width
            if width == 1:
                low, high = (self.text.let(f"extractelement {t} {value}, i64 {lane}") for lane in (0, 1))
            else:
                low, high = (
                    self.text.let(f"shufflevector {t} {value}, {t} poison, <{width} x i32> <{_numbers(start, width)}>")
                    for start in (0, width)
                )
            value = self._combine(kind, low, high, dtype)
        return value

    def _argmax(self, var: Var, body: Expr) -> Value:
        """The index of the first largest element; a NaN counts as the largest."""
        text, dtype, width = self.text, body.dtype, self.width
        with self._scope({var: "0"}):
            first = self._value(body)
        zero = splat(text, "0", _I64, width)
        if var.size == 1:
            return zero

        def turn(i: Value, carried: list[Value]) -> list[Value]:
            best, at = carried
            with self._scope({var: i}):
                x = self._value(body)
            better = emit(text, "greater", [x, best], [dtype, dtype], np.dtype("bool"), width)
            if dtype.kind == "f":
                t, mask = type_of(dtype, width), type_of(np.dtype("bool"), width)
                new = text.let(f"fcmp uno {t} {x}, {x}")
                old = text.let(f"fcmp ord {t} {best}, {best}")
                better = text.let(f"or {mask} {better}, {text.let(f'and {mask} {new}, {old}')}")
            kinds = [np.dtype("bool"), dtype, dtype]
            here = splat(text, i, _I64, width)
            return [
                emit(text, "where", [better, x, best], kinds, dtype, width),
                emit(text, "where", [better, here, at], [kinds[0], _I64, _I64], _I64, width),
            ]

        carried = [(type_of(dtype, width), first), (type_of(_I64, width), zero)]
        return text.loop(1, var.size, 1, carried, turn)[1]


def _numbers(start: int, count: int) -> str:
    return ", ".join(f"i32 {k}" for k in range(start, start + count))


def _function(text: Text, name: str, op: str, kinds: Sequence[DType], dtype: DType, width: int) -> str:
    """An elementary function of `width` lanes as IR."""
    lane = Var(width)
    place = affine(lane)
    given = [Buffer(f"x{i}", width, kind, "input") for i, kind in enumerate(kinds)]
    value = ELEMENTARY[op](*(read(buffer, place, buffer.dtype) for buffer in given))
    writer = _Writer(text, Kernel((lane,), ()), {})
    writer.context, writer.width, writer.along, writer.bound = 1, width, lane, {lane: "0"}
    writer.scopes[-1].update({(id(buffer), 1): f"%{buffer.name}" for buffer in given})
    text.do(f"ret {type_of(dtype, width)} {writer._value(value)}")
    arguments = ", ".join(f"{type_of(buffer.dtype, width)} %{buffer.name}" for buffer in given)
    head = f"define internal {type_of(dtype, width)} @{name}({arguments}) {{\nentry:\n"
    return head + "\n".join(text.lines) + "\n}"


def _identity(kind: str, dtype: DType) -> Value:
    if kind == "sum":
        return literal(0, dtype)
    if dtype.kind == "f":
        return literal(-np.inf, dtype)
    return literal(0 if dtype.kind == "b" else np.iinfo(dtype).min, dtype)


def _needed_by_places(kernel: Kernel) -> set[Var]:
    """The variables that decide where an indirect write goes."""
    return {v for write in kernel.writes for var, _ in write.place.terms if var.value for v in var.value.needs}


def _lanes(kernel: Kernel) -> int:
    """The widest strip of a kernel: several vectors where it sums, so that several accumulators are carried."""
    values = [write.value for write in kernel.writes]
    sums = [e for value in values for e in all_of(value) if e.op == "reduce"]
    most = _VECTOR_BYTES // max(value.dtype.itemsize for value in values)
    return max((_most_lanes(e.args[0], e.dtype) for e in sums), default=most)


def _most_lanes(body: Expr, dtype: DType) -> int:
    """The widest strip of a sum: several vectors, so that several accumulators are carried, if its terms are short."""
    short = sum(1 for _ in all_of(body)) <= _SHORT
    return _VECTOR_BYTES // dtype.itemsize * (_ACCUMULATORS if short else 1)
