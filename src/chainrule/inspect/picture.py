"""What the picture of a graph shows: boxes and labelled links, with a large graph collapsed by its modules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chainrule.inspect.numbers import brief

if TYPE_CHECKING:
    from chainrule.inspect.glass import EdgeRun, NodeRun, Trace

__all__ = ["Box", "Link", "Picture", "picture"]

LIMIT = 24  # more boxes than this are no longer read as a picture


@dataclass(frozen=True)
class Box:
    """A box: its title, the lines under it, and its kind: "leaf", "constant", "operation", "module" or "output"."""

    title: str
    lines: tuple[str, ...]
    kind: str


@dataclass(frozen=True)
class Link:
    """An arrow from box number `source` to box number `target`, with the text on it."""

    source: int
    target: int
    text: str


@dataclass(frozen=True)
class Picture:
    """Boxes, inputs before users, and the links between them."""

    boxes: tuple[Box, ...]
    links: tuple[Link, ...]


def picture(trace: Trace, limit: int = LIMIT) -> Picture:
    """The picture of `trace`; with more than `limit` boxes the nodes of a module are shown as one.

    Nodes are grouped by their module path, as deep as the limit allows. A group is a run of neighbors in the order of
    computation, so groups never form a cycle. A graph without modules stays as it is.
    """
    if len(trace.nodes) <= limit:
        return _whole(trace)
    steps = [run for run in trace.nodes if not run.node.is_leaf]
    deepest = max((len(run.node.path) for run in steps), default=0)
    groups: list[list[NodeRun]] = []
    for depth in range(deepest, 0, -1):
        groups = _groups(steps, depth)
        if len(groups) <= limit:
            break
    return _collapsed(trace, groups, max(1, depth)) if groups else _whole(trace)


def _whole(trace: Trace) -> Picture:
    number = {run: i for i, run in enumerate(trace.nodes)}
    boxes = tuple(_box(run, run is trace.output) for run in trace.nodes)
    links = tuple(Link(number[e.source], number[e.target], _on_edge(e)) for e in trace.edges)
    return Picture(boxes, links)


def _box(run: NodeRun, is_output: bool) -> Box:
    kind = "output" if is_output else "operation" if run.node.primitive else "leaf" if run.node.tracked else "constant"
    lines = [] if kind == "constant" else [_value_line(run)]
    if run.gradient is not None:
        lines.append(f"gradient {brief(run.gradient)}")
    named = kind in ("operation", "output") and run.node.name is not None
    return Box(f"{run.label} = {run.operation}" if named else run.label, tuple(lines), kind)


def _value_line(run: NodeRun) -> str:
    shape = f"{run.value.shape} " if run.value.size > 4 else ""
    return f"{shape}{brief(run.value)}"


def _on_edge(edge: EdgeRun) -> str:
    """`local x adjoint = contribution`, as far as the numbers are short enough to read."""
    if edge.contribution is None:
        return ""
    if edge.local is not None and edge.adjoint is not None and edge.local.size <= 1:
        return f"{brief(edge.local)} × {brief(edge.adjoint)} = {brief(edge.contribution)}"
    return brief(edge.contribution)


def _groups(steps: Sequence[NodeRun], depth: int) -> list[list[NodeRun]]:
    """Runs of neighbors in one module; a node outside every module is a group by itself."""
    groups: list[list[NodeRun]] = []
    for run in steps:
        path = run.node.path[:depth]
        if groups and path and groups[-1][0].node.path[:depth] == path:
            groups[-1].append(run)
        else:
            groups.append([run])
    return groups


def _collapsed(trace: Trace, groups: Sequence[Sequence[NodeRun]], depth: int) -> Picture:
    home = {run: i for i, group in enumerate(groups) for run in group}
    data = list(dict.fromkeys(e.source for e in trace.edges if _is_data(e.source) and e.target in home))
    number = {run: i for i, run in enumerate(data)} | {run: len(data) + i for run, i in home.items()}
    boxes = [_box(run, False) for run in data] + [_group_box(group, depth, trace.output) for group in groups]
    texts: dict[tuple[int, int], str] = {}
    for e in trace.edges:
        if e.source in number and number[e.source] != number[e.target]:
            flow = f", gradient {brief(e.contribution)}" if e.contribution is not None else ""
            texts.setdefault((number[e.source], number[e.target]), f"{e.value.shape}{flow}")
    return Picture(tuple(boxes), tuple(Link(a, b, text) for (a, b), text in texts.items()))


def _is_data(run: NodeRun) -> bool:
    """Leaves that keep a box of their own when modules are collapsed: data, not the modules' parameters."""
    return run.node.is_leaf and run.node.tracked and run.operation != "parameter"


def _group_box(group: Sequence[NodeRun], depth: int, output: NodeRun) -> Box:
    last = group[-1]
    kind = "output" if output in group else "module" if last.node.path else "operation"
    if len(group) == 1 and not last.node.path:
        return _box(last, last is output)
    title = ".".join(last.node.path[:depth])
    return Box(title, (f"{len(group)} operation{'s' * (len(group) > 1)}", f"gives {last.value.shape}"), kind)
