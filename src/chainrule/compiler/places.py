"""Where elements lie: positions in a kernel's loops as code, and loads and stores there, in one lane or in several."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from chainrule.compiler.kernels import Buffer
from chainrule.compiler.padding import has_room
from chainrule.compiler.scalars import emit, splat, type_of
from chainrule.compiler.text import Text, Value
from chainrule.dtypes import DType
from chainrule.formula import Affine, Expr, Var

__all__ = ["INDEX", "Places"]

INDEX = np.dtype("int64")


class Places:
    """The positions of elements, and what is there, as code in `text`."""

    def __init__(self, text: Text, pointers: dict[Buffer, Value]):
        self.text, self.pointers = text, pointers
        self.bound: dict[Var, Value] = {}
        self.width = 1  # lanes of the vector variable `along`
        self.along: Var | None = None
        self.active = 0  # the lanes that are read, if not all are
        self.context = self.row = 0  # which strip, and which row, values belong to; 0: to none

    def _value(self, expr: Expr) -> Value:
        """The value of an expression, in all lanes: for positions that were read."""
        raise NotImplementedError

    def _is_vector(self, expr: Expr) -> bool:
        return self.width > 1 and self.along in expr.needs

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
