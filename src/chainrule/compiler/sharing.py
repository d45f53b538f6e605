"""What of a program threads share: kernels become phases of groups, and a group is cut into pieces of rows.

Groups of a phase need nothing of one another, so any thread may compute any piece of them; the next phase begins when
all pieces of this one are done. Within a group every kernel reads, of what the others write, the same rows only: a
piece goes through all of them while its rows are in the cache. How a group is cut depends on sizes alone, and every
element is computed within one piece in one order: the same bits with any number of threads.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from chainrule.compiler.axes import all_of, vector_axis
from chainrule.compiler.kernels import Buffer, Kernel, reads
from chainrule.formula import Affine, Expr, Var

__all__ = ["MOST_PIECES", "PIECE", "Group", "Phase", "is_whole", "phases", "times", "work"]

PIECE = 16  # rows; whole blocks of them, and whole vectors
MOST_PIECES = 32  # in a phase: they are bits of one word
_MOST_OF_ONE = 16  # pieces of one group
_TOGETHER = 20  # pieces of about equal work in a phase: enough that threads end at about the same time
# Pieces of a group in any case, if each is worth it: what is bound by memory takes longer than its work says.
_FEWEST = 4
_MOST_GROUPS = 4  # in a phase
_MOST_KERNELS = 32  # in a phase, which is written into one LLVM function
# Scalar operations from which a group is cut, about 9 us. That threads meet takes 0.2 to 0.4, and what the others have
# written comes from their caches: with 2**18, steps of 20 to 26 us took 0.93 to 1.1 of the time with two threads.
LEAST_WORK = 2**19


@dataclass(frozen=True)
class Group:
    """Kernels that are computed in order, by pieces of `piece` of their `extent` rows (0: all at once).

    With `columns` it is the columns of a matrix that are cut.
    """

    kernels: tuple[Kernel, ...]
    extent: int = 0
    piece: int = 0
    columns: bool = False

    @property
    def pieces(self) -> int:
        """How many."""
        return -(-self.extent // self.piece) if self.extent else 1


Phase = tuple[Group, ...]
_Cut = tuple[int, bool]  # the extent of the axis, and whether it is the columns


@dataclass
class _Uses:
    """Whether buffers are written, and whether row i of them is used for row i only."""

    of: dict[Buffer, tuple[bool, bool]] = field(default_factory=dict)

    def add(self, buffer: Buffer, written: bool, aligned: bool) -> None:
        before = self.of.get(buffer, (False, True))
        self.of[buffer] = before[0] or written, before[1] and aligned

    def update(self, other: _Uses) -> None:
        for buffer, (written, aligned) in other.of.items():
            self.add(buffer, written, aligned)

    def meets(self, other: _Uses) -> str:
        """How two kernels depend on each other: "" not at all, "rows" row by row, else "all"."""
        shared = [b for b in self.of if b in other.of and (self.of[b][0] or other.of[b][0])]
        if not shared:
            return ""
        return "rows" if all(self.of[b][1] and other.of[b][1] for b in shared) else "all"


@dataclass
class _Growing:
    cut: _Cut | None
    uses: _Uses
    kernels: list[tuple[int, Kernel]]

    @property
    def work(self) -> int:
        """Scalar operations."""
        return sum(_work(kernel) for _, kernel in self.kernels)

    def finished(self, beside: int) -> Group:
        """The group, in a phase of so much work in all."""
        kernels = tuple(kernel for _, kernel in sorted(self.kernels, key=lambda pair: pair[0]))
        if self.cut is None or self.work < LEAST_WORK:
            return Group(kernels)
        extent, columns = self.cut
        wanted = max(math.ceil(_TOGETHER * self.work / beside), min(_FEWEST, self.work // LEAST_WORK))
        pieces = min(_MOST_OF_ONE, wanted)
        whole = next((kernel.tiles.shape[1] for kernel in kernels if kernel.tiles is not None), PIECE)
        piece = whole * math.ceil(math.ceil(extent / whole) / pieces)
        return Group(kernels, extent, piece, columns)


def phases(kernels: Sequence[Kernel], same: Mapping[Buffer, Buffer]) -> list[Phase]:
    """The kernels in phases; `same`: results that are written over the input they become.

    Where nothing is large enough to be cut, all is one phase of one group.
    """
    found: list[list[_Growing]] = []
    for i, kernel in enumerate(kernels):
        uses = _uses(kernel, same)
        if not any(_taken(phase, i, kernel, uses) for phase in _candidates(found, uses)):
            found.append([_Growing(cut_of(kernel), uses, [(i, kernel)])])
    order = {id(kernel): i for i, kernel in enumerate(kernels)}
    done: list[Phase] = []
    for whole, run in itertools.groupby((_finished(phase, order) for phase in found), is_whole):
        if whole:
            done.append((Group(tuple(kernel for (group,) in run for kernel in group.kernels)),))
        else:
            done.extend(run)
    return done


def is_whole(phase: Phase) -> bool:
    """Whether nothing of a phase is cut, so that its kernels are computed in order."""
    return len(phase) == 1 and not phase[0].extent


def times(found: Sequence[Phase], kernels: Sequence[Kernel]) -> list[int]:
    """For each kernel when it is computed: kernels of equal times at once, or in any order."""
    at: dict[int, int] = {}
    now = 0
    for phase in found:
        in_order = is_whole(phase)
        for kernel in (kernel for group in phase for kernel in group.kernels):
            at[id(kernel)] = now
            now += in_order
        now += not in_order
    return [at[id(kernel)] for kernel in kernels]


def _candidates(found: Sequence[list[_Growing]], uses: _Uses) -> Iterator[list[_Growing]]:
    """The last phase, preceded by the one before it where that one is all that a kernel depends on."""
    if not found:
        return
    last = found[-1]
    free = not any(group.uses.meets(uses) for group in last)
    if free and len(found) > 1 and any(group.uses.meets(uses) == "rows" for group in found[-2]):
        yield found[-2]
    yield last


def _taken(phase: list[_Growing], i: int, kernel: Kernel, uses: _Uses) -> bool:
    """Whether a kernel could join a phase; it then has."""
    cut = cut_of(kernel)
    met = [(group, how) for group in phase if (how := group.uses.meets(uses))]
    if len(met) > 1 or sum(len(group.kernels) for group in phase) >= _MOST_KERNELS:
        return False
    if met:
        group, how = met[0]
        by_rows = how == "rows" and cut is not None and not cut[1]
        joins = cut == group.cut and (cut is None or by_rows)
        chosen = group if joins else None
    else:
        chosen = next((group for group in phase if group.cut is None and cut is None), None)
        if chosen is None and len(phase) < _MOST_GROUPS:
            phase.append(_Growing(cut, uses, [(i, kernel)]))
            return True
    if chosen is None:
        return False
    chosen.kernels.append((i, kernel))
    chosen.uses.update(uses)
    return True


def _finished(phase: Sequence[_Growing], order: Mapping[int, int]) -> Phase:
    """What is not cut is one group. Those with the longest pieces come first, so that no thread is left with one."""
    beside = sum(group.work for group in phase)
    groups = [group.finished(beside) for group in phase]
    uncut = (kernel for group in groups if not group.extent for kernel in group.kernels)
    alone = tuple(sorted(uncut, key=lambda kernel: order[id(kernel)]))
    found = [*([Group(alone)] if alone else []), *(group for group in groups if group.extent)]
    return tuple(sorted(found, key=lambda group: -sum(map(_work, group.kernels)) // group.pieces))


def cut_of(kernel: Kernel) -> _Cut | None:
    """Along which axis a kernel can be cut, if any."""
    if kernel.tiles is not None:
        return kernel.tiles.column.size, True
    row = _row(kernel)
    return None if row is None or row.size < 2 * PIECE else (row.size, False)


def _row(kernel: Kernel) -> Var | None:
    """The axis of which threads may compute any values: the outermost of the loops that are not vectors."""
    plain = kernel.ordered is None and not kernel.zeroes and not any(write.adds for write in kernel.writes)
    direct = all(var.value is None for write in kernel.writes for var, _ in write.place.terms)
    vector = vector_axis(kernel)
    return next((var for var in kernel.space if var is not vector), None) if plain and direct else None


def _uses(kernel: Kernel, same: Mapping[Buffer, Buffer]) -> _Uses:
    found = _Uses()
    row = _row(kernel) if kernel.tiles is None else None
    places = [(write.target, write.place, True) for write in kernel.written]
    places += [(buffer, place, False) for buffer, place in reads(kernel)]
    for buffer, place, written in places:
        found.add(_place_of(buffer, same), written, row is not None and _aligned(place, row, buffer.size))
    return found


def _place_of(buffer: Buffer, same: Mapping[Buffer, Buffer]) -> Buffer:
    return same.get(buffer, buffer)


def _aligned(place: Affine, row: Var, size: int) -> bool:
    """Whether a position lies within row `row` of an array of `size` elements."""
    length, left = divmod(size, max(row.size, 1))
    others = [(var, factor) for var, factor in place.terms if var is not row]
    if left or place.stride(row) != length or any(var.value is not None or factor < 0 for var, factor in others):
        return False
    return place.offset >= 0 and place.offset + sum(factor * (var.size - 1) for var, factor in others) < length


def _work(kernel: Kernel) -> int:
    """Scalar operations."""
    beside = sum(write.target.size * _operations(write.value) for write in kernel.beside)
    turns = math.prod(var.size for var in kernel.space)
    return turns * sum(_operations(write.value) for write in kernel.writes) + beside


def _operations(value: Expr) -> int:
    """Of one element."""
    inner = sum(math.prod(v.size for v in e.data[1]) for e in all_of(value) if e.op == "reduce")
    return sum(1 for _ in all_of(value)) + inner


def work(found: Sequence[Phase]) -> int:
    """Scalar operations that threads share."""
    return sum(_work(kernel) for phase in found for group in phase if group.extent for kernel in group.kernels)
