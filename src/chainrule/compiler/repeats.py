"""Kernels as functions that kernels of the same structure have in common: deep networks repeat the same layer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Mapping
from typing import TypeAlias

from chainrule.compiler.kernels import Buffer, Kernel
from chainrule.compiler.loops import write_kernel
from chainrule.compiler.meeting import Share
from chainrule.compiler.text import Text, Value
from chainrule.formula import Affine, Expr, Var

__all__ = ["structure", "write_call"]

_Writer: TypeAlias = Callable[[Text, Kernel, dict[Buffer, Value], Share | None], None]


def write_call(
    text: Text, kernel: Kernel, pointers: Mapping[Buffer, Value], share: Share | None, write: _Writer = write_kernel
) -> None:
    """The code of a kernel (or of one piece of it) as a call; the function is written where there is none like it.

    A result that is written over an input has its address in the function too.
    """
    described, buffers = structure(kernel)
    places = [pointers.get(buffer, "null") for buffer in buffers]  # null: it is never stored
    same = [i if place == "null" else places.index(place) for i, place in enumerate(places)]
    key = described, same, None if share is None else (share.rows, share.columns)
    name = f"kernel_{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}"
    names = [f"%b{i}" for i in same]
    if name not in text.functions:
        body = text.beside()
        piece = None if share is None else Share("%start", share.rows, "%last", share.columns)
        write(body, kernel, dict(zip(buffers, names, strict=True)), piece)
        taken = "".join(f", ptr %b{i}" for i in range(len(buffers)))
        taken += "" if share is None else ", i64 %start, i1 %last"
        text.define(name, f"ptr %flags{taken}", body)
    given = "".join(f", ptr {place}" for place in places)
    given += "" if share is None else f", i64 {share.start}, i1 {share.last}"
    text.do(f"call void @{name}(ptr %flags{given})")


def structure(kernel: Kernel) -> tuple[Hashable, list[Buffer]]:
    """What decides a kernel's code, equal for kernels that differ in their buffers alone; and those buffers."""
    found = _Structure()
    space = tuple(found.var(var) for var in kernel.space)
    writes = tuple(
        (found.expr(w.value), found.place(w.place), found.buffer(w.target), w.adds, w.stored, w.else_zero)
        for w in kernel.written
    )
    ordered = None if kernel.ordered is None else found.var(kernel.ordered)
    tiles = None if kernel.tiles is None else (kernel.tiles.shape, found.var(kernel.tiles.column))
    only = None if kernel.only is None else found.expr(kernel.only)
    kind = len(kernel.beside), ordered, kernel.zeroes, tiles, only
    return (tuple(found.described), space, writes, *kind), list(found.buffers)


class _Structure:
    """Expressions, variables and buffers by the order in which they are met."""

    def __init__(self) -> None:
        self.described: list[Hashable] = []
        self.exprs: dict[int, int] = {}
        self.vars: dict[Var, int] = {}
        self.buffers: dict[Buffer, int] = {}

    def expr(self, expr: Expr) -> int:
        if id(expr) not in self.exprs:
            args = tuple(self.expr(arg) for arg in expr.args)
            self.described.append((expr.op, expr.dtype.str, args, self.data(expr)))
            self.exprs[id(expr)] = len(self.exprs)
        return self.exprs[id(expr)]

    def data(self, expr: Expr) -> Hashable:
        if expr.op == "read":
            return self.buffer(expr.data[0]), self.place(expr.data[1])
        if expr.op == "position":
            return self.place(expr.data)
        if expr.op == "reduce":
            kind, over = expr.data
            return kind, tuple(self.var(var) for var in over)
        return repr(expr.data)

    def place(self, place: Affine) -> Hashable:
        return tuple((self.var(var), factor) for var, factor in place.terms), place.offset

    def var(self, var: Var) -> int:
        if var not in self.vars:
            value = None if var.value is None else self.expr(var.value)
            self.vars[var] = len(self.vars)
            self.described.append(("var", self.vars[var], var.size, value, var.trusted))
        return self.vars[var]

    def buffer(self, buffer: Buffer) -> int:
        if buffer not in self.buffers:
            self.buffers[buffer] = len(self.buffers)
            self.described.append(("buffer", buffer.size, buffer.dtype.str, buffer.columns, buffer.room))
        return self.buffers[buffer]
