"""A long program in stretches of bounded length, each a function: LLVM's time grows faster than the length of one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chainrule.compiler.axes import all_of
from chainrule.compiler.kernels import Kernel
from chainrule.compiler.sharing import Group, Phase, is_whole

__all__ = ["stretches"]

_LONGEST = 800  # expressions in one LLVM function


def stretches(made: Sequence[Phase]) -> Iterator[list[Phase]]:
    """Runs of phases of about equal length; what is not shared may be cut into several."""
    stretch: list[Phase] = []
    length = 0
    for phase in made:
        alone = is_whole(phase)
        for part in [(Group((kernel,)),) for kernel in phase[0].kernels] if alone else [phase]:
            more = sum(_length(kernel) for group in part for kernel in group.kernels)
            if stretch and length + more > _LONGEST:
                yield stretch
                stretch, length = [], 0
            length += more
            if alone and stretch and is_whole(stretch[-1]):
                stretch[-1] = (Group((*stretch[-1][0].kernels, *part[0].kernels)),)
            else:
                stretch.append(part)
    if stretch:
        yield stretch


def _length(kernel: Kernel) -> int:
    return sum(1 for write in kernel.written for _ in all_of(write.value))
