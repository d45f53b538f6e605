"""Nodes of the graph, where they come from, and walks over them. Knows no operation.

A node is made once and not changed. Its `index` grows with every node made, so inputs always have smaller
indices than what is computed from them: sorting by index is a topological order, and no walk needs recursion.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from chainrule.dtypes import DType

if TYPE_CHECKING:
    from chainrule.primitive import Primitive

__all__ = [
    "READ", "Node", "Source", "dependents", "exchange", "exchanges", "is_ours", "is_tracing", "module_scope",
    "origin_of", "tracing", "walk", "without_lines",
]  # fmt: skip

Shape = tuple[int, ...]

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_counter = itertools.count()
_exchanges = 0
_module_path: ContextVar[tuple[str, ...]] = ContextVar("module_path", default=())
_origin: ContextVar[Source | None] = ContextVar("origin", default=None)
_tracing: ContextVar[bool] = ContextVar("tracing", default=False)

READ = "read"  # the attribute of a constant that machine code computed: the tracked nodes that it read


@dataclass(frozen=True, slots=True)
class Source:
    """A line of the user's code."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{os.path.basename(self.file)}:{self.line}"

    def __bool__(self) -> bool:
        return bool(self.file)


_source = lru_cache(maxsize=4096)(Source)  # many nodes come from one line


@cache
def is_ours(file: str) -> bool:
    """Whether a file is of this package."""
    return file.startswith(_PACKAGE)


def user_line() -> Source | None:
    """The innermost line outside this package that led here (or the line a derivative is taken for)."""
    origin = _origin.get()
    if origin is not None:
        return origin
    frame = sys._getframe(1)
    while frame is not None and is_ours(frame.f_code.co_filename):
        frame = frame.f_back  # type: ignore[assignment]
    return None if frame is None else _source(frame.f_code.co_filename, frame.f_lineno)


@contextmanager
def module_scope(name: str) -> Iterator[None]:
    """Nodes made inside belong to the module called `name` (nested scopes make a path)."""
    token = _module_path.set((*_module_path.get(), name))
    try:
        yield
    finally:
        _module_path.reset(token)


@contextmanager
def origin_of(node: Node) -> Iterator[None]:
    """Nodes made inside are said to come from the user's line and the module of `node`."""
    tokens = _origin.set(node.source), _module_path.set(node.path)
    try:
        yield
    finally:
        _origin.reset(tokens[0])
        _module_path.reset(tokens[1])


@contextmanager
def without_lines() -> Iterator[None]:
    """Nodes made inside come from no line of the user's: nobody wrote any, as on the command line."""
    token = _origin.set(Source("", 0))
    try:
        yield
    finally:
        _origin.reset(token)


def exchanges() -> int:
    """How often models have got other parameters or layers for those they had: what was traced before reads the old."""
    return _exchanges


def exchange() -> None:
    """A model has got others."""
    global _exchanges
    _exchanges += 1


@contextmanager
def tracing() -> Iterator[None]:
    """Functions called inside are called for their graph, not for their value alone."""
    token = _tracing.set(True)
    try:
        yield
    finally:
        _tracing.reset(token)


def is_tracing() -> bool:
    """Whether a graph is being built here that someone differentiates, compiles or trains."""
    return _tracing.get()


class Node:
    """One value of the graph: an operation on other nodes, or a leaf (then `primitive` is None).

    `value` is None while a placeholder is among what it is computed from. A node that is not `tracked` is a
    constant: it has no history, and nothing flows back to it.
    """

    __slots__ = (
        "__weakref__", "attrs", "dtype", "index", "inputs", "name", "path", "primitive", "shape", "source", "tracked",
        "value",
    )  # fmt: skip
    family: ClassVar[type[Node]]  # what operations on this node make: leaves of every kind lead to plain tensors

    def __init__(
        self,
        primitive: Primitive | None,
        inputs: Sequence[Node],
        attrs: Mapping[str, Any],
        shape: Shape,
        dtype: DType,
        value: np.ndarray | None,
        *,
        tracked: bool,
        name: str | None = None,
    ):
        self.primitive = primitive
        self.inputs = tuple(inputs)
        self.attrs = attrs
        self.shape = shape
        self.dtype = dtype
        self.value = value
        self.tracked = tracked
        self.name = name
        self.path = _module_path.get()
        self.source = user_line() if tracked else None
        self.index = next(_counter)

    @property
    def is_leaf(self) -> bool:
        """Whether it is a parameter, an input or a constant, rather than the result of an operation."""
        return self.primitive is None

    @property
    def label(self) -> str:
        """What to call it in a message: its name, else its operation, else what kind of leaf it is."""
        if self.name:
            return self.name
        return self.primitive.name if self.primitive else type(self).__name__.lower()

    def describe(self) -> str:
        """Label, shape and the user's line, for error messages."""
        place = f" at {self.source}" if self.source else ""
        return f"'{self.label}' {self.shape}{place}"


def walk(outputs: Iterable[Node]) -> list[Node]:
    """All nodes that `outputs` are computed from, and themselves, inputs before users."""
    seen: set[Node] = set()
    stack = list(outputs)
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            stack.extend(node.inputs)
    return sorted(seen, key=attrgetter("index"))


def dependents(order: Sequence[Node], leaves: Iterable[Node]) -> set[Node]:
    """Those of `order` (inputs before users) that depend on `leaves`, the leaves included."""
    found = set(leaves)
    for node in order:
        if any(source in found for source in node.inputs):
            found.add(node)
    return found
