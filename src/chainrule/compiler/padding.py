"""Gaps behind rows that fill no whole vectors: 30 columns lie as 32, and every row begins where a vector may.

Narrower vectors, masks and vectors that lie in two cache lines are then not needed. What lies in a gap never matters:
lanes that lie there are computed with the others, and left out of sums. Gaps have small values that only the steps of
a loop see: what is carried, in a copy of the loop's own, and single rows in the arena.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from chainrule.compiler.axes import all_of
from chainrule.compiler.kernels import Buffer, Kernel, Write
from chainrule.compiler.rewriting import Rewriting
from chainrule.formula import Affine, Expr, Var

__all__ = ["VECTOR_BYTES", "Padded", "has_room", "padded"]

VECTOR_BYTES = 64
_LONGEST = 256  # elements of a row
_MOST = 2**18  # bytes of all copies: they stay in the cache beside everything else


@dataclass(frozen=True, eq=False)
class Padded:
    """What is carried, as its owner has it (`source`) and as the steps have it (`inner`): `rows` of `columns`."""

    source: Buffer
    inner: Buffer

    @property
    def columns(self) -> int:
        """The elements of a row."""
        return self.inner.columns

    @property
    def rows(self) -> int:
        """How many there are."""
        return self.inner.size // self.inner.room


def padded(kernels: Sequence[Kernel], carried: Mapping[Buffer, Buffer]) -> tuple[list[Kernel], list[Padded]]:
    """The same kernels on values with gaps, and the values that they carry so.

    Args:
        carried: results that are written over the inputs that they become.
    """
    places: dict[Buffer, list[Affine | None]] = {}
    for kernel in kernels:
        for buffer, place in _places(kernel):
            places.setdefault(buffer, []).append(place)
    found: list[Padded] = []
    over: dict[Buffer, Padded] = {}
    for out, source in carried.items():
        each = _with_gaps(source, [*places.get(out, ()), *places.get(source, ())])
        if each is not None and each.inner.nbytes + sum(other.inner.nbytes for other in found) <= _MOST:
            found.append(each)
            over |= {out: each, source: each}
    for buffer in places:
        if buffer.kind == "arena" and buffer.size == max((1, *buffer.shape)):
            buffer.columns, buffer.room = buffer.size, _room(buffer.size, buffer)
    return [_Spreading(over).kernel(kernel) for kernel in kernels], found


def _with_gaps(source: Buffer, places: Sequence[Affine | None]) -> Padded | None:
    """A value that is used at `places` with gaps behind its rows, if it can have them."""
    columns = next((n for n in reversed(source.shape) if n != 1), 1)
    room = _room(columns, source)
    if not room or any(place is None or _spread(place, columns, room) is None for place in places):
        return None
    inner = Buffer(source.name, source.size // columns * room, source.dtype, "carried", -1, source.shape, columns, room)
    return Padded(source, inner)


def has_room(buffer: Buffer, place: Affine, along: Var, extent: int) -> bool:
    """Whether `extent` elements lie at `place`: those of a whole row, along `along`, and gap behind them."""
    others = (factor for var, factor in place.terms if var is not along)
    begins = buffer.room > 0 and all(n % buffer.room == 0 for n in (place.offset, *others))
    looked_up = any(var.value is not None and along in var.value.needs for var, _ in place.terms)
    whole = along.size == buffer.columns and extent <= buffer.room
    return begins and whole and place.stride(along) == 1 and not looked_up


def _room(columns: int, buffer: Buffer) -> int:
    """What a row takes with its gap; 0 if it needs none, is shorter than a vector, or longer than `_LONGEST`."""
    lanes = VECTOR_BYTES // buffer.dtype.itemsize
    fit = buffer.dtype.kind == "f" and lanes < columns <= _LONGEST and columns % lanes
    return -(-columns // lanes) * lanes if fit else 0


def _places(kernel: Kernel) -> Iterator[tuple[Buffer, Affine | None]]:
    """Where a kernel reads and writes; None: everywhere, or where what it reads there says."""
    yield from ((write.target, write.place) for write in kernel.written)
    for expr in kernel.expressions:
        if expr.op == "read":
            yield expr.data
        indices = [var.value for var, _ in expr.place.terms if var.value is not None]
        yield from ((e.data[0], None) for value in indices for e in all_of(value) if e.op == "read")


def _spread(place: Affine, columns: int, room: int) -> Affine | None:
    """A position in rows of `columns` as one in rows of `room`; None where it may go from one row to the next."""
    within = place.offset % columns + sum(factor % columns * (var.size - 1) for var, factor in place.terms)
    if within >= columns:
        return None
    terms = tuple((var, factor // columns * room + factor % columns) for var, factor in place.terms)
    return Affine(terms, place.offset // columns * room + place.offset % columns)


class _Spreading(Rewriting):
    """A kernel on the padded values."""

    def __init__(self, over: Mapping[Buffer, Padded]):
        super().__init__()
        self.over = over

    def write(self, write: Write) -> Write:
        target, place = self._at(write.target, write.place)
        return replace(write, target=target, place=place, value=self.of(write.value))

    def _new(self, expr: Expr, made: Expr) -> Expr:
        moved = expr.op == "read" and expr.data[0] in self.over
        return replace(expr, data=self._at(*expr.data)) if moved else made

    def _at(self, buffer: Buffer, place: Affine) -> tuple[Buffer, Affine]:
        if buffer not in self.over:
            return buffer, place
        each = self.over[buffer]
        moved = _spread(place, each.columns, each.inner.room)
        assert moved is not None
        return each.inner, moved
