"""A function of one sample made into one of many, without a loop: every node gets one more axis in front.

A primitive's `batch` field says which attributes do the same for a whole batch. `vmap` traces the function once, on one
sample's placeholders, and builds its graph anew from batched nodes; so gradients flow through it, it can be
traced, and a gradient can itself be mapped: that is `per_sample_grad`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from chainrule.autodiff import Function, Wrt, grad
from chainrule.errors import OptionError, ShapeError, TraceError, explain
from chainrule.functions import moveaxis
from chainrule.graph import Node, dependents, origin_of, tracing, walk
from chainrule.primitives.axes import expand
from chainrule.primitives.contraction import contract, parse
from chainrule.shaping import call_site, normalized
from chainrule.tensor import Input, Tensor, TensorLike, as_tensor

__all__ = ["per_sample_grad", "vmap"]

InAxes: TypeAlias = "int | Sequence[int | None] | None"


def vmap(f: Function, in_axes: InAxes = 0) -> Function:
    """The function that applies `f`, written for one sample, to every sample of a batch at once.

    Args:
        f: a function of tensors that returns a tensor, or a tuple, list or dict of tensors. It is traced: it cannot
            branch on the values of what is mapped. Parameters and tensors from outside are used as they are.
        in_axes: the axis of the samples in the arguments: one for all, or one for each; None: that argument is the same
            for every sample.

    Returns: a function of the same arguments, whose results have the samples as their first axis.

    Raises OptionError when nothing is mapped or `in_axes` are not as many as the arguments, ShapeError when their
    numbers of samples differ, TraceError for an operation that has no batched form (a random draw that depends on the
    sample).

    >>> vmap(lambda x, y: x @ y)([[1.0, 2.0], [3.0, 4.0]], [[1.0, 0.0], [0.0, 1.0]])
    Tensor([1., 4.])
    """

    def mapped(*args: TensorLike) -> Any:
        fronted, n = _with_samples_in_front(args, in_axes)
        leaves: list[Any] = [x if i is None else Input(x.shape[1:], x.dtype, x.name) for x, i in fronted]
        with tracing():
            result = _each(f(*leaves), as_tensor)
        found = {leaf: x for leaf, (x, i) in zip(leaves, fronted, strict=True) if i is not None}
        outputs: list[Tensor] = []
        _each(result, outputs.append)
        _batch(outputs, found, n)
        return _each(result, lambda y: found[y])

    return mapped


def per_sample_grad(f: Function, wrt: Wrt = None, in_axes: InAxes = 0) -> Function:
    """The function that gives the gradient of `f` for every sample by itself: `vmap` of `grad`.

    Args:
        f: one sample's loss from one sample's arguments.
        wrt: as in `grad`: parameters that `f` uses, positions of arguments, or both; None: every argument.
        in_axes: as in `vmap`.

    Returns: a function of the batches. It gives, for each of `wrt`, gradients of shape (samples, *its shape).

    >>> from chainrule.tensor import Parameter
    >>> w = Parameter([[1.0], [2.0]])
    >>> per_sample_grad(lambda x: (x @ w).sum() ** 2, wrt=w)([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]).reshape(3, 2)
    Tensor([[2., 0.],
            [0., 4.],
            [6., 6.]])
    """
    return vmap(grad(f, wrt), in_axes)


def _with_samples_in_front(args: Sequence[TensorLike], in_axes: InAxes) -> tuple[list[tuple[Tensor, int | None]], int]:
    """Every argument with its samples on axis 0, beside its axis in `in_axes`; and the number of samples."""
    given = tuple(in_axes) if isinstance(in_axes, Sequence) else (in_axes,) * len(args)
    tensors = [as_tensor(x) for x in args]
    called = call_site("vmap", *tensors)
    if len(given) != len(args) or all(axis is None for axis in given):
        rule = "name an axis for at least one" if len(given) == len(args) else f"there are {len(args)} arguments"
        raise OptionError(explain(called, f"in_axes = {in_axes}", rule))
    fronted = []
    for x, axis in zip(tensors, given, strict=True):
        place = None if axis is None else normalized(axis, x.ndim, "vmap", x)
        fronted.append((moveaxis(x, place, 0) if place else x, place))
    counts = [x.shape[0] for x, place in fronted if place is not None]
    if len(set(counts)) != 1:
        sizes = ", ".join(f"argument {i} has {x.shape[0]}" for i, (x, place) in enumerate(fronted) if place is not None)
        raise ShapeError(explain(called, sizes, "the numbers of samples differ"))
    return fronted, counts[0]


def _each(result: Any, f: Callable[[Any], Any]) -> Any:
    """`f` of every tensor in `result`, in the same tuples, lists and dicts; None stays None."""
    if isinstance(result, tuple | list):
        return type(result)(_each(part, f) for part in result)
    if isinstance(result, dict):
        return {key: _each(part, f) for key, part in result.items()}
    return None if result is None else f(result)


def _batch(outputs: Sequence[Tensor], found: dict[Node, Tensor], n: int) -> None:
    """Adds to `found`, which holds the mapped leaves, the batched form of all of `outputs`."""
    order = walk(outputs)
    mapped = dependents(order, tuple(found))
    for node in order:
        if node in mapped and node not in found:
            with origin_of(node):
                found[node] = _batched(node, found, n)
            found[node].name = node.name
    for y in outputs:
        if y not in found:
            found[y] = _repeated(y, n)


def _batched(node: Node, found: dict[Node, Tensor], n: int) -> Any:
    primitive = node.primitive
    assert primitive is not None
    if primitive is contract:
        return _batched_product(node, found)
    if primitive.batch is None:
        raise TraceError(
            explain(
                f"vmap of {node.describe()}",
                f"the operation {primitive.name} depends on the sample",
                "it has no form for a whole batch",
                "Keep it outside of what is mapped, and pass its result as an argument.",
            )
        )
    inputs = [found[x] if x in found else _repeated(x, n) for x in node.inputs]
    return primitive(*inputs, **primitive.batch(n, **node.attrs))


def _batched_product(node: Node, found: dict[Node, Tensor]) -> Any:
    """A contraction in which what is the same for every sample (a weight) is not repeated."""
    a, b, out = parse(node.attrs["spec"])
    new = next(label for label in map(chr, range(ord("A"), 0x10000)) if label not in a + b + out)
    x, y = node.inputs
    a, b = (new if x in found else "") + a, (new if y in found else "") + b
    return contract(found.get(x, x), found.get(y, y), spec=f"{a},{b}->{new}{out}")


def _repeated(x: Node, n: int) -> Any:
    return expand(x, shape=(n, *x.shape), axes=(0,))
