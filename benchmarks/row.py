"""A row of the table: one workload, who runs it, and the bar it is held to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Bar", "Contender", "Row"]

# From the workload to a function that is called before every timed run, untimed, and returns what is timed.
# What is timed returns the final loss, or NaN where there is none (a floor of bare matrix products).
Contender = Callable[[Any], Callable[[], Callable[[], float]]]


@dataclass(frozen=True)
class Bar:
    """What is asked: at most `floor` times the floor's time, and so many times faster than each peer.

    The name "*" among `peers` stands for every peer that the row has.
    """

    floor: float | None = None
    peers: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = [f"<= {self.floor:g} x floor"] if self.floor is not None else []
        parts += [f">= {n:g} x faster than {'every peer' if p == '*' else p}" for p, n in self.peers.items()]
        return "; ".join(parts)

    def met(self, ours: float, floor: float | None, peers: Mapping[str, float | None]) -> bool | None:
        """Whether it is met; None where a peer that it names is absent and nothing else fails."""
        asked = {name: n for name, n in self.peers.items() if name != "*"}
        if "*" in self.peers:
            asked = {name: max(asked.get(name, 0), self.peers["*"]) for name in peers} | asked
        answers: list[bool | None] = []
        if self.floor is not None:
            answers.append(None if floor is None else ours <= self.floor * floor)
        for name, n in asked.items():
            seconds = peers.get(name)
            answers.append(None if seconds is None else seconds >= n * ours)
        if False in answers:
            return False
        return None if None in answers else True


@dataclass(frozen=True)
class Row:
    """One workload with its contenders.

    Attributes:
        work: makes the data, the first weights and the row numbers of every step, the same for all contenders.
        floors: the fastest of them is the floor.
        parts: a slow peer makes only 1/n of the steps (and of the evaluations); its time is multiplied by n.
        threads: every number of threads at which the row is run; None: as the machine offers them.
        tolerance: how far final losses may lie from ours, relative.
        evaluations: how many full evaluations a run holds, for the table.
    """

    name: str
    about: str
    work: Callable[[], Any]
    ours: Contender
    floors: Mapping[str, Contender]
    peers: Mapping[str, Contender]
    bar: Bar
    parts: Mapping[str, int] = field(default_factory=dict)
    threads: tuple[int | None, ...] = (None,)
    rounds: int = 9
    tolerance: float = 1e-6
