"""Random functions give on machine code what they give on the reference, however the compiler cuts them up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from tests.random_functions import laid_out, random_function

import chainrule as cr
from chainrule.compiler import CompiledProgram, fusion, sharing, stretches, tiles
from chainrule.compiler.recent import Recent
from chainrule.evaluate import Program
from chainrule.graph import walk

LIMITS = {
    "as it is": [],
    "products in tiles, functions cut up": [
        (tiles, "LEAST", 30), (tiles, "LEAST_SIDE", 2), (tiles, "_TERMS", 8), (tiles, "_ROWS_AT_ONCE", 8),
        (stretches, "_LONGEST", 25),
    ],
    "shared among threads, little fused": [
        (tiles, "LEAST", 30), (sharing, "LEAST_WORK", 50), (stretches, "_LONGEST", 25), (fusion, "_LARGEST_INLINE", 30),
    ],
}  # fmt: skip


def scalar(outputs: Sequence[cr.Tensor]) -> cr.Tensor:
    """One number that depends on all outputs that are floats, by a slope of at most 1."""
    wide = [y.astype("float64") for y in outputs if y.dtype.kind == "f"]
    total = cr.as_tensor(0.0)
    for y in wide:
        total = total + (y / (1 + y * y)).sum()
    return total


def differ(found: np.ndarray, wanted: np.ndarray, node: cr.Tensor) -> str:
    """What differs by more than rounding; empty if nothing does."""
    if (found.shape, found.dtype) != (wanted.shape, wanted.dtype):
        return f"{found.shape} {found.dtype} is not {wanted.shape} {wanted.dtype}"
    single = any(x.dtype == np.float32 for x in walk([node]))
    tolerance = (1e-3 if single else 1e-8) if found.dtype.kind == "f" else 0
    size = float(np.abs(wanted[np.isfinite(wanted)]).max(initial=1)) if tolerance else 0
    same = np.isclose(found, wanted, rtol=tolerance, atol=tolerance * size, equal_nan=True)
    return "" if same.all() else f"{found[~same][:3]} is not {wanted[~same][:3]}"


def check(seed: int, derived: bool) -> None:
    f, arrays = random_function(seed, ties=not derived)
    inputs = [cr.Input(a.shape, a.dtype) for a in arrays]
    outputs = list(f(*inputs))
    if derived:
        floats = [x for x in inputs if x.dtype.kind == "f"]
        outputs += cr.gradient(scalar(outputs), floats)
    compiled, wanted = CompiledProgram(inputs, outputs), Program(inputs, outputs)(*arrays)
    layouts = ["strided", "backwards", "unaligned", "swapped", "fortran"]
    laid = [laid_out(a, layouts[(seed + i) % 5]) for i, a in enumerate(arrays)]
    found = compiled(*laid)
    for node, a, b in zip(outputs, found, wanted, strict=True):
        assert not differ(a, b, node), f"seed {seed}, {node.describe()}: {differ(a, b, node)}"
    assert [a.tobytes() for a in compiled(*arrays)] == [a.tobytes() for a in found], "the layout changes the bits"


def limited(monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    from chainrule.compiler import runtime

    monkeypatch.setattr(runtime, "_CODE", Recent(256))  # code is kept by structure, whatever the limits were
    monkeypatch.setenv("CHAINRULE_THREADS", "2")
    for module, name, value in LIMITS[case]:
        monkeypatch.setattr(module, name, value)


@pytest.mark.parametrize("case", LIMITS)
@pytest.mark.parametrize("tens", range(4))
def test_they_agree_with_the_reference(case: str, tens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, case)
    for seed in range(10 * tens, 10 * tens + 10):
        check(seed, derived=seed % 2 == 1)


@pytest.mark.slow
@pytest.mark.parametrize("case", LIMITS)
@pytest.mark.parametrize("hundred", range(10))
def test_a_thousand_agree_with_the_reference(case: str, hundred: int, monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, case)
    for seed in range(100 * hundred, 100 * hundred + 100):
        check(seed, derived=seed % 2 == 1)


def test_they_hold_what_they_are_to_hold() -> None:
    """Every kind of operation, empty arrays, integers, products."""
    seen: set[str] = set()
    for seed in range(200):
        f, arrays = random_function(seed)
        inputs: list[Any] = [cr.Input(a.shape, a.dtype) for a in arrays]
        nodes = walk(f(*inputs))
        seen |= {x.primitive.name for x in nodes if x.primitive} | {str(x.dtype) for x in nodes}
        seen |= {"empty"} if any(0 in x.shape for x in nodes) else set()
    wanted = "argmax gather scatter_add slice flip pad concatenate contract where max sum cast expand transpose empty"
    assert {*wanted.split(), "bool", "uint8", "int64", "float32"} <= seen
