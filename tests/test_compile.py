"""`chainrule.compile`: the same results in the function's own structure, traced once a signature."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.errors import CompileError, OptionError, TraceError
from chainrule.primitive import REGISTRY, Flat, Primitive


def test_results_have_the_functions_structure() -> None:
    def f(x: Any) -> Any:
        return {"a": x * 2, "b": [x.sum(), (x, None)]}

    found = cr.compile(f)([1.0, 2.0])
    assert repr(found) == "{'a': Tensor([2., 4.]), 'b': [Tensor(3.0), (Tensor([1., 2.]), None)]}"
    assert not found["a"].tracked
    assert not found["a"].numpy().flags.writeable


def test_it_is_traced_once_for_each_signature() -> None:
    seen = []

    def f(x: Any, *, times: int = 2) -> Any:
        seen.append((x.shape, str(x.dtype), times))
        return x * times

    compiled = cr.compile(f)
    for x in (1.0, 2.0, 3, [1.0], np.float32(1), cr.as_tensor(5.0)):
        assert compiled(x).numpy() == 2 * np.asarray(x)
    assert compiled(4.0, times=3).item() == 12.0
    assert compiled(4.0, times=3.0).item() == 12.0
    assert seen == [
        ((), "float64", 2), ((), "int64", 2), ((1,), "float64", 2), ((), "float32", 2), ((), "float64", 3),
        ((), "float64", 3.0),
    ]  # fmt: skip


def test_keyword_arguments_that_are_equal_and_not_the_same_are_told_apart() -> None:
    compiled = cr.compile(lambda x, *, by: x / by[0] if isinstance(by, tuple) else x / by)
    assert [compiled(1.0, by=by).item() for by in (0.0, -0.0)] == [np.inf, -np.inf]
    times = cr.compile(lambda x, *, by: x * by[0])
    assert [str(times(3, by=by).dtype) for by in ((2,), (2.0,), (True,))] == ["int64", "float64", "int64"]


def test_parameters_have_the_value_they_hold_at_the_call() -> None:
    w = cr.Parameter([1.0, 2.0], name="w")
    f = cr.compile(lambda x: x * w)
    assert f(2.0).numpy().tolist() == [2.0, 4.0]
    w.value = [5.0, 7.0]
    assert f(2.0).numpy().tolist() == [10.0, 14.0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_network_and_its_gradients_are_those_of_the_reference(dtype: str) -> None:
    net = nn.Sequential(nn.Linear(4, 33, seed=0, dtype=dtype), nn.Tanh(), nn.Linear(33, 3, seed=1, dtype=dtype))
    x = np.random.default_rng(0).standard_normal((17, 4)).astype(dtype)
    parameters = list(net.parameters())

    def loss(x: Any) -> Any:
        return (net(x) ** 2).sum(axis=1).mean()

    for f in (net, loss, cr.grad(loss), cr.value_and_grad(loss, parameters), cr.hessian(lambda x: (x**3).sum())):
        for found, wanted in zip(flat(cr.compile(f)(x)), flat(f(x)), strict=True):
            assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
            tolerance = 1e-5 if dtype == "float32" else 1e-13
            np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=tolerance, atol=tolerance)


def flat(result: Any) -> list[cr.Tensor]:
    return [y for part in result for y in flat(part)] if isinstance(result, tuple) else [result]


def test_a_model_of_another_dtype_or_with_another_layer_is_traced_anew() -> None:
    x = np.random.default_rng(0).normal(size=(6, 3))
    net = nn.Sequential(nn.Linear(3, 2, seed=0))
    f = cr.compile(net)

    def trained_is_read() -> None:
        cr.fit(net, cr.losses.squared, cr.optim.SGD(0.1), x, x[:, :2], steps=5)
        assert f(x).dtype == net(x).dtype
        np.testing.assert_allclose(f(x).numpy(), net(x).numpy(), rtol=1e-6)

    trained_is_read()
    net.astype("float64")
    trained_is_read()
    net.append(nn.Linear(2, 2, seed=1, dtype="float64"))
    trained_is_read()


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "int64"])
@pytest.mark.parametrize("size", [1, 7, 17, 64])
def test_a_float_as_an_integer_is_what_numpy_makes_of_it_at_every_size(dtype: str, size: int) -> None:
    numbers = np.resize([-1.0, 300.0, -70000.0, 5.5, -0.5], size)
    with np.errstate(invalid="ignore"):
        wanted = numbers.astype(dtype)
    np.testing.assert_array_equal(cr.compile(lambda x: x.astype(dtype))(numbers).numpy(), wanted)


def test_inside_another_trace_it_is_the_function_itself() -> None:
    f = cr.compile(lambda x: x**3)
    assert f(2.0).item() == 8.0
    assert cr.grad(f)(2.0).item() == 12.0
    assert cr.grad(cr.grad(f))(2.0).item() == 12.0
    assert f(cr.Input((4,))).shape == (4,)
    assert cr.compile(lambda x: f(x) + 1)(2.0).item() == 9.0


def test_it_can_decorate_and_keeps_the_name() -> None:
    @cr.compile
    def shifted(x: Any) -> Any:
        """One more."""
        return x + 1

    assert shifted(1.0).item() == 2.0
    assert (shifted.__name__, shifted.__doc__) == ("shifted", "One more.")


def test_what_ran_can_be_read() -> None:
    f = cr.compile(lambda x, w, b: cr.relu(x @ w + b).named("h"))
    with pytest.raises(OptionError, match="not called yet"):
        f.loops()
    args = np.ones((32, 784), "f"), np.ones((784, 3), "f"), np.ones(3, "f")
    wanted = "for i < 32, j < 3: h[i, j] = maximum(sum(k < 784: x[i, k] * w[k, j]) + b[j], 0)"
    assert f.loops(*args) == wanted
    f(*args)
    assert f.loops() == wanted
    assert "define i64 @run" in f.llvm()
    report = f.report()
    assert (report.kernels, report.arena_bytes, report.threads) == (1, 0, 1)
    assert report.flops == 32 * 3 * (2 * 784 + 2)
    assert (report.bytes_read, report.bytes_written) == (4 * (32 * 784 + 784 * 3 + 3), 4 * 32 * 3)
    assert "1 kernel" in str(report)
    assert 0 < report.compile_seconds < 60


def test_python_that_needs_a_value_is_refused_while_tracing() -> None:
    with pytest.raises(TraceError, match="placeholder"):
        cr.compile(lambda x: x if x > 0 else -x)(1.0)


def test_a_placeholder_from_outside_is_refused(engine: str) -> None:
    """It has no value that the machine code could read."""
    p = cr.Input((3,), name="p")
    with pytest.raises(OptionError, match=r"'p' \(3,\) at test_compile.py.*given no value"):
        cr.compile(lambda x: x + p)(np.ones(3))
    net = nn.Linear(3, 1, seed=0)
    with pytest.raises(OptionError, match=r"'p' \(3,\) at test_compile.py.*given no value"):
        cr.fit(lambda x: net(x + p), cr.losses.squared, cr.optim.SGD(0.1), np.ones((4, 3)), np.ones(4), steps=2,
               engine=engine)  # fmt: skip


def test_keyword_arguments_that_cannot_be_compiled_in_are_refused() -> None:
    with pytest.raises(OptionError, match="hashable"):
        cr.compile(lambda x, *, y: x + y)(1.0, y=[1.0])


def test_functions_of_one_form_are_shown_in_their_own_names() -> None:
    price = cr.compile(lambda count, each: count * each)
    force = cr.compile(lambda mass, speed: mass * speed)
    for f in (price, force):
        f(np.ones(11), np.ones(11))
    assert "count[i] * each[i]" in price.loops() and "mass[i] * speed[i]" in force.loops()


def test_a_fault_of_the_compiler_itself_is_not_put_on_an_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> None:
        raise KeyError("lost")

    monkeypatch.setattr("chainrule.compiler.compilation.merged", broken)
    with pytest.raises(CompileError, match=r"'y'.* all together: KeyError: 'lost'.*a fault of chainrule"):
        cr.compile(lambda x: (x * 1.25).named("y"))(np.ones(37))


@pytest.fixture
def median() -> Any:
    """An operation whose value NumPy knows and whose formula is not said."""
    made = Primitive(
        "median_of_all", lambda shape: (), lambda x: np.median(x), Flat("test"), None, lambda d: d,
        lambda operands, index: np.median(operands[0]),
    )  # fmt: skip
    yield made
    del REGISTRY["median_of_all"]


def test_a_node_without_machine_code_is_named_with_its_line_and_the_reason(median: Any) -> None:
    def f(x: Any) -> Any:
        y = cr.exp(x)
        z = median(y)  # this line
        return z + 1

    line = f.__code__.co_firstlineno + 2
    with pytest.raises(CompileError, match=rf"'median_of_all' \(\) at test_compile.py:{line}.*no machine code"):
        cr.compile(f)(np.ones(3))
    with pytest.warns(cr.FallbackWarning, match="median_of_all.*runs on the reference"):
        fallen = cr.compile(f, fallback=True)
        assert fallen([0.0, 0.0, 5.0]).item() == 2.0
    assert fallen([0.0, 0.0, 0.0]).item() == 2.0  # warned of once
    with pytest.raises(OptionError, match="no machine code to show"):
        fallen.loops()


WITHOUT_LLVMLITE = """
    import sys
    sys.modules["llvmlite"] = None
    import numpy as np
    import chainrule as cr
    from chainrule import losses, nn, optim

    net = nn.Linear(2, 1, seed=0)
    before = net.weight.value
    x, t = cr.datasets.two_gaussians(50, seed=0)
    for call in (
        lambda: cr.fit(net, losses.squared, optim.SGD(0.1), x, t, steps=5, engine="compiled"),
        lambda: cr.compile(net)(x),
    ):
        try:
            call()
        except cr.errors.MissingExtraError as error:
            assert "llvmlite" in str(error) and "reference" in str(error), error
        else:
            raise AssertionError("not refused")
    assert net.weight.value is before
    history = cr.fit(net, losses.squared, optim.SGD(1e-3), x, t, steps=50, record_every=10)
    assert history.final < history.loss[0]
    assert history.compiled is None
    import warnings
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        np.testing.assert_array_equal(cr.compile(net, fallback=True)(x).numpy(), net(x).numpy())
    assert [w.category for w in seen] == [cr.FallbackWarning]
