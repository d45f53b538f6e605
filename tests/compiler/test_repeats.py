"""Kernels of the same structure are one function in a long program."""

from __future__ import annotations

import re

import numpy as np
import pytest

import chainrule as cr
from chainrule import losses, nn, optim
from chainrule.compiler import CompiledProgram, runtime
from chainrule.compiler.kernels import Kernel
from chainrule.compiler.merge import merged
from chainrule.compiler.recent import Recent
from chainrule.compiler.repeats import structure
from chainrule.compiler.schedule import schedule
from chainrule.evaluate import Program


def kernels(*outputs: cr.Tensor) -> list[Kernel]:
    leaves = [node for node in cr.graph.walk(outputs) if node.is_leaf and node.value is None]
    return [k for k in merged(schedule(leaves, outputs).kernels) if isinstance(k, Kernel)]


def test_only_buffers_may_differ() -> None:
    x, y, z = (cr.Input((30,), name=name) for name in "xyz")

    def of(output: cr.Tensor) -> object:
        (kernel,) = kernels(output)
        return structure(kernel)[0]

    assert of(cr.tanh(x) * 2 + y) == of(cr.tanh(y) * 2 + z)
    assert of(cr.tanh(x) * 2 + x) != of(cr.tanh(y) * 2 + z)
    for other in (cr.tanh(x) * 3 + y, cr.tanh(x) * 2 - y, y + cr.tanh(x) * 2, cr.tanh(x[::-1]) * 2 + y):
        assert of(cr.tanh(x) * 2 + y) != of(other)
    assert of(x * 0.0) != of(x * -0.0)
    assert of(cr.Input((30,), "float32") + 1) != of(x + 1)


def test_buffers_come_in_the_order_of_the_structure() -> None:
    x, y = cr.Input((30,), name="x"), cr.Input((30,), name="y")
    (kernel,) = kernels((x - y).named("z"))
    assert [buffer.name for buffer in structure(kernel)[1]] == ["x", "y", "z"]


def deep(layers: int, width: int) -> nn.Sequential:
    return nn.Sequential(*(layer for _ in range(layers) for layer in (nn.Linear(width, width, seed=0), nn.ReLU())))


def test_layers_of_a_deep_network_share_their_functions() -> None:
    def functions(layers: int) -> int:
        x = cr.Input((24, 12), "float32")
        net = deep(layers, 12)
        ir = CompiledProgram([x], cr.gradient(net(x).sum(), net.parameters())).code.llvm()
        return len(re.findall(r"define internal void @kernel_", ir))

    assert 0 < functions(60) < 15
    assert 0 < functions(90) < 15


@pytest.mark.parametrize("threads", ["1", "3"])
def test_a_long_program_agrees_with_the_reference(threads: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_CODE", Recent(256))
    monkeypatch.setenv("CHAINRULE_THREADS", threads)
    monkeypatch.setattr("chainrule.compiler.sharing.LEAST_WORK", 1000)
    x = cr.Input((70, 33))
    net = deep(50, 33).astype("float64").initialize(0)
    outputs = [*cr.gradient((net(x) ** 2).sum(), net.parameters()), x[:, ::-1] @ net[0].weight]
    program = CompiledProgram([x], outputs)
    data = np.random.default_rng(0).standard_normal((70, 33))
    assert "call void @kernel_" in program.code.llvm()
    for found, wanted in zip(program(data), Program([x], outputs)(data), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


def test_a_long_fit_agrees_with_the_reference() -> None:
    x = np.random.default_rng(0).standard_normal((40, 8))
    found = []
    for engine in ("reference", "compiled"):
        net = deep(40, 8).astype("float64").initialize(0)
        cr.fit(net, losses.squared, optim.Adam(1e-2), x, abs(x), steps=6, batch_size=5, engine=engine)
        found.append(net.state_dict())
    for name, value in found[0].items():
        np.testing.assert_allclose(found[1][name], value, rtol=1e-9, atol=1e-12)
