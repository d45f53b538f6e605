"""Compiles the hand-written C of the floors, once for each set of sizes."""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["FLAGS", "address", "library"]

FLAGS = ("-O3", "-march=native", "-ffast-math", "-fopenmp", "-shared", "-fPIC", "-std=gnu11")
SOURCES = Path(__file__).parent / "c"


def library(name: str, sizes: Mapping[str, Any] | None = None) -> ctypes.CDLL:
    """The functions of c/NAME.c, with the `sizes` as macros (the C knows them when it is compiled)."""
    source = SOURCES / f"{name}.c"
    macros = [f"-D{key}={value}" for key, value in (sizes or {}).items()]
    mark = hashlib.sha256(source.read_bytes() + repr((macros, FLAGS)).encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"chainrule-benchmarks-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    built = folder / f"{name}-{mark}.so"
    if not built.exists():
        partial = built.with_suffix(f".{os.getpid()}")
        subprocess.run(
            [os.environ.get("CC", "cc"), *FLAGS, *macros, str(source), "-o", str(partial), "-lm"], check=True
        )
        partial.rename(built)
    return ctypes.CDLL(str(built))


def address(array: np.ndarray[Any, Any]) -> ctypes.c_void_p:
    """Where a contiguous array's values are."""
    assert array.flags.c_contiguous
    return ctypes.c_void_p(array.ctypes.data)