"""


def test_all_but_the_compiled_engine_works_without_llvmlite() -> None:
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(WITHOUT_LLVMLITE)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_gradients_flow_through_compiled_functions_that_are_called_on_constants() -> None:
    """What a compiled function closes over is differentiated, as in JAX: parameters, and variables of an outer one."""
    net = nn.Linear(2, 1, seed=0, dtype="float64")
    x = np.array([[1.0, -2.0], [0.5, 3.0]])
    compiled = cr.compile(net)
    wanted = cr.value_and_grad(lambda: (net(x) ** 2).sum(), [net.weight, net.bias])()
    for f in (lambda: (compiled(x) ** 2).sum(), cr.compile(lambda: (net(x) ** 2).sum())):
        value, slopes = cr.value_and_grad(f, [net.weight, net.bias])()
        assert value.item() == wanted[0].item()
        for slope, other in zip(slopes, wanted[1], strict=True):
            np.testing.assert_array_equal(slope.numpy(), other.numpy())
    assert cr.grad(lambda w: cr.compile(lambda x: x * w**2)(3.0))(2.0).item() == 12.0
    assert cr.hessian(lambda w: cr.compile(lambda x: x * w**2)(3.0))(2.0).item() == 6.0
    assert cr.jvp(lambda w: cr.compile(lambda x: x * w**2)(3.0), [2.0], [1.0])[1].item() == 12.0
    assert cr.vmap(lambda w: cr.compile(lambda x: x * w)(3.0))([1.0, 2.0]).numpy().tolist() == [3.0, 6.0]


def test_a_compiled_function_in_a_compiled_one_reads_parameters_at_the_call() -> None:
    w = cr.Parameter(np.array([2.0]), name="w")
    inner = cr.compile(lambda x: x * w)
    outer = cr.compile(lambda x: x + inner(np.ones(1)).sum())
    assert outer(1.0).item() == 3.0
    w.value = [5.0]
    assert outer(1.0).item() == 6.0


def test_a_compiled_model_and_loss_are_trained(engine: str) -> None:
    x, t = cr.datasets.two_gaussians(20, seed=0)
    nets = [nn.Linear(2, 1, seed=0, dtype="float64") for _ in range(2)]
    for f, net in ((nets[0], nets[0]), (cr.compile(lambda x: nets[1](x)), nets[1])):
        base = cr.compile(lambda net=net: (net.weight**2).sum())

        def loss(y: Any, t: Any, base: Any = base) -> Any:
            return cr.losses.squared(y, t) + base()

        cr.fit(f, loss, cr.optim.SGD(1e-2), x, t, steps=5, engine=engine)
    np.testing.assert_array_equal(nets[0].weight.value, nets[1].weight.value)


def test_a_gradient_of_a_compiled_functions_constants_is_refused() -> None:
    """With respect to what it read; also through further operations, and beside what has a history."""
    w, b = cr.Parameter([1.0, 2.0], name="w"), cr.Parameter(3.0, name="b")
    f = cr.compile(lambda x: {"y": x * w, "z": x + 1})
    found = f(2.0)
    y = found["y"]
    for output in (y.sum(), ((y - 1) ** 2).mean(), (y * b).sum(), (w * b).sum() + y.max()):
        with pytest.raises(cr.errors.GradientError, match=r"'w' \(2,\) at test_compile.py.*compiled.*value_and_grad"):
            cr.gradient(output, [b, w])
        with pytest.raises(cr.errors.GradientError, match="compiled"):
            cr.tangent([output], {w: np.ones(2)})
        assert cr.gradient(output, [cr.Parameter(1.0)])[0].item() == 0.0
    assert cr.gradient((y * b).sum(), [b])[0].item() == 6.0
    g = cr.compile(lambda x: x + 1)  # reads nothing: its constants have the slope 0 indeed
    assert cr.gradient(g(1.0), [w])[0].numpy().tolist() == [0.0, 0.0]
