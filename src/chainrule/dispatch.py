"""NumPy's own functions called on tensors: `np.exp(x)` is ours of the same name, or an error that says what to do.

NumPy asks an operand that is no array to answer for it: NEP 13 (`__array_ufunc__`) and NEP 18 (`__array_function__`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, NoReturn

import numpy as np

from chainrule.errors import TraceError, explain
from chainrule.graph import Node
from chainrule.shaping import call_site

__all__ = ["NAMES", "OURS", "call_function", "call_ufunc"]

# NumPy's function -> ours, and the names of all of ours; filled where ours are defined.
OURS: dict[Any, Callable[..., Any]] = {}
NAMES: list[str] = []

# Answers that have no derivative to lose: these look at the values.
LOOKING = frozenset({
    np.isnan, np.isinf, np.signbit, np.round, np.rint, np.ceil, np.trunc,
    np.all, np.any, np.allclose, np.isclose, np.array_equal, np.array_equiv,
    np.argsort, np.searchsorted, np.digitize, np.unique, np.isin, np.bincount, np.histogram, np.histogram2d,
    np.count_nonzero, np.nonzero, np.flatnonzero, np.argwhere, np.array_repr, np.array_str, np.array2string, np.save,
    np.savez, np.savez_compressed, np.savetxt, np.result_type, np.can_cast, np.iscomplexobj, np.isrealobj,
    np.shares_memory, np.may_share_memory,
})  # fmt: skip
# Their third argument, by position, is another one than ours.
REDUCTIONS = frozenset({
    np.sum, np.mean, np.max, np.min, np.prod, np.var, np.std, np.argmax, np.argmin, np.cumsum,
})  # fmt: skip


def call_ufunc(ufunc: Any, method: str, inputs: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
    """A universal function of operands of which one is a tensor. Raises TraceError for one that is not ours."""
    out = options.get("out", ())
    if len(inputs) == 2 and len(options) == 1 and len(out) == 1 and out[0] is inputs[0]:
        options = {}  # `array += tensor`: Python binds the name to what comes back
    if method != "__call__":
        _refuse(f"{ufunc.__name__}.{method}", inputs, "its methods take arrays only")
    return _call(ufunc, inputs, options)


def call_function(function: Any, args: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
    """Another function of NumPy's. Raises TraceError for one that is not ours and would lose the derivative."""
    if function in REDUCTIONS and len(args) > 2:
        _refuse(function.__name__, args, "behind the axis its arguments are given by name")
    return _call(function, args, options)


def _call(function: Any, args: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
    name, ours = function.__name__, OURS.get(function)
    if ours is None:
        if function in LOOKING or not any(x.tracked for x in _tensors((args, options))):
            return function(*_arrays(args), **_arrays(dict(options)))
        _refuse(name, (args, options), "NumPy's function knows no derivative")
    try:
        inspect.signature(ours).bind(*args, **options)
    except TypeError as error:
        form = f"chainrule.{ours.__name__}({', '.join(inspect.signature(ours).parameters)})"
        _refuse(name, (args, options), f"{form} takes its place: {error}")
    return ours(*args, **options)


def _refuse(name: str, given: Any, rule: str) -> NoReturn:
    near = get_close_matches(name.partition(".")[0], NAMES, n=1, cutoff=0.8)
    cure = f"Use chainrule.{near[0]}" if near else "Compose it of chainrule's functions (exp, log, where, sum, ...)"
    tensors = _tensors(given)
    raise TraceError(
        explain(
            call_site(f"NumPy's {name}", *tensors),
            "a tensor of chainrule",
            rule,
            f"{cure}, or take .numpy() for an array, through which no gradient flows.",
        )
    )


def _tensors(value: Any) -> list[Any]:
    """The tensors in arguments, and in the lists, tuples and dicts there."""
    if isinstance(value, Node):
        return [value]
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return [x for part in parts for x in _tensors(part)]


def _arrays(value: Any) -> Any:
    """Arguments with the tensors' values in their place."""
    if isinstance(value, Node):
        return value.numpy()  # type: ignore[attr-defined]
    if type(value) in (list, tuple):
        return type(value)(_arrays(part) for part in value)
    return {key: _arrays(part) for key, part in value.items()} if type(value) is dict else value
