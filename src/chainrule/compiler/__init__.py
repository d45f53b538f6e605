"""From a traced graph to machine code; see README.md beside this file."""

from chainrule.compiler.costs import Report
from chainrule.compiler.runtime import Compiled, CompiledLoop, CompiledProgram, available, require

__all__ = ["Compiled", "CompiledLoop", "CompiledProgram", "Report", "available", "require"]
