"""A schedule as short pseudo-code: what is stored, what is fused, in the user's names.

for i < 32, j < 64: h[i, j] = maximum(sum(k < 784: x[i, k] * w[k, j]) + b[j], 0)
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from chainrule.compiler.kernels import Buffer, Kernel, Schedule, Write
from chainrule.formula import Affine, Expr, Var

__all__ = ["printed"]

_INFIX = {
    "add": ("+", 4), "subtract": ("-", 4), "multiply": ("*", 5), "divide": ("/", 5), "remainder": ("%", 5),
    "power": ("**", 7), "less": ("<", 3), "less_equal": ("<=", 3), "greater": (">", 3), "greater_equal": (">=", 3),
    "equal": ("==", 3), "not_equal": ("!=", 3), "logical_and": ("and", 2), "logical_or": ("or", 1),
}  # fmt: skip
_ATOM = 9
_WIDTH = 110


def printed(found: Schedule) -> str:
    """The kernels of a schedule, in order, one loop nest a line or short block."""
    names = _unique(found.buffers)
    return "\n".join(_Printer(names).kernel(kernel) for kernel in found.kernels)


def _unique(buffers: Sequence[Buffer]) -> dict[Buffer, str]:
    """Every buffer's name; a number is put behind those that are taken."""
    names: dict[Buffer, str] = {}
    counts: dict[str, int] = {}
    for buffer in buffers:
        counts[buffer.name] = counts.get(buffer.name, 0) + 1
        names[buffer] = buffer.name if counts[buffer.name] == 1 else f"{buffer.name}_{counts[buffer.name]}"
    return names


@dataclass
class _Scope:
    """The variables of one loop nest or sum, and what is computed once inside it."""

    variables: frozenset[Var]
    lines: list[str] = field(default_factory=list)


class _Printer:
    """Writes one kernel. What a formula uses more than once is computed into t1, t2, ... first."""

    def __init__(self, names: dict[Buffer, str]):
        self.names = names
        self.letters = _letters()
        self.variables: dict[Var, str] = {}
        self.known: dict[int, tuple[str, int]] = {}
        self.scopes: list[_Scope] = []
        self.registers: set[Buffer] = set()
        self.temporaries = (f"t{i}" for i in itertools.count(1))

    def kernel(self, kernel: Kernel) -> str:
        head = self._loop(kernel.space)
        self.scopes.append(_Scope(frozenset(kernel.space)))
        self.uses = _uses([write.value for write in kernel.written])
        for write in kernel.writes:
            self._write(write)
        if kernel.beside:
            self._beside(kernel)
        lines = self.scopes.pop().lines
        if kernel.only is not None:
            zeros = [self._element(write.target, write.place) for write in kernel.writes if write.else_zero]
            other = [f"else: {'; '.join(f'{target} = 0' for target in zeros)}"] if zeros else []
            lines = [f"if {self._text(kernel.only.args[0])[0]}:", *(f"    {line}" for line in lines), *other]
        zero = [f"{self.names[kernel.writes[0].target]}[...] = 0"] if kernel.zeroes else []
        if not head:
            return "\n".join([*zero, *lines])
        if len(lines) == 1 and len(head) + len(lines[0]) <= _WIDTH:
            return "\n".join([*zero, f"{head}: {lines[0]}"])
        return "\n".join([*zero, f"{head}:", *(f"    {line}" for line in lines)])

    def _write(self, write: Write) -> None:
        value = self._text(write.value)[0]
        if not write.stored:
            self.registers.add(write.target)
        target = self._element(write.target, write.place)
        self.scopes[-1].lines.append(f"{target} {'+=' if write.adds else '='} {value}")

    def _beside(self, kernel: Kernel) -> None:
        """What is written in the loop of the sum that stands above."""
        inner = [var for var, _ in kernel.beside[0].place.terms if var not in kernel.space]
        head = ", ".join(f"{self.variables[var]} < {var.size}" for var in inner)
        self.scopes.append(_Scope(frozenset(inner)))
        for write in kernel.beside:
            self._write(write)
        self.scopes[0].lines.append(f"for {head}: {'; '.join(self.scopes.pop().lines)}  # in the loop of the sum")

    def _loop(self, space: Sequence[Var]) -> str:
        for var in space:
            self.variables[var] = next(self.letters)
        turns = [f"{self.variables[v]} < {v.size}" for v in space if v.size != 1]
        return f"for {', '.join(turns)}" if turns else ""

    # Expressions: a text, and how tightly its outermost operation binds
    def _text(self, expr: Expr) -> tuple[str, int]:
        if id(expr) not in self.known:
            text, strength = self._written(expr)
            if self.uses.get(id(expr), 0) > 1 and expr.op not in ("const", "read", "position"):
                scope = self._home(expr)
                name = next(self.temporaries)
                scope.lines.append(f"{name} = {text}")
                text, strength = name, _ATOM
            self.known[id(expr)] = text, strength
        return self.known[id(expr)]

    def _home(self, expr: Expr) -> _Scope:
        """The innermost scope that one of its variables belongs to."""
        return next((s for s in reversed(self.scopes) if s.variables & expr.needs), self.scopes[0])

    def _written(self, expr: Expr) -> tuple[str, int]:
        if expr.op == "const":
            text = _number(expr.data)
            return text, 6 if text.startswith("-") else _ATOM
        if expr.op == "read":
            return self._element(*expr.data), _ATOM
        if expr.op == "position":
            return self._affine(expr.data), 4
        if expr.op == "reduce":
            return self._reduction(expr), _ATOM
        if expr.op == "negative":
            return "-" + self._under(expr.args[0], 6), 6
        if expr.op == "cast":
            return f"{expr.dtype}({self._text(expr.args[0])[0]})", _ATOM
        if expr.op in _INFIX and len(expr.args) == 2:
            sign, strength = _INFIX[expr.op]
            return f"{self._under(expr.args[0], strength)} {sign} {self._under(expr.args[1], strength + 1)}", strength
        return f"{expr.op}({', '.join(self._text(arg)[0] for arg in expr.args)})", _ATOM

    def _under(self, expr: Expr, strength: int) -> str:
        text, own = self._text(expr)
        return text if own >= strength else f"({text})"

    def _reduction(self, expr: Expr) -> str:
        kind, over = expr.data
        head = self._loop(over).removeprefix("for ")
        self.scopes.append(_Scope(frozenset(over)))
        body = self._text(expr.args[0])[0]
        return f"{kind}({head}: {'; '.join([*self.scopes.pop().lines, body])})"

    # Positions
    def _element(self, buffer: Buffer, place: Affine) -> str:
        if buffer in self.registers:
            return self.names[buffer]
        indices = _unraveled(place, buffer.shape)
        if indices is None:
            return f"{self.names[buffer]}.flat[{self._affine(place)}]"
        inside = ", ".join(self._affine(index) for index in indices)
        return f"{self.names[buffer]}[{inside}]" if indices else self.names[buffer]

    def _affine(self, place: Affine) -> str:
        terms = [self._term(var, factor) for var, factor in place.terms if not _is_zero(var)]
        if place.offset or not terms:
            terms.append(str(place.offset))
        return " + ".join(terms).replace("+ -", "- ")

    def _term(self, var: Var, factor: int) -> str:
        name = self.variables[var] if var.value is None else self._text(var.value)[0]
        return {1: name, -1: f"-{name}"}.get(factor, f"{factor} * {name}")


