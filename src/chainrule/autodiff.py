"""Differentiation, from graph to graph: a gradient is again a graph of the same operations, so every order exists.

The rules are the primitives' own; this file only walks. `gradient` and `tangent` work on tensors that exist; `grad`,
`value_and_grad`, `vjp`, `jvp`, `jacobian`, `hessian` and `hvp` on functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from chainrule.dtypes import is_float
from chainrule.errors import GradientError, OptionError, explain
from chainrule.functions import ones_like, stack, zeros_like
from chainrule.graph import READ, Node, dependents, tracing, user_line, walk
from chainrule.primitive import pull, push
from chainrule.primitives.elementwise import alias
from chainrule.tensor import Parameter, Tensor, TensorLike, as_tensor, cast_to, variable

__all__ = ["grad", "gradient", "hessian", "hvp", "jacobian", "jvp", "tangent", "value_and_grad", "vjp"]

Wrt: TypeAlias = "int | Parameter | Sequence[int | Parameter] | None"
Function: TypeAlias = Callable[..., Any]


def gradient(output: Tensor, wrt: Sequence[Tensor], seed: TensorLike | None = None) -> list[Tensor]:
    """The gradient of `output` with respect to each of `wrt`: reverse mode, one pass.

    Contributions of branches are added in the order in which the branches were made, last first. What `output` does not
    depend on gets exact zeros.

    Args:
        output: a number (shape ()), unless `seed` is given.
        wrt: any tensors it was computed from: parameters, inputs, results in between.
        seed: the gradient of `output` itself, of its shape; None: 1.

    Returns: one tensor for each of `wrt`, of its shape and dtype.

    Raises GradientError when `output` is not a float, or not a number and there is no `seed`, or when a compiled
    function that was called on constants read one of `wrt`: nothing flows back through its machine code.

    >>> x = variable(3.0)
    >>> gradient(x * x, [x])
    [Tensor(6.0)]
    """
    flows: dict[Node, Any] = {output: _seed(output, seed)}
    order = walk([output])
    active = dependents(order, wrt)
    wanted = set(wrt)
    _check_constants(order, wanted)
    found: dict[Node, Any] = {}
    for node in reversed(order):
        g = flows.pop(node, None)
        if g is None or node not in active:
            continue
        if node in wanted:
            found[node] = g
        places = [i for i, x in enumerate(node.inputs) if x in active and is_float(x.dtype)]
        for i, part in zip(places, pull(node, g, places) if places else [], strict=True):
            if part is not None:
                x = node.inputs[i]
                flows[x] = flows[x] + part if x in flows else part
    return [found[x] if x in found else zeros_like(x) for x in wrt]


def _check_constants(order: Sequence[Node], wanted: set[Any]) -> None:
    """Refuse constants that machine code computed from what is asked for: their slope would be 0 without a word."""
    for node in order:
        for read in node.attrs.get(READ, ()) if node.is_leaf and node.attrs else ():
            if read in wanted:
                got = f"a constant of shape {node.shape} came from a compiled function, which read it"
                rule = "nothing flows back through the machine code of a compiled function"
                repair = (
                    "Differentiate the function instead of its result: chainrule.grad(f, wrt) or"
                    " chainrule.value_and_grad(f, wrt), compiled again for speed; or call it without compile."
                )
                raise GradientError(explain(f"the derivative for {read.describe()}", got, rule, repair))


def _seed(output: Tensor, seed: TensorLike | None) -> Tensor:
    if not is_float(output.dtype):
        raise GradientError(
            explain(
                f"the gradient of {output.describe()}",
                f"its dtype is {output.dtype}",
                "only floats have a derivative",
            )
        )
    if seed is None:
        if output.shape != ():
            raise GradientError(
                explain(
                    f"the gradient of {output.describe()}",
                    f"its shape is {output.shape}",
                    "a gradient is that of one number",
                    "Take its sum or mean, or use vjp or jacobian.",
                )
            )
        return ones_like(output)
    given = cast_to(as_tensor(seed), output.dtype)
    if given.shape != output.shape:
        raise GradientError(
            explain(
                f"the gradient of {output.describe()}",
                f"the seed is {given.shape}",
                "it must have the output's shape",
            )
        )
    return given


def tangent(outputs: Sequence[Tensor], flows: Mapping[Tensor, TensorLike]) -> list[Tensor]:
    """The derivative of `outputs` along the directions in `flows` (leaf -> direction): forward mode, one pass.

    >>> x = variable(3.0)
    >>> tangent([x * x], {x: 1.0})
    [Tensor(6.0)]
    """
    found: dict[Node, Any] = {}
    for leaf, direction in flows.items():
        found[leaf] = cast_to(as_tensor(direction), leaf.dtype)
        if found[leaf].shape != leaf.shape:
            raise GradientError(
                explain(
                    f"a tangent of {leaf.describe()}",
                    f"the direction is {found[leaf].shape}",
                    "the shapes differ",
                )
            )
    order = walk(outputs)
    _check_constants(order, set(flows))
    for node in order:
        if node not in found and any(x in found for x in node.inputs) and is_float(node.dtype):
            t = push(node, [found.get(x) for x in node.inputs])
            if t is not None:
                found[node] = t
    return [found[y] if y in found else zeros_like(y) for y in outputs]


def grad(f: Function, wrt: Wrt = None) -> Function:
    """The function that gives the gradient of `f`, which must return one number.

    Args:
        f: a function of tensors.
        wrt: with respect to what: positions of arguments, parameters that `f` uses, or a list of both, all in one pass.
            None: every argument.

    Returns: a function of the same arguments. It gives one tensor if `wrt` is one thing (or `f` has one argument),
        else a tuple.

    Raises GradientError when `f` returns anything but a tensor of one float, OptionError for a position there is not.

    >>> grad(lambda x, y, z: (x + y) * z)(-2.0, 5.0, -4.0)
    (Tensor(-4.0), Tensor(-4.0), Tensor(3.0))
    """
    both = value_and_grad(f, wrt)

    def gradients(*args: TensorLike, **kwargs: Any) -> Any:
        return both(*args, **kwargs)[1]

    return gradients


def value_and_grad(f: Function, wrt: Wrt = None) -> Function:
    """The function that gives (f's value, its gradient); see `grad`.

    >>> value_and_grad(lambda x: x * x)(3.0)
    (Tensor(9.0), Tensor(6.0))
    """

    def both(*args: TensorLike, **kwargs: Any) -> tuple[Tensor, Any]:
        leaves, single, lifted = _leaves(args, wrt)
        y = _returned(f, _graph_of(f, lifted, kwargs))
        found = gradient(y, leaves)
        return y, found[0] if single else tuple(found)

    return both


def _leaves(args: Sequence[TensorLike], wrt: Wrt) -> tuple[list[Tensor], bool, list[Any]]:
    """What to differentiate for, whether it is one thing, and the arguments with those as leaves of their own."""
    single = isinstance(wrt, int | Parameter) or (wrt is None and len(args) == 1)
    named: list[Any] = list(range(len(args))) if wrt is None else [wrt] if single else list(wrt)  # type: ignore[arg-type]
    lifted: list[Any] = list(args)
    for i in (item for item in named if not isinstance(item, Parameter)):
        if not -len(args) <= i < len(args):
            count = "there is 1 argument" if len(args) == 1 else f"there are {len(args)} arguments"
            raise OptionError(explain("grad", f"wrt={i}", f"{count}, and positions count from 0"))
        lifted[i] = _lift(args[i], i)
    return [item if isinstance(item, Parameter) else lifted[item] for item in named], single, lifted


def _graph_of(f: Function, args: Sequence[Any], options: Mapping[str, Any] = {}) -> Any:
    """What `f` returns where its graph is asked for: compiled functions in it are then the functions themselves."""
    with tracing():
        return f(*args, **options)


def _outputs(f: Function, y: Any) -> Any:
    """What `f` returned, a tensor or a tuple of tensors."""
    return tuple(_returned(f, part) for part in y) if isinstance(y, tuple) else _returned(f, y)


def _returned(f: Function, y: Any) -> Tensor:
    """What `f` returned, or the GradientError for what is no tensor: it would have the gradient 0, or none."""
    if isinstance(y, Tensor):
        return y
    place = user_line()
    called = f"the gradient of {getattr(f, '__name__', type(f).__name__)}" + (f" at {place}" if place else "")
    if y is None:
        raise GradientError(explain(called, "it returned None", "a gradient is that of a tensor", "Add its `return`."))
    if isinstance(y, list | tuple | dict):
        got, repair = f"it returned a {type(y).__name__} of {len(y)}", "Return one, or join them with stack; see vjp."
        raise GradientError(explain(called, got, "a gradient is that of one tensor", repair))
    raise GradientError(
        explain(
            called,
            f"it returned a plain {type(y).__name__}",
            "this does not depend on the arguments as a graph: float(), .item(), .numpy() and the math module leave it",
            "Compute with chainrule's functions, and return a tensor.",
        )
    )


def _lift(value: TensorLike, i: int) -> Tensor:
    """`value` as a leaf of its own, so that an outer derivative of the same tensor does not mix with this one."""
    if isinstance(value, Tensor) and value.tracked:
        x: Tensor = alias(value)
        x.name = value.name
    else:
        x = variable(value.numpy() if isinstance(value, Tensor) else value)
    if not is_float(x.dtype):
        raise GradientError(
            explain(
                "grad",
                f"argument {i} is of {x.dtype}",
                "only floats have a derivative",
                "Pass it as a float.",
            )
        )
    return x


def vjp(f: Function, *args: TensorLike) -> tuple[Any, Function]:
    """f's value at `args`, and the function from a gradient of the value to the gradients of `args` (reverse mode).

    The value may be a tensor or a tuple of tensors; the function takes as many.

    >>> y, back = vjp(lambda x: x * x, [1.0, 2.0])
    >>> back([1.0, 1.0])
    (Tensor([2., 4.]),)
    """
    lifted = [_lift(x, i) for i, x in enumerate(args)]
    y = _outputs(f, _graph_of(f, lifted))

    def back(*seeds: TensorLike) -> tuple[Tensor, ...]:
        outputs = y if isinstance(y, tuple) else (y,)
        found = [gradient(out, lifted, seed) for out, seed in zip(outputs, seeds, strict=True)]
        total = found[0]
        for part in found[1:]:
            total = [a + b for a, b in zip(total, part, strict=True)]
        return tuple(total)

    return y, back


def jvp(f: Function, args: Sequence[TensorLike], directions: Sequence[TensorLike]) -> tuple[Any, Any]:
    """f's value at `args`, and its derivative along `directions` (forward mode).

    >>> jvp(lambda x: x * x, [3.0], [1.0])
    (Tensor(9.0), Tensor(6.0))
    """
    lifted = [_lift(x, i) for i, x in enumerate(args)]
    y = _outputs(f, _graph_of(f, lifted))
    outputs = y if isinstance(y, tuple) else (y,)
    found = tangent(outputs, dict(zip(lifted, directions, strict=True)))
    return y, tuple(found) if isinstance(y, tuple) else found[0]


def jacobian(f: Function, wrt: Wrt = None) -> Function:
    """The function that gives every derivative of `f`'s output: shape (*output shape, *argument shape); see `grad`.

    One reverse pass an output element, or one forward pass an input element, whichever are fewer.

    >>> jacobian(lambda x: x * x)([1.0, 2.0])
    Tensor([[2., 0.],
            [0., 4.]])
    """

    def all_derivatives(*args: TensorLike, **kwargs: Any) -> Any:
        leaves, single, lifted = _leaves(args, wrt)
        y = _returned(f, _graph_of(f, lifted, kwargs))
        found = _by_rows(y, leaves) if y.size <= sum(x.size for x in leaves) else [_by_columns(y, x) for x in leaves]
        return found[0] if single else tuple(found)

    return all_derivatives


def _by_rows(y: Tensor, leaves: Sequence[Tensor]) -> list[Tensor]:
    rows = [gradient(y, leaves, seed) for seed in _basis(y)]
    if not rows:
        return [as_tensor(np.zeros((*y.shape, *x.shape), x.dtype)) for x in leaves]
    return [stack([row[i] for row in rows]).reshape((*y.shape, *x.shape)) for i, x in enumerate(leaves)]


def _by_columns(y: Tensor, x: Tensor) -> Tensor:
    columns = [tangent([y], {x: direction})[0] for direction in _basis(x)]
    if not columns:
        return as_tensor(np.zeros((*y.shape, *x.shape), y.dtype))
    return cast_to(stack(columns, axis=-1).reshape((*y.shape, *x.shape)), x.dtype)


def _basis(x: Tensor) -> list[np.ndarray]:
    return [np.eye(1, x.size, i, dtype=x.dtype).reshape(x.shape) for i in range(x.size)]


def hessian(f: Function, wrt: Wrt = None) -> Function:
    """The function that gives the second derivatives of `f` (one number): shape (*argument shape, *argument shape).

    With several of `wrt`, only the blocks on the diagonal are given, one for each.

    >>> hessian(lambda x: (x**3).sum())([1.0, 2.0])
    Tensor([[ 6.,  0.],
            [ 0., 12.]])
    """

    def second_derivatives(*args: TensorLike, **kwargs: Any) -> Any:
        leaves, single, lifted = _leaves(args, wrt)
        slopes = gradient(_returned(f, _graph_of(f, lifted, kwargs)), leaves)
        found = [_by_rows(slope, [x])[0] for slope, x in zip(slopes, leaves, strict=True)]
        return found[0] if single else tuple(found)

    return second_derivatives


def hvp(f: Function, args: Sequence[TensorLike], directions: Sequence[TensorLike]) -> Any:
    """The Hessian of `f` at `args` times `directions`, at the cost of a few gradients (forward over reverse).

    >>> hvp(lambda x: (x**3).sum(), [[1.0, 2.0]], [[1.0, 1.0]])
    Tensor([ 6., 12.])
    """
    return jvp(grad(f), args, directions)[1]
