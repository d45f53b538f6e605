"""From a traced graph to machine code; see README.md beside this file."""

from chainrule.compiler.runtime import CompiledLoop, CompiledProgram, CompileError

__all__ = ["CompileError", "CompiledLoop", "CompiledProgram"]
