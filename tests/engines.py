"""How a test runs a function on an engine: one way for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.compiler import CompiledProgram
from chainrule.evaluate import Program
from chainrule.graph import Node

PROGRAMS: dict[str, Callable[..., Any]] = {"reference": Program, "compiled": CompiledProgram}


def compiled(engine: str, inputs: Sequence[Node], outputs: Sequence[Node]) -> Callable[..., list[np.ndarray]]:
    """The function from arrays for `inputs` to arrays for `outputs` on `engine`."""
    return PROGRAMS[engine](inputs, outputs)


def run(engine: str, f: Callable[..., Any], *arrays: Any) -> list[np.ndarray]:
    """What f gives for `arrays`, traced on placeholders and evaluated on `engine`.

    On the way: the graph announced the right shapes and dtypes, and calling f on the arrays gives the same.
    """
    inputs = [cr.Input(array.shape, array.dtype) for array in arrays]
    traced = listed(f(*inputs))
    found = compiled(engine, inputs, traced)(*arrays)
    eager = listed(f(*(cr.variable(array) for array in arrays)))
    for symbol, value, now in zip(traced, found, eager, strict=True):
        assert (symbol.shape, symbol.dtype) == (value.shape, value.dtype), "the traced graph announced another"
        assert (now.shape, now.dtype) == (value.shape, value.dtype)
        if engine == "reference":
            np.testing.assert_array_equal(now.numpy(), value)
    return found


def listed(result: Any) -> list[Any]:
    """One result or several, as a list."""
    return list(result) if isinstance(result, list | tuple) else [result]
