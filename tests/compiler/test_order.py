"""Kernels whose results are written over an input come after those that read it."""

from __future__ import annotations

import chainrule as cr
from chainrule.compiler.kernels import Kernel, targets
from chainrule.compiler.order import after_readers
from chainrule.compiler.schedule import schedule


def names(kernels: list[Kernel]) -> list[str]:
    return [buffer.name for kernel in kernels for buffer in targets(kernel)]


def test_an_update_waits_for_the_last_reader_of_what_it_replaces() -> None:
    w, x = cr.Input((4, 4), name="w"), cr.Input((4, 4), name="x")
    found = schedule([w, x], [(w - x).named("new"), (x @ w).named("y"), (x * 2).named("z")])
    new = next(buffer for buffer in found.buffers if buffer.name == "new")
    old = next(buffer for buffer in found.buffers if buffer.name == "w")
    assert names(after_readers(found.kernels, [])) == ["new", "y", "z"]
    assert names(after_readers(found.kernels, [(new, old)])) == ["y", "new", "z"]


def test_but_not_where_a_reader_depends_on_it() -> None:
    w, x = cr.Input((4, 4), name="w"), cr.Input((4, 4), name="x")
    new = (w - x).named("new")
    found = schedule([w, x], [new, (new @ w).named("y")])
    buffers = {buffer.name: buffer for buffer in found.buffers}
    assert names(after_readers(found.kernels, [(buffers["new"], buffers["w"])])) == ["new", "y"]
