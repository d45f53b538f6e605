"""Which engines there are."""

from __future__ import annotations

from collections.abc import Mapping

from chainrule.compiler import available
from chainrule.errors import OptionError, explain
from chainrule.training.compiled import CompiledRunner
from chainrule.training.reference import ReferenceRunner
from chainrule.training.step import Engine

__all__ = ["ENGINES", "engine_called"]

ENGINES: Mapping[str, Engine] = {"reference": ReferenceRunner, "compiled": CompiledRunner}


def engine_called(called: str, name: str | None) -> Engine:
    """The engine of this name; None: the compiled one, where it can be had."""
    if name is None:
        name = "compiled" if available() else "reference"
    if name not in ENGINES:
        raise OptionError(explain(called, f"engine={name!r}", f"it is one of {', '.join(map(repr, ENGINES))}"))
    return ENGINES[name]
