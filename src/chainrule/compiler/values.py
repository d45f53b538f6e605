"""Values at one place of a kernel's loops: what a formula reads and computes there, in one lane or a strip of them.

A value is computed once: `scopes` remember it until the loop that it depends on is left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from chainrule.compiler.elementary import ELEMENTARY
from chainrule.compiler.kernels import Buffer, Kernel
from chainrule.compiler.padding import has_room
from chainrule.compiler.scalars import emit, literal, splat, type_of
from chainrule.compiler.text import PRECISE, Text, Value
from chainrule.dtypes import DType
from chainrule.formula import Affine, Expr, Var, affine, read

__all__ = ["INDEX", "Strip", "Values"]

INDEX = np.dtype("int64")


@dataclass(frozen=True)
class Strip:
    """`width` lanes of a vector axis, at the place where `bound` puts its variables.

    Values that differ between lanes are known by `context`, those that are the same in all lanes by `row`.
    """

    context: int
    width: int
    row: int = 0
    bound: dict[Var, Value] = field(default_factory=dict)


class Values:
    """The values of a kernel's formulas, as code in `text`."""

    def __init__(self, text: Text, kernel: Kernel, pointers: dict[Buffer, Value]):
        self.text, self.kernel, self.pointers = text, kernel, pointers
        self.bound: dict[Var, Value] = {}
        self.scopes: list[dict[tuple[int, ...], Value]] = [{}]
        self.width = 1  # lanes of the vector variable `along`
        self.context = self.row = self.contexts = 0  # which strip, and which row, values belong to; 0: to none
        self.along: Var | None = None
        self.active = 0  # the lanes that are read, if not all are
        self.still: tuple[Var, int] | None = None  # a variable, and the context of what does not depend on it
        self.kept: list[Expr] = []  # expressions made here stay alive, since they are known by identity

    def _context(self) -> int:
        """A number for a strip: values along the vector axis belong to one."""
        self.contexts += 1
        return self.contexts

    @contextmanager
    def _in(self, strip: Strip) -> Iterator[None]:
        """Values are those of `strip`."""
        before = self.context, self.row, self.width, self.bound
        self.context, self.row, self.width = strip.context, strip.row, strip.width
        self.bound = {**self.bound, **strip.bound}
        yield
        self.context, self.row, self.width, self.bound = before

    @contextmanager
    def _scope(self, bound: dict[Var, Value]) -> Iterator[None]:
        """Values computed inside depend on `bound` and are forgotten after."""
        self.bound.update(bound)
        self.scopes.append({})
        yield
        self.scopes.pop()
        for var in bound:
            del self.bound[var]

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
        wide = emit(self.text, "cast", [value], [var.value.dtype], INDEX, width)
        if var.trusted:
            return wide
        t = type_of(INDEX, width)
        size, zero = splat(self.text, str(var.size), INDEX, width), splat(self.text, "0", INDEX, width)
        below = self.text.let(f"icmp slt {t} {wide}, {zero}")
        moved = self.text.let(f"add {t} {wide}, {size}")
        kinds = [np.dtype("bool"), INDEX, INDEX]
        found = emit(self.text, "where", [below, moved, wide], kinds, INDEX, width)
        outside = self.text.let(f"icmp uge {t} {found}, {size}")
        self._report(outside, width)
        return emit(self.text, "where", [outside, zero, found], kinds, INDEX, width)

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
        t = type_of(INDEX, self.width)
        ramp = "<" + ", ".join(f"i64 {place.stride(self.along) * k}" for k in range(self.width)) + ">"
        varying = [(v, f) for v, f in place.terms if v.value is not None and self._is_vector(v.value)]
        fixed = Affine(tuple(term for term in place.terms if term not in varying), place.offset)
        total = self.text.let(f"add {t} {splat(self.text, self._offset(fixed), INDEX, self.width)}, {ramp}")
        for var, factor in varying:
            at = self._index_value(self._value(var.value), var, self.width)  # type: ignore[arg-type]
            scaled = self.text.let(f"mul {t} {at}, {splat(self.text, str(factor), INDEX, self.width)}")
            total = self.text.let(f"add {t} {total}, {scaled}")
        return [self.text.let(f"extractelement {t} {total}, i64 {lane}") for lane in range(self.width)]

    def _address(self, buffer: Buffer, offset: Value) -> Value:
        memory = "i8" if buffer.dtype.kind == "b" else type_of(buffer.dtype)
        return self.text.let(f"getelementptr inbounds {memory}, ptr {self.pointers[buffer]}, i64 {offset}")

    def _masked(self, buffer: Buffer, place: Affine) -> bool:
        """Whether only some lanes are there; a gap may be read and written."""
        if not self.active or self.along is None:
            return False
        return not has_room(buffer, place, self.along, -(-self.along.size // self.width) * self.width)

    def _load(self, address: Value, dtype: DType, width: int, masked: bool = False) -> Value:
        if dtype.kind != "b":
            return self._loaded(address, dtype, width, masked)
        byte = np.dtype("uint8")
        raw = self._loaded(address, byte, width, masked)
        return emit(self.text, "cast", [raw], [byte], dtype, width)

    def _loaded(self, address: Value, dtype: DType, width: int, masked: bool) -> Value:
        t = type_of(dtype, width)
        if width == 1 or not masked:
            return self.text.let(f"load {t}, ptr {address}, align {dtype.itemsize}")
        name = f"llvm.masked.load.v{width}{'f' if dtype.kind == 'f' else 'i'}{8 * dtype.itemsize}.p0"
        mask, align = (f"<{width} x i1>", self._mask(width)), ("i32", str(dtype.itemsize))
        return self.text.call(name, t, ("ptr", address), align, mask, (t, "zeroinitializer"))

    def _mask(self, width: int) -> Value:
        """Which lanes are read."""
        return "<" + ", ".join(f"i1 {'true' if lane < self.active else 'false'}" for lane in range(width)) + ">"

    def _put(self, address: Value, value: Value, dtype: DType, width: int, masked: bool = False) -> None:
        if dtype.kind == "b":
            value, dtype = emit(self.text, "cast", [value], [dtype], np.dtype("uint8"), width), np.dtype("uint8")
        t = type_of(dtype, width)
        if width == 1 or not masked:
            self.text.do(f"store {t} {value}, ptr {address}, align {dtype.itemsize}")
            return
        kind, mask = f"v{width}{'f' if dtype.kind == 'f' else 'i'}{8 * dtype.itemsize}", f"<{width} x i1>"
        self.text.declared.add(f"declare void @llvm.masked.store.{kind}.p0({t}, ptr, i32, {mask})")
        given = f"{t} {value}, ptr {address}, i32 {dtype.itemsize}, {mask} {self._mask(width)}"
        self.text.do(f"call void @llvm.masked.store.{kind}.p0({given})")

    def _shifted(self, offset: Value, by: int) -> Value:
        if not offset.startswith("%"):
            return str(int(offset) + by)
        return self.text.let(f"add nsw i64 {offset}, {by}") if by else offset

    def _is_vector(self, expr: Expr) -> bool:
        return self.width > 1 and self.along in expr.needs

    def _value(self, expr: Expr) -> Value:
        """The value in all lanes."""
        if self.width > 1 and not self._is_vector(expr):
            return self._splat(expr)
        if expr.op == "const":
            return splat(self.text, literal(expr.data, expr.dtype), expr.dtype, self.width)
        context = self.context if self.still is None or self.still[0] in expr.needs else self.still[1]
        key = (id(expr), context)
        for scope in reversed(self.scopes):
            if key in scope:
                return scope[key]
        value = self._computed(expr)
        self.scopes[-1][key] = value
        self.kept.append(expr)
        return value

    def _splat(self, expr: Expr) -> Value:
        """What is the same in all lanes, in a vector; it is made once as well."""
        width = self.width
        with self._one_lane():
            one, key = self._value(expr), (id(expr), self.context, width)
        for scope in reversed(self.scopes):
            if key in scope:
                return scope[key]
        self.scopes[-1][key] = value = splat(self.text, one, expr.dtype, width)
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
        for context in (self.context, self.row, 0):  # written by this kernel, at this place: in a strip, a row, or once
            for scope in reversed(self.scopes):
                if (id(buffer), context) in scope:
                    value = scope[id(buffer), context]
                    return value if context == self.context else splat(self.text, value, expr.dtype, self.width)
        moved = any(var.value is not None and self._is_vector(var.value) for var, _ in place.terms)
        if self.width == 1 or (place.stride(self.along) == 1 and not moved):
            address = self._address(buffer, self._offset(place))
            return self._load(address, expr.dtype, self.width, self._masked(buffer, place))
        if not moved:
            return self._strided(buffer, place, expr.dtype)
        value, t = "poison", type_of(expr.dtype, self.width)
        for lane, offset in enumerate(self._lane_offsets(place)):
            one = self._load(self._address(buffer, offset), expr.dtype, 1)
            value = self.text.let(f"insertelement {t} {value}, {type_of(expr.dtype)} {one}, i64 {lane}")
        return value

    def _strided(self, buffer: Buffer, place: Affine, dtype: DType) -> Value:
        """One element a lane, all as far from the next."""
        assert self.along is not None
        stride, t = place.stride(self.along), type_of(dtype, self.width)
        if stride == 2:
            return self._every_other(buffer, place, dtype)
        first, value = self._offset(place), "poison"
        for lane in range(self.width):
            one = self._load(self._address(buffer, self._shifted(first, lane * stride)), dtype, 1)
            value = self.text.let(f"insertelement {t} {value}, {type_of(dtype)} {one}, i64 {lane}")
        return value

    def _every_other(self, buffer: Buffer, place: Affine, dtype: DType) -> Value:
        """Two whole loads and a shuffle: of pairs, so that x[:, 0] and x[:, 1] have the same loads.

        Those of a first element end with the last pair; where that is not whole, the second load ends one before.
        """
        width, t = self.width, type_of(dtype, self.width)
        second = place.offset % 2 if all(factor > 0 for _, factor in place.terms) else 0
        last = place.offset + sum(max(0, factor) * (var.size - 1) for var, factor in place.terms)
        missing = 0 if second or last + 1 < buffer.size else 1
        first = self._offset(replace(place, offset=place.offset - second))
        low = self._load(self._address(buffer, first), dtype, width)
        high = self._load(self._address(buffer, self._shifted(first, width - missing)), dtype, width)
        lanes = (2 * k + second for k in range(width))
        mask = ", ".join(f"i32 {lane if lane < width else lane + missing}" for lane in lanes)
        return self.text.let(f"shufflevector {t} {low}, {t} {high}, <{width} x i32> <{mask}>")

    def _position(self, expr: Expr) -> Value:
        place: Affine = expr.data
        first = splat(self.text, self._offset(place), INDEX, self.width)
        if self.width == 1:
            return first
        ramp = "<" + ", ".join(f"i64 {place.stride(self.along) * k}" for k in range(self.width)) + ">"  # type: ignore[arg-type]
        return self.text.let(f"add {type_of(INDEX, self.width)} {first}, {ramp}")

    def _hoist(self, expr: Expr, unbound: set[Var]) -> None:
        """Computes now what an expression needs of values that do not change in the loop to come."""
        if not (expr.needs & unbound) and self.kernel.ordered is None:  # else an earlier turn may have written it
            if expr.op != "const":
                self._value(expr)
            return
        if expr.op == "reduce":
            unbound = unbound | set(expr.data[1])
        for arg in expr.args:
            self._hoist(arg, unbound)

    def _unbound(self) -> set[Var]:
        return {var for var in self.kernel.space if var not in self.bound}

    def _reduce(self, expr: Expr) -> Value:
        """The value of a reduction, in all lanes."""
        raise NotImplementedError


def _function(text: Text, name: str, op: str, kinds: Sequence[DType], dtype: DType, width: int) -> str:
    """An elementary function of `width` lanes as IR."""
    lane = Var(width)
    place = affine(lane)
    given = [Buffer(f"x{i}", width, kind, "input") for i, kind in enumerate(kinds)]
    value = ELEMENTARY[op](*(read(buffer, place, buffer.dtype) for buffer in given))
    writer = Values(text, Kernel((lane,), ()), {})
    writer.context, writer.width, writer.along, writer.bound = 1, width, lane, {lane: "0"}
    writer.scopes[-1].update({(id(buffer), 1): f"%{buffer.name}" for buffer in given})
    text.do(f"ret {type_of(dtype, width)} {writer._value(value)}")
    arguments = ", ".join(f"{type_of(buffer.dtype, width)} %{buffer.name}" for buffer in given)
    head = f"define internal {type_of(dtype, width)} @{name}({arguments}) {PRECISE} {{\nentry:\n"
    return head + "\n".join(text.lines) + "\n}"
