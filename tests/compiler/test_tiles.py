"""Large matrix products run in tiles: which kernels do, and that the results are those of the product."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler import CompiledProgram, llvm, tiles
from chainrule.compiler.axes import all_of
from chainrule.compiler.kernels import Schedule, reads, targets
from chainrule.compiler.merge import merged
from chainrule.compiler.schedule import schedule

RNG = np.random.default_rng(0)
AVX512 = 32 * 64


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also small products run in tiles, and their sums in many blocks."""
    for limit, value in (("LEAST", 0), ("LEAST_SIDE", 1), ("_TERMS", 64), ("_ROWS_AT_ONCE", 40)):
        monkeypatch.setattr(tiles, limit, value)


def tiled(inputs: list[cr.Tensor], *outputs: cr.Tensor, registers: int = AVX512) -> Schedule:
    found = schedule(inputs, list(outputs))
    found.kernels = merged(found.kernels)
    tiles.in_tiles(found, registers)
    return found


@pytest.mark.parametrize("registers", [AVX512, 512, 256])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("m, k, n", [(1, 33, 48), (7, 31, 1), (31, 513, 7), (33, 64, 33), (64, 65, 96), (9, 129, 53)])
def test_products_of_any_size(
    m: int, k: int, n: int, dtype: str, registers: int, everywhere: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llvm, "registers", lambda: registers)
    monkeypatch.setattr("chainrule.compiler.runtime._CODE.find", lambda key, make: make())
    a, b, c = (RNG.standard_normal(shape).astype(dtype) for shape in ((m, k), (k, n), (n,)))
    for flip_a, flip_b in itertools.product((False, True), repeat=2):
        given = a.T.copy() if flip_a else a, b.T.copy() if flip_b else b, c
        x, y, z = inputs = [cr.Input(array.shape, dtype) for array in given]
        program = CompiledProgram(inputs, [cr.relu((x.T if flip_a else x) @ (y.T if flip_b else y) + z)])
        wanted = np.maximum(a.astype("float64") @ b.astype("float64") + c, 0)
        tolerance = 1e-4 if dtype == "float32" else 1e-12
        np.testing.assert_allclose(program(*given)[0], wanted, rtol=tolerance, atol=tolerance)
        assert "@tile." in program.code.llvm() or 1 in (m, n)


def test_nan_and_infinity_stay_in_their_rows_and_columns(everywhere: None) -> None:
    a, b = RNG.standard_normal((20, 150)), RNG.standard_normal((150, 37))
    a[3, 70], b[100, 5], b[2, 36] = np.nan, np.inf, -np.inf
    x, y = cr.Input(a.shape), cr.Input(b.shape)
    (found,) = CompiledProgram([x, y], [x @ y])(a, b)
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(found, a @ b, rtol=1e-10, atol=1e-10)


def test_the_terms_are_added_in_the_same_order_whatever_the_registers(
    everywhere: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chainrule.compiler.runtime._CODE.find", lambda key, make: make())
    a, b = (RNG.standard_normal(shape).astype("float32") for shape in ((50, 333), (333, 70)))
    x, y = cr.Input(a.shape, "float32"), cr.Input(b.shape, "float32")
    found = []
    for registers in (AVX512, 512, 256):
        monkeypatch.setattr(llvm, "registers", lambda registers=registers: registers)
        found.append(CompiledProgram([x, y], [x @ y])(a, b)[0].tobytes())
    assert found[0] == found[1] == found[2]


def test_what_follows_a_large_product_is_computed_in_its_tiles() -> None:
    x, w, b = cr.Input((256, 300), "float32"), cr.Input((300, 128), "float32"), cr.Input((128,), "float32")
    (kernel,) = tiled([x, w, b], cr.relu(x @ w + b)).kernels
    assert kernel.tiles is not None
    assert (kernel.tiles.row.size, kernel.tiles.column.size, kernel.tiles.shape) == (256, 128, (8, 32))
    (small,) = tiled([x, w, b], cr.relu(x[:16] @ w + b)).kernels
    assert small.tiles is None


def test_each_of_several_products_has_a_kernel_of_its_own() -> None:
    x, y, w = (cr.Input((128, 128), name=name) for name in "xyw")
    found = tiled([x, y, w], cr.tanh(x @ w + y @ w) + (x @ y).max())
    assert sum(kernel.tiles is not None for kernel in found.kernels) == 3
    for kernel in found.kernels:
        sums = [e for write in kernel.writes for e in all_of(write.value) if e.op == "reduce" and e.data[0] == "sum"]
        assert sums == ([tiles.product(kernel)] if kernel.tiles is not None else [])


def test_what_an_update_reads_is_asked_for_if_it_comes_from_far_away(
    everywhere: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = {"x": (70, 50), "g": (70, 51), "w": (50, 51), "v": (50, 51)}
    x, g, w, v = (cr.Input(shape, name=name) for name, shape in shapes.items())
    outputs = [w - 0.1 * (x.T @ g), v * 2 + x.T @ g]
    assert [tiles.read_from_afar(k) for k in tiled([x, g, w, v], outputs[0]).kernels if k.tiles is not None] == [[]]
    monkeypatch.setattr(tiles, "_NEAR", 0)
    (kernel,) = (k for k in tiled([x, g, w, v], outputs[0]).kernels if k.tiles is not None)
    assert [buffer.name for buffer, _ in tiles.read_from_afar(kernel)] == ["w"]
    arrays = [RNG.standard_normal(leaf.shape) for leaf in (x, g, w, v)]
    program = CompiledProgram([x, g, w, v], outputs)
    product = arrays[0].T @ arrays[1]
    for found, wanted in zip(program(*arrays), (arrays[2] - 0.1 * product, arrays[3] * 2 + product), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-11)
    assert "@llvm.prefetch" in program.code.llvm()


@pytest.mark.parametrize("terms, rows, copied", [(64, 512, True), (64, 500, False), (300, 500, True)])
def test_a_first_operand_whose_terms_do_not_stay_in_the_cache_is_copied(terms: int, rows: int, copied: bool) -> None:
    x, g = cr.Input((terms, rows), "float32", name="x"), cr.Input((terms, 128), "float32")
    found = tiled([x, g], x.T @ g)
    assert ["x.T" in (b.name for kernel in found.kernels for b in targets(kernel))] == [copied]
    read = {b.name for b, _ in reads(found.kernels[-1])}
    assert ("x.T" in read) == copied
