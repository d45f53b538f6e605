"""A trace as text and as HTML."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from chainrule.inspect import svg
from chainrule.inspect.numbers import brief
from chainrule.inspect.picture import picture
from chainrule.tables import html_table, text_table

if TYPE_CHECKING:
    from chainrule.inspect.glass import EdgeRun, NodeRun, Trace

__all__ = ["constant_label", "html", "text"]

MOST_ROWS = 200
NODE_HEADER = ("node", "operation", "shape", "value", "gradient", "line")
EDGE_HEADER = ("edge", "value", "local derivative", "× incoming adjoint", "= contribution")


def constant_label(value: np.ndarray) -> str:
    """What a constant is called: its number, or its shape."""
    return brief(value) if value.size <= 4 else f"constant {value.shape}"


def text(trace: Trace) -> str:
    """Two tables, of nodes and of edges, and the costs of both modes."""
    nodes = text_table(NODE_HEADER, [_node_row(run) for run in trace.nodes[-MOST_ROWS:]])
    edges = text_table(EDGE_HEADER, [_edge_row(edge) for edge in trace.edges[-MOST_ROWS:]])
    return "\n\n".join([_cut(trace) + nodes, edges, _costs(trace)])


def html(trace: Trace) -> str:
    """The picture, the two tables and the costs."""
    name = escape(trace.output.label)
    nodes = html_table(NODE_HEADER, [_node_row(run) for run in trace.nodes[-MOST_ROWS:]])
    edges = html_table(EDGE_HEADER, [_edge_row(edge) for edge in trace.edges[-MOST_ROWS:]])
    drawn = picture(trace)
    image = svg.draw(drawn, f"graph of {trace.output.label}") if len(drawn.boxes) <= MOST_ROWS else ""
    tables = "".join(
        f"<details{is_open}><summary>{title}</summary>{table}</details>"
        for title, table, is_open in (("nodes", nodes, ""), ("edges", edges, " open"))
    )
    costs = escape(_costs(trace)).replace("\n", "<br>")
    return (
        f'<div><b>{name}</b><div style="overflow-x:auto">{image}</div>{escape(_cut(trace))}{tables}<p>{costs}</p></div>'
    )


def _cut(trace: Trace) -> str:
    more = len(trace.nodes) > MOST_ROWS or len(trace.edges) > MOST_ROWS
    return f"{len(trace.nodes)} nodes, {len(trace.edges)} edges; the last {MOST_ROWS}:\n" if more else ""


def _node_row(run: NodeRun) -> tuple[str, ...]:
    return run.label, run.operation, str(run.value.shape), brief(run.value), brief(run.gradient), run.line


def _edge_row(edge: EdgeRun) -> tuple[str, ...]:
    local = brief(edge.local) or ("" if edge.contribution is None else "(not element-wise)")
    name = f"{edge.source.label} → {edge.target.label}"
    return name, brief(edge.value), local, brief(edge.adjoint), brief(edge.contribution)


def _costs(trace: Trace) -> str:
    return (
        f"value: {trace.value_cost} operations\n"
        f"reverse mode: {trace.reverse_cost} more\n"
        f"forward mode: {trace.forward_cost} more (a pass for every number differentiated for)"
    )
