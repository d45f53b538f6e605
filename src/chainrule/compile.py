"""Any function of tensors as machine code: traced once for each signature of its arguments."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from chainrule import compiler
from chainrule.compiler import CompiledProgram, Report
from chainrule.errors import CompileError, MissingExtraError, OptionError, ShapeError, explain
from chainrule.evaluate import Program
from chainrule.graph import READ, Node, dependents, exchanges, is_tracing, tracing, walk
from chainrule.primitive import frozen
from chainrule.tensor import Input, Tensor, TensorLike, as_tensor
from chainrule.verify import Verifier

__all__ = ["CompiledFunction", "FallbackWarning", "compile"]


_MOST = 256  # signatures kept for one function; the one made first goes first


class FallbackWarning(UserWarning):
    """A function that was to be compiled runs on the reference engine."""


def compile(f: Callable[..., Any], *, fallback: bool = False, verify: bool = False) -> CompiledFunction:
    """`f` in machine code.

    It is called once on placeholders for every signature (shapes and dtypes of the arguments, and the keyword
    arguments), and what it does to tensors is compiled; Python that depends on their values is refused while tracing.

    Args:
        f: a function of tensors that returns a tensor, or a tuple, list or dict of tensors; a module; a gradient, as
            in `compile(grad(f))`.
        fallback: where the graph cannot be compiled (or llvmlite is missing), warn and run it on the reference engine.
        verify: compare both engines operation by operation at every call, and name the first that differs. Slow.

    Returns: a function of the same arguments. Positional ones are arrays, tensors and numbers (a Python number becomes
        a float64, int64 or bool without axes); keyword arguments are parts of the program, hashable, and compiled in.
        Parameters used inside have the value they hold at the call. The results are constants. On placeholders and
        tracked tensors, and inside of what is differentiated, mapped, compiled or trained, it is `f` itself: gradients
        flow through it there. Asking for a gradient of its constants with respect to a parameter it read is refused.

    Raises CompileError (when called) that names the node which has no machine code, MissingExtraError without llvmlite.

    Any number of threads may call it at once.

    >>> slope = compile(lambda x: x * x + 1)
    >>> slope(3.0), slope([1.0, 2.0])
    (Tensor(10.0), Tensor([2., 5.]))
    >>> print(slope.loops())
    for i < 2: add[i] = x[i] * x[i] + 1
    """
    return CompiledFunction(f, fallback, verify)


class CompiledFunction:
    """What `compile` returns: a function, and a view of what became of it.

    >>> double = compile(lambda x: 2 * x)
    >>> double([1.0, 2.0, 3.0]), double.report().kernels, double.report().flops
    (Tensor([2., 4., 6.]), 1, 3)
    """

    def __init__(self, f: Callable[..., Any], fallback: bool = False, verify: bool = False):
        functools.update_wrapper(self, f, updated=())
        self._f, self._fallback, self._verify = f, fallback, verify
        self._versions: dict[Any, _Version] = {}
        self._exchanges = exchanges()
        self._last: _Version | None = None

    def __call__(self, *args: TensorLike, **static: Any) -> Any:
        """f(*args, **static)."""
        if is_tracing():
            return self._f(*args, **static)
        arrays = []
        for arg in args:
            if isinstance(arg, Tensor):
                if arg.tracked:
                    return self._f(*args, **static)
                arrays.append(arg.numpy())
            else:
                arrays.append(arg if type(arg) is np.ndarray else np.asarray(arg))
        return self._version(arrays, static).call(arrays)

    def loops(self, *args: TensorLike, **static: Any) -> str:
        """The fused loops as pseudo-code in the names of the user's code, for these arguments or the last call's."""
        return self._compiled(args, static).loops()

    def llvm(self, *args: TensorLike, **static: Any) -> str:
        """The LLVM IR, for these arguments or the last call's."""
        return self._compiled(args, static).llvm()

    def report(self, *args: TensorLike, **static: Any) -> Report:
        """Kernels, operations, bytes and compile time, for these arguments or the last call's."""
        return self._compiled(args, static).report()

    def _compiled(self, args: Sequence[TensorLike], static: dict[str, Any]) -> compiler.Compiled:
        version = self._last
        if args or static:
            version = self._version([np.asarray(arg) for arg in args], static)
        if version is None:
            name = getattr(self, "__name__", "f")
            raise OptionError(explain(f"compile({name})", "no arguments", "it was not called yet", "Give arguments."))
        if not isinstance(version.program, CompiledProgram):
            raise OptionError(explain("compile", "the reference engine runs it", "there is no machine code to show"))
        return version.program.code

    def _version(self, arrays: Sequence[np.ndarray], static: dict[str, Any]) -> _Version:
        if self._exchanges != exchanges():  # a module may have other parameters since it was traced
            self._versions, self._exchanges = {}, exchanges()
        key: Any = tuple([(array.shape, array.dtype) for array in arrays])
        if static:
            told = ((name, type(value), value, repr(value)) for name, value in sorted(static.items()))
            key = key, tuple(told)  # (1,) is not (True,), nor 0.0 -0.0
        try:
            version = self._versions.get(key)
        except TypeError:
            got = ", ".join(f"{name}={value!r}" for name, value in static.items())
            repair = "Pass arrays by position."
            raise OptionError(explain("a compiled function", got, "keyword arguments are hashable", repair)) from None
        if version is None:
            version = self._versions.setdefault(key, self._made(arrays, static))
            while len(self._versions) > _MOST:
                self._versions.pop(next(iter(self._versions)), None)
        self._last = version
        return version

    def _made(self, arrays: Sequence[np.ndarray], static: dict[str, Any]) -> _Version:
        names = _names(self._f, len(arrays))
        inputs = [Input(a.shape, a.dtype, name=name) for a, name in zip(arrays, names, strict=True)]
        with tracing():
            result = self._f(*inputs, **static)
        outputs = list(_leaves(result))
        program: CompiledProgram | Program
        try:
            program = CompiledProgram(inputs, outputs)
        except (CompileError, MissingExtraError) as error:
            if not self._fallback:
                raise
            warnings.warn(f"{error} It runs on the reference engine.", FallbackWarning, stacklevel=4)
            program = Program(inputs, outputs)
        return _Version(inputs, outputs, result, program, Verifier(inputs, outputs) if self._verify else None)


