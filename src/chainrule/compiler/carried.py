"""How a step is repeated, and which of its results are written over the inputs that they become."""

from __future__ import annotations

from dataclasses import dataclass, replace

from chainrule.compiler.axes import is_scalar
from chainrule.compiler.kernels import Buffer, Kernel, Schedule, reads, targets
from chainrule.formula import Affine

__all__ = ["Loop", "carried_buffers", "in_place"]


@dataclass(frozen=True)
class Loop:
    """How a step is repeated.

    Attributes:
        carried: pairs of an output and the input that it becomes in the next step.
        streamed_in: inputs of which step k reads the k-th piece of a longer array.
        streamed_out: outputs of which step k writes the k-th piece.
        summed: outputs, one number each, whose values in all steps are added to what is there.
        finite: inputs that hold no NaN and no infinity.
        held_finite: whether the leaves that hold their own values are such, too.
    """

    carried: tuple[tuple[int, int], ...] = ()
    streamed_in: frozenset[int] = frozenset()
    streamed_out: frozenset[int] = frozenset()
    summed: frozenset[int] = frozenset()
    finite: frozenset[int] = frozenset()
    held_finite: bool = False


def carried_buffers(found: Schedule, loop: Loop | None) -> list[tuple[Buffer, Buffer]]:
    """The results of a step that become inputs of the next, and those inputs."""
    pairs = loop.carried if loop is not None else ()
    return [(_numbered(found, "output", o), _numbered(found, "input", i)) for o, i in pairs]


def _numbered(found: Schedule, kind: str, place: int) -> Buffer:
    return next(b for b in found.buffers if b.kind == kind and b.place == place)


def in_place(found: Schedule, loop: Loop) -> dict[Buffer, Buffer]:
    """Carried outputs that can be written straight over the input they become.

    That is so when the kernel that writes it reads the input only where it writes, and no later kernel reads it.
    """
    aliased: dict[Buffer, Buffer] = {}
    last = {b: k for k, kernel in enumerate(found.kernels) for b, _ in reads(kernel)}
    for out, source in carried_buffers(found, loop):
        at = next(k for k, kernel in enumerate(found.kernels) if out in targets(kernel))
        writer = found.kernels[at]
        if writer.zeroes or any(out in targets(k) for k in found.kernels[at + 1 :]):
            continue
        fits = _one_by_one if is_scalar(writer) else _place_by_place
        if fits(writer, out, source) and last.get(source, -1) <= at:
            aliased[out] = source
    return aliased


def _place_by_place(writer: Kernel, out: Buffer, source: Buffer) -> bool:
    """Whether a kernel reads an input where it writes a result, and not after that."""
    mine = next(k for k, write in enumerate(writer.written) if write.target is out)
    place, after = writer.written[mine].place, replace(writer, writes=writer.written[mine + 1 :], beside=())
    if any(b is source for b, _ in reads(after)):
        return False
    return all(offset == place for b, offset in reads(writer) if b is source)


def _one_by_one(writer: Kernel, out: Buffer, source: Buffer) -> bool:
    """Whether a kernel without loops reads no element of an input after it wrote that of a result."""
    written: list[Affine] = []
    for write in writer.writes:
        read = [place for b, place in reads(replace(writer, writes=(write,))) if b is source]
        if any(a == b or a.terms or b.terms for a in read for b in written):  # with terms it lies anywhere
            return False
        if write.target is out:
            written.append(write.place)
    return True