def _letters() -> Iterator[str]:
    yield from "ijklmnpqrsuvwxyz"
    yield from (f"i{n}" for n in itertools.count(1))


def _number(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _uses(values: Sequence[Expr]) -> dict[int, int]:
    """How often each expression is used, as a value or as an argument."""
    counts: dict[int, int] = {}
    for value in values:
        counts[id(value)] = counts.get(id(value), 0) + 1
    stack, seen = list(values), {id(value) for value in values}
    while stack:
        for arg in stack.pop().args:
            counts[id(arg)] = counts.get(id(arg), 0) + 1
            if id(arg) not in seen:
                seen.add(id(arg))
                stack.append(arg)
    return counts


def _unraveled(place: Affine, shape: Sequence[int]) -> list[Affine] | None:
    """A flat position as one index an axis; None where the axes were merged or split on the way."""
    indices, offset = [], place.offset
    terms = {var: factor for var, factor in place.terms if not _is_zero(var)}
    stride = 1
    strides = []
    for n in reversed(shape):
        strides.append(stride)
        stride *= max(n, 1)
    for n, stride in zip(shape, reversed(strides), strict=True):
        own = () if n == 1 else tuple((v, f // stride) for v, f in terms.items() if f % stride == 0)
        terms = {v: f for v, f in terms.items() if not any(v is w for w, _ in own)}
        whole = min(offset // stride, n - 1) if n else 0
        offset -= whole * stride
        index = Affine(own, whole)
        low = whole + sum(min(f * (v.size - 1), 0) for v, f in own)
        high = whole + sum(max(f * (v.size - 1), 0) for v, f in own)
        if own and not (low >= 0 and high < n):
            return None
        indices.append(index)
    return None if offset or terms else indices


def _is_zero(var: Var) -> bool:
    """Whether a loop variable has the one value 0."""
    return var.value is None and var.size == 1
