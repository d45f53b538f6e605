"""From graphs to machine code: all stages in their order, and what is kept of them."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from chainrule.compiler import crew
from chainrule.compiler.beside import updated_beside
from chainrule.compiler.carried import Loop, carried_buffers
from chainrule.compiler.chains import shortened
from chainrule.compiler.costs import Report, costs, own_bytes
from chainrule.compiler.culprit import culprit
from chainrule.compiler.idle import idle_apart
from chainrule.compiler.kernels import Rows, Schedule, without_nodes
from chainrule.compiler.memory import after_readers, freeing_early
from chainrule.compiler.merge import merged
from chainrule.compiler.program import ENTRY, assemble
from chainrule.compiler.pseudocode import printed
from chainrule.compiler.regroup import regrouped
from chainrule.compiler.schedule import schedule
from chainrule.compiler.simplify import without_repeats
from chainrule.compiler.tiles import in_tiles
from chainrule.errors import CompileError, MissingExtraError, explain
from chainrule.graph import Node, walk

__all__ = ["Compiled", "Part", "available", "compiled", "require"]


@dataclass(frozen=True)
class Part:
    """A graph to be compiled: its leaves that get an array, and what is computed."""

    inputs: Sequence[Node]
    outputs: Sequence[Node]


@dataclass(frozen=True, eq=False)
class Compiled:
    """Machine code, what goes where in its table, and how it came about.

    Attributes:
        schedules: the kernels of each part.
        places: for each part its table entries: the kind of array, and which of them; then comes its arena's.
        used: for each part those of its entries that the code reads.
        held: for each part the places of its held leaves in the walk over its outputs.
        arenas: for each part the bytes of its arena.
        own: the bytes of the arrays that a run makes, besides.
    """

    code: Any
    schedules: Sequence[Schedule]
    places: Sequence[Sequence[tuple[str, int]]]
    used: Sequence[Sequence[int]]
    held: Sequence[Sequence[int]]
    arenas: Sequence[int]
    own: int
    shared: bool
    seconds: float

    @cached_property
    def flops(self) -> tuple[int, ...]:
        """The scalar operations of each part."""
        return tuple(costs(part)[1] for part in self.schedules)

    @cached_property
    def arena(self) -> int:
        """The bytes of the arena that the parts use by turns."""
        return max(self.arenas)

    @property
    def call(self) -> Any:
        """(table, periods, steps, last) -> flags."""
        return self.code.call

    def loops(self) -> str:
        """The fused loops as pseudo-code: what is stored, what is fused; of a training loop the step, then a record."""
        return "\n\n".join(printed(part) for part in self.schedules)

    def llvm(self) -> str:
        """The LLVM IR, before LLVM's own passes."""
        found: str = self.code.ir
        return found

    def report(self) -> Report:
        """What one run costs (of a training loop: one step)."""
        many = crew.threads() if self.shared else 1
        return Report(*costs(self.schedules[0]), self.arena, self.arena + self.own, self.seconds, many)


def compiled(step: Part, loop: Loop | None, rows: Rows | None, record: Part | None) -> Compiled:
    """The stages, one after the other; see `runtime.CompiledLoop` for the arguments.

    Raises CompileError, which names the node that has no machine code, and MissingExtraError without llvmlite.
    """
    llvm, began = _llvm(), time.perf_counter()
    parts = [step] if record is None else [step, record]
    try:
        found = [_scheduled(part, rows if part is step else None) for part in parts]
        for part in found:
            carried = carried_buffers(part, loop) if part is found[0] else ()
            ordered = freeing_early(after_readers(merged(part.kernels), carried), carried)
            part.kernels = updated_beside(shortened(regrouped(ordered), carried), carried)
            in_tiles(part, llvm.registers())
            if loop is not None and part is found[0]:
                part.kernels = idle_apart(part, loop)
        made = assemble(found[0], loop, *found[1:])
        symbols = crew.yielding() if made.work else {}
        code = llvm.compiled(made.ir, ENTRY, symbols, bool(made.work))
        if made.work:
            code = replace(code, call=crew.together(code.call, *[*made.work, 0][:2]))
    except Exception as error:
        raise _refused(parts, error) from error
    places = [[(b.kind, b.place) for b in part.buffers if b.kind != "arena"] for part in found]
    numbers = [{node: i for i, node in enumerate(walk(part.outputs))} for part in parts]
    held = [[number[node] for node in part.held] for number, part in zip(numbers, found, strict=True)]
    carried = carried_buffers(found[0], loop)
    own = own_bytes(found[0], (source for _, source in carried), made.in_place) + sum(map(own_bytes, found[1:]))
    for out, source in carried:
        out.name = f"{source.name}'"
    for part in found:  # what is kept keeps no graph alive, nor its arrays
        part.views, part.held, part.kernels = {}, [], [without_nodes(kernel) for kernel in part.kernels]
    seconds = time.perf_counter() - began
    used = [sorted(entries) for entries in made.used]
    return Compiled(code, found, places, used, held, made.arenas, own, bool(made.work), seconds)


def _scheduled(part: Part, rows: Rows | None) -> Schedule:
    rows = rows or Rows()
    same = without_repeats(part.outputs, {*part.inputs, *rows.read, *rows.written})
    written = {same[y]: place for y, place in rows.written.items()}
    return schedule(part.inputs, [same[y] for y in part.outputs], Rows(rows.read, written))


def _refused(parts: Sequence[Part], error: Exception) -> CompileError:
    """The error that names the node to blame, or says that it is none of them."""
    found = next((f for part in parts if (f := culprit(part.inputs, part.outputs)) is not None), None)
    other = "Use the reference engine (fallback=True, engine='reference')"
    if found is None:
        node, why = parts[0].outputs[0].describe(), f"{type(error).__name__}: {error}"
        rule = f"each of its operations has machine code, but not all together: {why}"
        return CompileError(
            explain("compile", f"what leads to {node}", rule, f"{other}. This is a fault of chainrule.")
        )
    why = str(found[1]) or type(found[1]).__name__
    repair = f"{other}, or give the operation a formula (`lower`)."
    return CompileError(explain("compile", found[0].describe(), f"it has no machine code: {why}", repair))


def _llvm() -> Any:
    try:
        import chainrule.compiler.llvm as from_llvm
    except ImportError as error:
        repair = "pip install llvmlite, or use engine='reference'."
        message = explain("the compiled engine", "llvmlite is not installed", "it makes the machine code", repair)
        raise MissingExtraError(message) from error
    return from_llvm


def available() -> bool:
    """Whether llvmlite is installed."""
    return importlib.util.find_spec("llvmlite") is not None


def require() -> None:
    """Raises MissingExtraError where llvmlite is not installed."""
    _llvm()
