"""The chain of operations from one step's carried values to the next one's, made short.

Steps of a few numbers take as long as the operations that wait for one another, from the weights before a step to those
after it. So what depends on the carried values last is used last: sums become trees, and factors go to operands that
are known early. The terms and factors stay the same, and are rounded in another order.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from chainrule.compiler.foretold import foretold
from chainrule.compiler.kernels import Buffer, Kernel, Write, reads
from chainrule.compiler.merge import without_unread
from chainrule.compiler.readiness import EARLY, USUAL, Readiness
from chainrule.compiler.regroup import is_moved
from chainrule.compiler.written_out import written_out
from chainrule.formula import Expr, const

__all__ = ["shortened"]

_SMALL = 32  # elements of a kernel: of larger ones the arithmetic, not the waiting, takes the time
_POWERS = 2.0**-4, 2.0**4  # powers of two are exact as factors, but next to the largest and the least numbers


def shortened(kernels: Sequence[Kernel], carried: Sequence[tuple[Buffer, Buffer]]) -> list[Kernel]:
    """The same kernels of a step whose results become the inputs that they are `carried` to."""
    if not carried or not any(_is_small(kernel) for kernel in kernels):
        return list(kernels)
    ready = Readiness(source for _, source in carried)
    scaled: dict[Buffer, _Scaled] = {}
    found: list[Kernel] = []
    for kernel in foretold(written_out(kernels, carried), carried):
        if _is_small(kernel):
            found.append(_Shortening(kernel, ready, scaled).shortened())
        else:
            ready.see(kernel)
            found.append(kernel)
    return without_unread(list(_used(found)))


def _is_small(kernel: Kernel) -> bool:
    return 0 < math.prod(var.size for var in kernel.space) <= _SMALL  # one of no elements writes nothing


def _used(kernels: Sequence[Kernel]) -> Iterator[Kernel]:
    """The kernels without what is written for nobody."""
    read = {buffer for kernel in kernels for buffer, _ in reads(kernel)}
    for kernel in kernels:
        writes = tuple(write for write in kernel.writes if write.target.kind != "arena" or write.target in read)
        if writes:
            yield replace(kernel, writes=writes)


@dataclass(frozen=True)
class _Scaled:
    """factor * value; the factor is a power of two, or minus one."""

    factor: float
    value: Expr


@dataclass(frozen=True)
class _Term:
    """sign * value, known after `at` cycles; a product is not yet computed then, as adding it takes no longer."""

    at: float
    sign: float
    value: Expr

    @property
    def is_product(self) -> bool:
        return self.value.op == "multiply"


class _Shortening:
    """The values of one kernel.

    Args:
        ready: when what it reads is known; what it writes is added.
        scaled: the values of other buffers that are a factor times a stored value; what it writes is added.
    """

    def __init__(self, kernel: Kernel, ready: Readiness, scaled: dict[Buffer, _Scaled]):
        self.kernel, self.ready, self.scaled = kernel, ready, scaled
        self.uses = Counter(id(arg) for expr in kernel.expressions for arg in expr.args)
        self.uses.update(id(write.value) for write in kernel.writes)
        self.made: dict[int, _Scaled] = {}

    def shortened(self) -> Kernel:
        """The kernel with shorter chains."""
        return self.kernel.with_writes(self._write)

    def _write(self, write: Write) -> Write:
        found = self._of(write.value)
        new = replace(write, value=self._whole(found))
        stored = found.value.op == "read" and found.value.data[0].kind == "arena"
        if stored and write.target.size == 1 and not write.adds:
            self.scaled[write.target] = found
        self.ready.see(replace(self.kernel, writes=(new,)))
        return new

    def _of(self, expr: Expr) -> _Scaled:
        if id(expr) not in self.made:
            late = self.ready.of(expr) > EARLY
            self.made[id(expr)] = self._better(expr) if late else _Scaled(1.0, _one_constant(expr))
        return self.made[id(expr)]

    def _better(self, expr: Expr) -> _Scaled:
        if expr.op == "read":
            return self.scaled.get(expr.data[0], _Scaled(1.0, expr))
        if expr.dtype.kind == "f" and expr.op in ("add", "subtract"):
            return self._sum(expr)
        args = [self._of(arg) for arg in expr.args]
        if expr.dtype.kind == "f":
            if expr.op == "negative":
                return replace(args[0], factor=-args[0].factor)
            if expr.op == "multiply":
                return self._product(*args)
            if expr.op == "power" and expr.args[1].op == "const" and expr.args[1].data == 1:
                return args[0]
        return _Scaled(1.0, replace(expr, args=tuple(self._whole(arg) for arg in args)))

    def _whole(self, found: _Scaled) -> Expr:
        """factor * value as one expression."""
        factor, value = found.factor, found.value
        if factor == -1:
            return Expr("negative", (value,), value.dtype)
        return value if factor == 1 else self._with_factor(value, factor)

    def _with_factor(self, value: Expr, factor: float) -> Expr:
        """A product takes a factor where it is known first."""
        if value.op == "const":
            return const(value.data * factor, value.dtype)
        if value.op != "multiply":
            return Expr("multiply", (const(factor, value.dtype), value), value.dtype)
        first, second = sorted(value.args, key=self.ready.of)
        return replace(value, args=(self._with_factor(first, factor), second))

    # Products
    def _product(self, a: _Scaled, b: _Scaled) -> _Scaled:
        a, b = _taken(a), _taken(b)
        factor = a.factor * b.factor
        for one, other in ((a, b), (b, a)):
            if one.value.op == "const" and one.value.data == 1:
                return _Scaled(factor, other.value)
        if not _is_exact(factor):
            return _Scaled(1.0, _times(self._whole(a), self._whole(b)))
        first, second = sorted((a.value, b.value), key=self.ready.of)
        return _Scaled(factor, self._late_last(first, second))

    def _late_last(self, first: Expr, second: Expr) -> Expr:
        """first * second, where a factor that may be moved leaves what is known last."""
        if second.op == "multiply":
            sooner, later = sorted(second.args, key=self.ready.of)
            if self.ready.of(later) > self.ready.of(first) and (_may_move(first) or _may_move(sooner)):
                return _times(_times(*sorted((first, sooner), key=self.ready.of)), later)
        return _times(first, second)

    # Sums
    def _sum(self, expr: Expr) -> _Scaled:
        terms = list(self._terms(expr, 1.0, True))
        if len(terms) > 2 and sum(term.is_product for term in terms) < 2:  # somebody's own order of numbers
            terms = [self._term(arg, sign) for arg, sign in _signed(expr)]
        while len(terms) > 1:
            terms.sort(key=lambda term: (term.at, term.is_product))
            first = terms.pop(0)
            second = min(terms, key=lambda other: (_together(first, other), other.is_product is first.is_product))
            terms = [term for term in terms if term is not second]
            terms.append(_added(first, second))
        return _Scaled(terms[0].sign, terms[0].value)

    def _terms(self, expr: Expr, sign: float, top: bool = False) -> Iterator[_Term]:
        """The terms of a sum that is written out; what is used elsewhere, too, is one."""
        alone = top or self.uses[id(expr)] == 1
        if alone and expr.op in ("add", "subtract") and self.ready.of(expr) > EARLY:
            for arg, side in _signed(expr):
                yield from self._terms(arg, sign * side)
        else:
            yield self._term(expr, sign)

    def _term(self, expr: Expr, sign: float) -> _Term:
        found = self._of(expr)
        value = self._whole(replace(found, factor=abs(found.factor)))
        product = value.op == "multiply"
        at = max(map(self.ready.of, value.args)) if product else self.ready.of(value)
        return _Term(at, sign * math.copysign(1.0, found.factor), value)


def _signed(expr: Expr) -> Iterator[tuple[Expr, float]]:
    """The two terms of a sum or a difference, each with its sign."""
    yield expr.args[0], 1.0
    yield expr.args[1], 1.0 if expr.op == "add" else -1.0


def _together(a: _Term, b: _Term) -> float:
    """When a + b is known: of two products the first one is computed by itself."""
    first, second = sorted((a.at, b.at))
    return max(first + USUAL, second) + USUAL if a.is_product and b.is_product else second + USUAL


def _added(a: _Term, b: _Term) -> _Term:
    at = _together(a, b)
    if a.sign == b.sign:
        return _Term(at, a.sign, Expr("add", (a.value, b.value), a.value.dtype))
    plus, minus = (a, b) if a.sign > 0 else (b, a)
    return _Term(at, 1.0, Expr("subtract", (plus.value, minus.value), a.value.dtype))


def _one_constant(expr: Expr) -> Expr:
    """A product of constants is one."""
    if expr.op == "multiply" and expr.dtype.kind == "f":
        a, b = map(_one_constant, expr.args)
        if a.op == b.op == "const":
            return const(a.data * b.data, expr.dtype)
    return expr


def _taken(found: _Scaled) -> _Scaled:
    """A constant that is a power of two becomes part of the factor."""
    value = found.value
    if value.op == "const" and value.data and _is_exact(value.data * found.factor):
        return _Scaled(found.factor * value.data, const(1, value.dtype))
    return found


def _is_exact(factor: float) -> bool:
    least, largest = _POWERS
    return least <= abs(factor) <= largest and math.frexp(abs(factor))[0] == 0.5


def _may_move(factor: Expr) -> bool:
    """Whether no product can overflow or become 0 by being multiplied by this first."""
    bit = factor.op == "foretold" or (factor.op == "cast" and factor.args[0].dtype.kind == "b")
    return bit or is_moved(factor)


def _times(a: Expr, b: Expr) -> Expr:
    return Expr("multiply", (a, b), a.dtype)
