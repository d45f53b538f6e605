"""From a traced graph to machine code; see README.md beside this file."""

from chainrule.compiler.compilation import Compiled, available, require
from chainrule.compiler.costs import Report
from chainrule.compiler.runtime import CompiledLoop, CompiledProgram

__all__ = ["Compiled", "CompiledLoop", "CompiledProgram", "Report", "available", "require"]
