"""Where the boxes of a picture stand: columns by distance from the leaves, rows by what they are joined to.

The method of Sugiyama, Tagawa and Toda (1981) in its simplest form: longest-path layers, an empty place in every layer
that a long edge crosses, and a few sweeps in which each place moves to the mean of its neighbors.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Layout", "layout"]

Point = tuple[float, float]
SWEEPS = 4


@dataclass(frozen=True)
class Layout:
    """Positions in units of (column, row).

    Attributes:
        places: (column, row) of every box.
        routes: for every link the points it goes through, its ends included.
        columns, rows: the size of the whole.
    """

    places: dict[Hashable, Point]
    routes: list[list[Point]]
    columns: int
    rows: int


def layout(boxes: Sequence[Hashable], links: Sequence[tuple[Hashable, Hashable]]) -> Layout:
    """Places for `boxes` (inputs before users) that are joined by `links` (source, target).

    >>> layout(["x", "y", "f"], [("x", "f"), ("y", "f")]).places
    {'x': (0, 0.0), 'y': (0, 1.0), 'f': (1, 0.5)}
    """
    column = _columns(boxes, links)
    chains = [[a, *((number, c) for c in range(column[a] + 1, column[b])), b] for number, (a, b) in enumerate(links)]
    layers: dict[int, list[Hashable]] = defaultdict(list)
    for box in boxes:
        layers[column[box]].append(box)
    for chain in chains:
        for point in chain[1:-1]:
            layers[point[1]].append(point)  # type: ignore[index]
    rows = _rows([layers[c] for c in sorted(layers)], chains)
    position: dict[Hashable, Point] = {box: (c, rows[box]) for c, layer in layers.items() for box in layer}
    height = max((len(layer) for layer in layers.values()), default=0)
    routes = [[position[point] for point in chain] for chain in chains]
    return Layout({box: position[box] for box in boxes}, routes, len(layers), height)


def _columns(boxes: Sequence[Hashable], links: Sequence[tuple[Hashable, Hashable]]) -> dict[Hashable, int]:
    """The longest way from a leaf; what may stand further right stands just before its first user."""
    sources, users = defaultdict(list), defaultdict(list)
    for a, b in links:
        sources[b].append(a)
        users[a].append(b)
    found: dict[Hashable, int] = {}
    for box in boxes:
        found[box] = max((found[a] + 1 for a in sources[box]), default=0)
    for box in reversed(boxes):
        if users[box]:
            found[box] = min(found[b] for b in users[box]) - 1
    return found


def _rows(layers: Sequence[list[Hashable]], chains: Sequence[Sequence[Hashable]]) -> dict[Hashable, float]:
    neighbors: dict[Hashable, list[Hashable]] = defaultdict(list)
    for chain in chains:
        for a, b in pairwise(chain):
            neighbors[a].append(b)
            neighbors[b].append(a)
    height = max((len(layer) for layer in layers), default=0)
    rows: dict[Hashable, float] = {}
    for layer in layers:
        _settle(layer, rows, height)
    for _ in range(SWEEPS):
        for layer in (*layers, *reversed(layers)):
            mean = {
                p: sum(rows[n] for n in neighbors[p]) / len(neighbors[p]) if neighbors[p] else rows[p] for p in layer
            }
            layer.sort(key=mean.__getitem__)
            _settle(layer, rows, height)
    return rows


def _settle(layer: Sequence[Hashable], rows: dict[Hashable, float], height: int) -> None:
    """Stack the places of one layer in their order, around the middle."""
    for i, place in enumerate(layer):
        rows[place] = i + (height - len(layer)) / 2
