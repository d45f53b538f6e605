"""Copies of rows to where gaps lie behind them, and back, as IR."""

from __future__ import annotations

from chainrule.compiler.padding import Padded
from chainrule.compiler.text import Text, Value

__all__ = ["copy_in", "copy_out"]


def copy_in(text: Text, each: Padded, inner: Value, source: Value) -> None:
    """From the owner's rows at `source` to those at `inner`. Gaps become 0: what lay there might be slow to compute."""
    size = each.source.dtype.itemsize
    columns, room = each.columns * size, each.inner.room * size

    def row(i: Value) -> None:
        there = _row(text, inner, i, room)
        text.copy(there, _row(text, source, i, columns), columns)
        text.clear(text.let(f"getelementptr i8, ptr {there}, i64 {columns}"), room - columns)

    text.each(0, each.rows, 1, row)


def copy_out(text: Text, each: Padded, inner: Value, source: Value) -> None:
    """From the rows at `inner` back to the owner's."""
    size = each.source.dtype.itemsize
    columns, room = each.columns * size, each.inner.room * size

    def row(i: Value) -> None:
        text.copy(_row(text, source, i, columns), _row(text, inner, i, room), columns)

    text.each(0, each.rows, 1, row)


def _row(text: Text, start: Value, i: Value, nbytes: int) -> Value:
    return text.let(f"getelementptr i8, ptr {start}, i64 {text.let(f'mul nsw i64 {i}, {nbytes}')}")
