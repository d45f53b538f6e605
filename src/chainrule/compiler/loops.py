"""From a kernel to loops over vectors.

An axis of n is cut into strips of falling powers of two (for 100 lanes of which 32 fit: 3 x 32 and 4). Strips, and
blocks of rows, that sum over the same variables share one loop: all their accumulators stay in registers, and what they
read is read once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chainrule.compiler.axes import all_of, crossing_axis, vector_axis
from chainrule.compiler.cuts import Cuts
from chainrule.compiler.kernels import Buffer, Kernel, targets
from chainrule.compiler.meeting import Share
from chainrule.compiler.padding import VECTOR_BYTES
from chainrule.compiler.scalars import literal
from chainrule.compiler.sharing import PIECE
from chainrule.compiler.sums import ACCUMULATORS, UNROLLED, UNROLLED_TOTAL
from chainrule.compiler.text import Text, Value
from chainrule.compiler.values import Strip
from chainrule.formula import Expr, Var

__all__ = ["Loops", "write_kernel", "write_kernels"]

_REGISTERS = 16  # vectors that the sums of a block may carry
_MOST_ROWS = 4  # divides a piece of a shared axis
_TOGETHER = 4  # strips of the widest kind that are computed at once


def write_kernel(text: Text, kernel: Kernel, pointers: dict[Buffer, Value], share: Share | None = None) -> None:
    """The code of one kernel, or of one piece of it."""
    write_kernels(text, [kernel], pointers, share)


def write_kernels(
    text: Text, kernels: Sequence[Kernel], pointers: dict[Buffer, Value], share: Share | None = None
) -> None:
    """The code of kernels, one after another, which have one condition or none; they stand in one branch."""
    made = [Loops(text, kernel, pointers) for kernel in kernels]

    def write() -> None:
        for each in made:
            each.write(share)

    def counted() -> None:
        text.count()
        write()

    only = kernels[0].only
    if only is None:
        write()
        return
    holds = made[0].value(only.args[0])
    if text.guesses:
        for each in made:
            each.write_zeros()
        text.when(holds, counted, foretold=True)
    else:
        text.count(text.let(f"zext i1 {holds} to i64"))
        for each in made:
            each.holds = holds
        write()


class Loops(Cuts):
    """The loop nest of a kernel."""

    share: Share | None = None

    def write(self, share: Share | None) -> None:
        """All of it, or a piece of the outermost axis, whatever its condition."""
        if self.kernel.zeroes:
            (target,) = targets(self.kernel)
            self.text.clear(self.pointers[target], target.nbytes)
        if all(var.size for var in self.kernel.space):
            self._write_all(share)

    def write_zeros(self) -> None:
        """What is 0 where the condition does not hold becomes 0."""
        for write in self.kernel.writes:
            if write.else_zero:
                dtype = write.target.dtype
                self._put(self._address(write.target, "0"), literal(0, dtype), dtype, 1)

    def value(self, expr: Expr) -> Value:
        """The value of an expression that needs no loop."""
        return self._value(expr)

    def _write_all(self, share: Share | None) -> None:
        vector = vector_axis(self.kernel)
        self.share = share
        self._nest([var for var in self.kernel.space if var is not vector], vector)

    def _nest(self, outer: Sequence[Var], vector: Var | None) -> None:
        if len(outer) == 1 and vector is not None and (rows := self._rows(outer[0], vector)) > 1:
            self._blocks(outer[0], vector, rows)
        elif outer:
            self._for(outer[0], lambda: self._nest(outer[1:], vector))
        elif vector is not None:
            self._strips(vector)
        else:
            self._store_all()

    def _for(self, var: Var, body: Callable[[], None]) -> None:
        """`body` for every value of `var`, written out if they are few."""
        self._hoist_all({var, *self._unbound()})
        if var.size <= UNROLLED and self.unrolled * var.size <= UNROLLED_TOTAL:
            self.unrolled *= var.size
            for i in range(var.size):
                with self._scope({var: str(i)}):
                    body()
            self.unrolled //= var.size
            return

        def turn(i: Value) -> None:
            with self._scope({var: i}):
                body()

        self._through(var, 1, turn, turn)

    def _through(self, var: Var, step: int, block: Callable[[Value], None], single: Callable[[Value], None]) -> None:
        """`block` at every `step`-th value of `var`, `single` at the values left over; of a shared axis a thread's."""
        share, self.share = self.share, None

        def rest(start: int) -> None:
            if var.size - start > _MOST_ROWS:  # written out they would take longer to compile than all else
                self.text.each(start, var.size, 1, single)
            else:
                for i in range(start, var.size):
                    single(str(i))

        whole = var.size // step * step
        if share is None:
            self.text.each(0, whole, step, block)
            rest(whole)
            return
        stop = share.stop(self.text, whole)
        begun = self.text.let(f"icmp slt i64 {share.start}, {stop}")
        self.text.when(begun, lambda: self.text.each(share.start, stop, step, block))
        if whole < var.size:
            self.text.when(share.last, lambda: rest(whole))

    def _rows(self, outer: Var, vector: Var) -> int:
        """How many rows are computed at once: as many as keep the accumulators of their sums in registers.

        Where a read is transposed: as many as a vector has lanes, if a piece of a shared axis has as many rows.
        """
        lanes = max(1, VECTOR_BYTES // max(write.value.dtype.itemsize for write in self.kernel.writes))
        if lanes <= min(outer.size, vector.size, PIECE) and self._is_turned(vector, outer):
            return lanes
        if outer is self.kernel.ordered or not self._sums(vector) or outer in _needed_by_places(self.kernel):
            return 1
        vectors = min(sum(-(-width // lanes) for _, _, width in self._cut(vector)), ACCUMULATORS)
        rows = 1
        while rows * 2 * vectors <= _REGISTERS and rows * 2 <= min(outer.size, _MOST_ROWS):
            rows *= 2
        return rows

    def _blocks(self, outer: Var, vector: Var, rows: int) -> None:
        """The loop over `outer` in blocks of `rows`; those left over one by one."""

        def block(i: Value) -> None:
            self._strips(vector, [{outer: self._shifted(i, k)} for k in range(rows)])

        def single(i: Value) -> None:
            with self._scope({outer: i}):
                self._strips(vector, [{}])

        self._through(outer, rows, block, single)

    def _strips(self, var: Var, rows: Sequence[dict[Var, Value]] = ({},)) -> None:
        """The vector axis in strips, all at once where a sum then keeps all its accumulators in registers.

        Else the widest are in a loop and the rest is at once.
        """
        if len(rows) == 1:
            self._hoist_all({var})
        self.along = var
        found = self._cut(var)
        start, stop, most = found[0]
        together = _TOGETHER if len(rows) == 1 and not self._sums_rows(var) else 1
        looped = var.size > together * most and stop > 2 * most
        if looped:
            self.text.each(start, stop, most, lambda i: self._together(var, [(i, most)], rows))
        rest = [(str(i), width) for a, b, width in found[looped:] for i in range(a, b, width)]
        if rest:
            self._together(var, rest, rows)
        self.along = None

    def _together(self, var: Var, places: Sequence[tuple[Value, int]], rows: Sequence[dict[Var, Value]]) -> None:
        """Strips of `var` at (start, width), in every row, with one loop for a sum of all of them."""
        made = [
            Strip(self._context(), width, row, {var: start, **bound})
            for row, bound in ((self._context() if bound else 0, bound) for bound in rows)
            for start, width in places
        ]
        with self._scope({}):
            self._transpose_all(var, made, len(places))
            for expr in self._sums(var) if len(made) > 1 else ():
                self._sum_together(expr, made)
            for strip in made:
                with self._in(strip):
                    self._store_all()

    def _is_turned(self, along: Var, rows: Var) -> bool:
        """Whether blocks of rows are read transposed; not where sums need the registers."""
        values = (write.value for write in self.kernel.writes)
        plain = rows is not self.kernel.ordered and all(e.op != "reduce" for value in values for e in all_of(value))
        return plain and bool(self._transposed(along, rows))

    def _transpose_all(self, along: Var, made: Sequence[Strip], places: int) -> None:
        """Of strips at `places` in every row, reads those that make a square with their like in the other rows."""
        rows = next((var for var in made[0].bound if var is not along), None)
        if rows is None or not self._is_turned(along, rows):
            return
        for k in range(places):
            square = made[k::places]
            if square[0].width == len(square):
                for expr in self._transposed(along, rows):
                    self._transpose(expr, along, rows, square)

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
            whole = whole and crossing_axis(self.kernel, expr, var) is None
            new = not any(other is expr for other in found)
            if whole and new and not any(e.op == "read" and e.data[0] in own for e in all_of(expr)):
                found.append(expr)
        return found

    def _store_all(self) -> None:
        """One element of every result (or one strip)."""
        for write in self.kernel.writes:
            self._store(write)

    def _hoist_all(self, unbound: set[Var]) -> None:
        for write in self.kernel.writes:
            self._hoist(write.value, unbound)


def _needed_by_places(kernel: Kernel) -> set[Var]:
    """The variables that decide where an indirect write goes."""
    return {v for write in kernel.writes for var, _ in write.place.terms if var.value for v in var.value.needs}