class _Version:
    """A function compiled for one signature."""

    def __init__(
        self, inputs: Sequence[Node], outputs: Sequence[Node], result: Any, program: CompiledProgram | Program,
        verifier: Verifier | None,
    ):  # fmt: skip
        self.program = program
        self._ends = inputs, outputs
        order = walk(outputs)
        inside = dependents(order, inputs)
        read = tuple(node for node in order if node.tracked and node not in inside)
        self._attrs = {READ: read} if read else {}
        self._verifier = verifier
        self._single = isinstance(result, Tensor)
        self._structure = _emptied(result)

    def call(self, arrays: Sequence[np.ndarray]) -> Any:
        """The results, in the structure that the function gives them."""
        if self._verifier is not None:
            self._verifier.check(arrays)
        try:
            found = self.program(*arrays)
        except ShapeError:
            Program(*self._ends)(*arrays)  # says which index of which operation is out of range
            raise
        if self._single:
            return self._constant(found[0])
        return _filled(self._structure, map(self._constant, found))

    def _constant(self, array: np.ndarray) -> Tensor:
        return Tensor(None, (), self._attrs, array.shape, array.dtype, frozen(array), tracked=False)


def _names(f: Callable[..., Any], count: int) -> list[str]:
    """The names of f's positional arguments, as far as it says them."""
    target = f if hasattr(f, "__code__") else getattr(f, "forward", None)
    code = getattr(target, "__code__", None)
    known = list(code.co_varnames[: code.co_argcount]) if code is not None else []
    known = known[1:] if known[:1] == ["self"] else known
    return [known[i] if i < len(known) else f"x{i}" for i in range(count)]


def _leaves(result: Any) -> Iterator[Tensor]:
    if isinstance(result, tuple | list):
        for part in result:
            yield from _leaves(part)
    elif isinstance(result, dict):
        yield from _leaves(list(result.values()))
    elif result is not None:
        yield as_tensor(result)


def _emptied(result: Any) -> Any:
    """The structure of a result: ... where a tensor is to be."""
    if isinstance(result, tuple | list):
        return type(result)(map(_emptied, result)) if type(result) in (tuple, list) else tuple(map(_emptied, result))
    if isinstance(result, dict):
        return {name: _emptied(part) for name, part in result.items()}
    return None if result is None else ...


def _filled(structure: Any, values: Iterator[Tensor]) -> Any:
    if isinstance(structure, tuple | list):
        return type(structure)([_filled(part, values) for part in structure])
    if isinstance(structure, dict):
        return {name: _filled(part, values) for name, part in structure.items()}
    return None if structure is None else next(values)
