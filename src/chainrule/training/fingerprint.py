"""What decides the graph of a step, as a key: two calls of `fit` with equal keys trace the same graph.

There is a key only where all that is called while tracing is known: modules, losses, optimizers, schedules and clipping
of this package, whose attributes are plain values, parameters, constants, and more of these. Whoever uses code of their
own is traced anew at every call, since nobody can tell what that code depends on.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable, Sequence
from functools import cache, partial
from types import FunctionType
from typing import Any

import numpy as np

from chainrule.graph import is_ours
from chainrule.nn import mode
from chainrule.nn.initializers import Initialized
from chainrule.tensor import Parameter, Tensor

__all__ = ["Fingerprint", "fingerprint"]

_PLAIN = frozenset((int, bool, str, type(None)))
_HOMES = ("chainrule.nn.", "chainrule.optim.")
_CALLED = ("forward", "function", "update", "init", "rate", "__call__")  # the methods that tracing calls


class _UnknownError(Exception):
    """Something whose meaning cannot be told."""


class Fingerprint:
    """A key, and the objects that it names by identity: as long as they live, no others can be taken for them.

    Args:
        parts: what is called while tracing: a model, a loss and the like.
        form: what else decides the graph, as it is.
    """

    def __init__(self, parts: Sequence[Any], form: Hashable):
        self.named: list[Any] = []
        self._places: dict[int, int] = {}
        self.key: Hashable = form, *map(self._read, parts)

    def _read(self, value: Any) -> Hashable:
        kind = type(value)
        if kind in _PLAIN:
            return kind, value
        if kind is float:
            return kind, value.hex()  # 0.0 is not -0.0, and NaN is NaN
        if kind is tuple or kind is list:
            return kind, *map(self._read, value)
        if kind is dict:
            return kind, *map(self._read, value), *map(self._read, value.values())
        if kind is Parameter or kind is Initialized:
            self.named.append(value)
            return id(value), value.trainable, value.name
        if isinstance(value, Tensor):
            return self._leaf(value)
        if kind is FunctionType:
            return _function(value)
        if kind is partial:
            return kind, self._read(value.func), self._read(value.args), self._read(value.keywords)
        if isinstance(value, np.dtype):
            return kind, value
        return self._object(value)

    def _leaf(self, x: Tensor) -> Hashable:
        """A constant: what it holds may have been computed with already."""
        if x.primitive is not None or type(x) is not Tensor or x.value is None or x.value.flags.writeable:
            raise _UnknownError
        self.named += [x, x.value]
        return id(x), id(x.value), x.name

    def _object(self, value: Any) -> Hashable:
        """An object of this package by its attributes; one that was seen before by where that was."""
        kind: Any = type(value)
        if id(value) in self._places:
            return "again", self._places[id(value)]
        self._places[id(value)] = len(self._places)
        if not kind.__module__.startswith(_HOMES):
            raise _UnknownError
        called, attributes = [getattr(kind, name, None) for name in _called(kind)], vars(value)
        return _class(kind, *called), *attributes, *map(self._read, attributes.values())


def fingerprint(parts: Sequence[Any], form: Hashable) -> Fingerprint | None:
    """The key of all `parts` together, and of `form`; None where a part is not known."""
    if mode.current() is not None:  # a model that is called inside `nn.training` is not evaluated
        return None
    try:
        return Fingerprint(parts, form)
    except (_UnknownError, RecursionError):
        return None


@cache
def _called(kind: type) -> tuple[str, ...]:
    """The methods that tracing calls, of those that a class of this package has."""
    has_call = type(kind.__call__) is FunctionType  # else it is that of `type`
    return tuple(name for name in _CALLED if hasattr(kind, name) and (has_call or name != "__call__"))


@cache
def _class(kind: type, *called: Any) -> Hashable:
    """A class of this package, and what tracing calls of it: somebody may have put another function there."""
    if not _is_there(kind) or not all(map(_is_ours, called)):
        raise _UnknownError
    return kind, *called


@cache
def _function(function: FunctionType) -> Hashable:
    """A function of this package as its own key."""
    if not _is_there(function) or not _is_ours(function):
        raise _UnknownError
    return function


def _is_ours(function: Any) -> bool:
    """Whether a function is of this package. The code is asked, too: `functools.wraps` copies names."""
    ours = type(function) is FunctionType and is_ours(function.__code__.co_filename)
    return ours and function.__module__.startswith("chainrule.")


def _is_there(named: Any) -> bool:
    """Whether this function or class is what its module calls by its name."""
    return getattr(sys.modules.get(named.__module__), named.__qualname__, None) is named
