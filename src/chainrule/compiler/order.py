"""The order of kernels: what is written over an input comes after all that read it."""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.compiler.kernels import Buffer, Kernel, reads, targets

__all__ = ["after_readers"]


def after_readers(kernels: Sequence[Kernel], carried: Sequence[tuple[Buffer, Buffer]]) -> list[Kernel]:
    """The kernels, those with a result that is `carried` to an input behind the last that reads this input.

    Only then it can be written over the input, and needs no memory of its own. One that others in between depend on
    stays where it is.
    """
    over = dict(carried)
    read = [{buffer for buffer, _ in reads(kernel)} for kernel in kernels]
    last = {buffer: i for i, buffers in enumerate(read) for buffer in buffers}

    def place(i: int) -> int:
        written = {*targets(kernels[i])}
        behind = max((last.get(over[buffer], i) for buffer in written if buffer in over), default=i)
        for k in range(i + 1, behind + 1):
            if written & read[k] or (written | read[i]).intersection(targets(kernels[k])):
                return i
        return max(i, behind)

    places = [place(i) for i in range(len(kernels))]
    return [kernels[i] for i in sorted(range(len(kernels)), key=lambda i: (places[i], places[i] > i))]
