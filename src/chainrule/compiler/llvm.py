"""From LLVM IR to machine code of this process. The only module that imports llvmlite."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import llvmlite.binding as llvm

__all__ = ["Code", "compiled", "registers"]

_names = itertools.count()


@dataclass(frozen=True, eq=False)
class Code:
    """A function in machine code. It lives as long as this object."""

    call: Any  # (table, periods, steps, last) -> flags
    ir: str
    _tracker: Any


@cache
def _target() -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    features = llvm.get_host_cpu_features().flatten()
    machine = target.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=2, reloc="pic", jit=True, codemodel="default"
    )
    return machine


@cache
def registers() -> int:
    """The bytes of all vector registers of this host."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 32 * 64
    return 16 * 32 if features.get("avx") or features.get("neon") or features.get("asimd") else 16 * 16


@cache
def _jit() -> Any:
    return llvm.create_lljit_compiler(_target(), use_jit_link=False, suppress_errors=False)


def compiled(ir: str, entry: str, symbols: Mapping[str, int], shared: bool = False) -> Code:
    """The function `entry` of a module in text form, optimized for this host; `symbols` are addresses it calls.

    A `shared` one takes (table, periods, steps, last, thread, threads, meeting), else without the last three.
    """
    machine = _target()
    module = llvm.parse_assembly(ir)
    module.triple = machine.triple
    module.data_layout = str(machine.target_data)
    _optimize(module, machine)
    name = f"chainrule_{next(_names)}"
    image = machine.emit_object(module)
    builder = llvm.JITLibraryBuilder().add_object_img(image).add_current_process().export_symbol(entry)
    for symbol, address in symbols.items():
        builder.import_symbol(symbol, address)
    tracker = builder.link(_jit(), name)
    more = (ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p) if shared else ()
    kind = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, *[ctypes.c_int64] * 3, *more)
    return Code(kind(tracker[entry]), ir, tracker)


def _optimize(module: Any, machine: Any) -> None:
    """Our own short list of passes: LLVM's vectorizers and unroller stay off, the vectors are already there."""
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    builder = llvm.create_pass_builder(machine, options)
    passes = llvm.create_new_module_pass_manager()
    for add in (
        "add_sroa_pass", "add_instruction_combine_pass", "add_simplify_cfg_pass", "add_new_gvn_pass",
        "add_dead_store_elimination_pass", "add_instruction_combine_pass",
    ):  # fmt: skip
        getattr(passes, add)()
    passes.run(module, builder)
