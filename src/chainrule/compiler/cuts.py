"""How an axis is cut into strips, and what becomes of its end, which fills no whole vector."""

from __future__ import annotations

from dataclasses import replace

from chainrule.compiler.axes import all_of, crossing_axis, strips
from chainrule.compiler.kernels import Buffer, Kernel, reads
from chainrule.compiler.padding import VECTOR_BYTES, has_room
from chainrule.compiler.sums import most_lanes
from chainrule.compiler.transposes import Transposes
from chainrule.formula import Var

__all__ = ["Cuts"]


class Cuts(Transposes):
    """A kernel whose vector axis is cut into strips."""

    def _cut(self, var: Var) -> list[tuple[int, int, int]]:
        """The strips of an axis; what is left after whole vectors is one more of them rather than several narrower.

        It reaches into the gap that lies there, or begins before the end of the one before.
        """
        most = _lanes(self.kernel, var)
        lanes = VECTOR_BYTES // max(write.value.dtype.itemsize for write in self.kernel.writes)
        whole, rest = var.size // lanes * lanes, var.size % lanes
        if rest and self._ends_in_gap(var, lanes):
            return [*strips(whole, most), (whole, whole + lanes, lanes)]
        if rest.bit_count() > 1 and whole and self._may_repeat():
            return [*strips(whole, most), (var.size - lanes, var.size, lanes)]
        return list(strips(var.size, most))

    def _may_repeat(self) -> bool:
        """Whether an element may be computed twice: nothing that is read changes."""
        kernel = self.kernel
        if kernel.ordered is not None or kernel.beside or any(write.adds for write in kernel.writes):
            return False
        changed = {self.pointers[write.target] for write in kernel.writes if write.stored}
        made: set[Buffer] = set()  # is read in registers
        for write in kernel.writes:
            old = (buffer for buffer, _ in reads(replace(kernel, writes=(write,))) if buffer not in made)
            if any(self.pointers[buffer] in changed for buffer in old):
                return False
            made.add(write.target)
        return True

    def _ends_in_gap(self, var: Var, lanes: int) -> bool:
        """Whether all that is read and written along an axis has a gap behind it that makes its vectors whole.

        The sums of rows (`Sums._crossing`) read no further rows.
        """
        extent = -(-var.size // lanes) * lanes
        writes = self.kernel.writes if self._sums_rows(var) else self.kernel.written
        if not all(has_room(write.target, write.place, var, extent) for write in writes if write.stored):
            return False
        stack = [write.value for write in writes]
        while stack:
            expr = stack.pop()
            if var not in expr.needs or (expr.op == "reduce" and crossing_axis(self.kernel, expr, var) is not None):
                continue
            if expr.dtype.kind not in "fb" or (
                expr.op == "read" and not has_room(expr.data[0], expr.place, var, extent)
            ):
                return False
            stack.extend(expr.args)
        return True

    def _sums_rows(self, var: Var) -> bool:
        """Whether every lane of an axis has a sum of its own row, which strips do not share."""
        sums = (e for write in self.kernel.writes for e in all_of(write.value) if e.op == "reduce")
        return any(crossing_axis(self.kernel, e, var) is not None for e in sums)


def _lanes(kernel: Kernel, along: Var) -> int:
    """The widest strip of a kernel: several vectors where it sums, so that several accumulators are carried."""
    values = [write.value for write in kernel.writes]
    sums = [e for value in values for e in all_of(value) if e.op == "reduce"]
    sums = [e for e in sums if crossing_axis(kernel, e, along) is None]
    most = VECTOR_BYTES // max(value.dtype.itemsize for value in values)
    return max((most_lanes(e.args[0], e.dtype) for e in sums), default=most)
