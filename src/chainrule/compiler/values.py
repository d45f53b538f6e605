"""Values at one place of a kernel's loops: what a formula reads and computes there, in one lane or a strip of them.

A value is computed once: `scopes` remember it until the loop that it depends on is left.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from chainrule.compiler.elementary import ELEMENTARY
from chainrule.compiler.kernels import Buffer, Kernel
from chainrule.compiler.places import INDEX, Places
from chainrule.compiler.scalars import emit, literal, splat, type_of
from chainrule.compiler.text import PRECISE, Text, Value
from chainrule.dtypes import DType
from chainrule.formula import Affine, Expr, Var, affine, read

__all__ = ["Strip", "Values"]


@dataclass(frozen=True)
class Strip:
    """`width` lanes of a vector axis, at the place where `bound` puts its variables.

    Values that differ between lanes are known by `context`, those that are the same in all lanes by `row`.
    """

    context: int
    width: int
    row: int = 0
    bound: dict[Var, Value] = field(default_factory=dict)


class Values(Places):
    """The values of a kernel's formulas, as code in `text`."""

    def __init__(self, text: Text, kernel: Kernel, pointers: dict[Buffer, Value]):
        super().__init__(text, pointers)
        self.kernel = kernel
        self.scopes: list[dict[tuple[Hashable, ...], Value]] = [{}]
        self.contexts = 0  # strips so far
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
                value = scope.get((id(buffer), context, place))
                if value is not None:
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
    writer.scopes[-1].update({(id(buffer), 1, place): f"%{buffer.name}" for buffer in given})
    text.do(f"ret {type_of(dtype, width)} {writer._value(value)}")
    arguments = ", ".join(f"{type_of(buffer.dtype, width)} %{buffer.name}" for buffer in given)
    head = f"define internal {type_of(dtype, width)} @{name}({arguments}) {PRECISE} {{\nentry:\n"
    return head + "\n".join(text.lines) + "\n}"
