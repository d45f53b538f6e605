"""Values at one place: what a kernel wrote is found in a register there, and only there."""

from __future__ import annotations

import numpy as np

from chainrule.compiler.kernels import Buffer, Kernel, Write
from chainrule.compiler.llvm import compiled
from chainrule.compiler.loops import write_kernel
from chainrule.compiler.text import Text
from chainrule.formula import affine, read

DOUBLE = np.dtype("float64")


def test_an_element_is_not_taken_for_another_one_of_its_buffer() -> None:
    x, b, y = (Buffer(name, 2, DOUBLE, kind) for name, kind in (("x", "input"), ("b", "arena"), ("y", "output")))
    writes = [Write(b, affine(i), read(x, affine(i), DOUBLE), None) for i in (0, 1)]
    writes += [Write(y, affine(i), read(b, affine(i), DOUBLE), None) for i in (0, 1)]
    text = Text()
    pointers = {
        buffer: text.let(f"load ptr, ptr {text.let(f'getelementptr ptr, ptr %table, i64 {i}')}")
        for i, buffer in enumerate((x, b, y))
    }
    write_kernel(text, Kernel((), tuple(writes)), pointers)
    head = "define i64 @run(ptr %table, i64 %periods, i64 %steps, i64 %last)"
    code = compiled("\n".join([f"{head} {{\nentry:", *text.on_entry(), *text.lines, "  ret i64 0\n}"]), "run", {})
    arrays = [np.array([1.0, 2.0]), np.zeros(2), np.zeros(2)]
    table = np.array([array.ctypes.data for array in arrays])
    code.call(table.ctypes.data, 1, 1, 0)
    np.testing.assert_array_equal(arrays[2], [1.0, 2.0])
