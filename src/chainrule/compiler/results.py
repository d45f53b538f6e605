"""Where values go: one element of a result, or one strip of it."""

from __future__ import annotations

import numpy as np

from chainrule.compiler.kernels import Write
from chainrule.compiler.scalars import emit, literal, splat, type_of
from chainrule.compiler.text import Value
from chainrule.compiler.values import Values
from chainrule.dtypes import DType

__all__ = ["Results"]


class Results(Values):
    """Values, and the places of those that are results."""

    holds: Value | None = None  # whether what is written counts; else what is there stays

    def _store(self, write: Write) -> None:
        """One element of a result (or one strip); what reads it there finds it in a register."""
        value = self._value(write.value)
        self.scopes[-1][id(write.target), self.context, write.place] = value
        if write.stored:
            self._write(write, value)

    def _write(self, write: Write, value: Value) -> None:
        dtype, width = write.target.dtype, self.width
        if width == 1 or write.place.stride(self.along) == 1:  # type: ignore[arg-type]
            address = self._address(write.target, self._offset(write.place))
            if write.adds:
                value = self._add(self._load(address, dtype, width), value, dtype)
            masked = self._masked(write.target, write.place)
            self._put(address, self._chosen(write, address, value, width, masked), dtype, width, masked)
            return
        for lane, offset in enumerate(self._lane_offsets(write.place)):
            one = self.text.let(f"extractelement {type_of(dtype, width)} {value}, i64 {lane}")
            address = self._address(write.target, offset)
            self._put(address, self._chosen(write, address, one, 1), dtype, 1)

    def _chosen(self, write: Write, address: Value, value: Value, width: int, masked: bool = False) -> Value:
        """The value, or what is there (or 0); what only such writes read may be anything."""
        if self.holds is None or write.target.kind == "arena":
            return value
        dtype = write.target.dtype
        other = literal(0, dtype) if write.else_zero else self._load(address, dtype, width, masked)
        holds = splat(self.text, self.holds, np.dtype("bool"), width)
        return emit(self.text, "where", [holds, value, other], [np.dtype("bool"), dtype, dtype], dtype, width)

    def _add(self, a: Value, b: Value, dtype: DType) -> Value:
        return emit(self.text, "add", [a, b], [dtype, dtype], dtype, self.width)
