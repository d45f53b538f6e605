"""How the benchmarks measure: a turn of short runs, of long ones, and what is made of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest
from benchmarks.worker import TURN, turn


def clocked(lengths: Iterator[float]) -> tuple[Callable[[], Callable[[], float]], Callable[[], float], list[float]]:
    """Runs of these lengths in seconds, a clock that they move, and their beginnings."""
    now, begun = [0.0], list[float]()

    def prepare() -> Callable[[], float]:
        now[0] += 1  # is not timed

        def run() -> float:
            begun.append(now[0])
            now[0] += next(lengths)
            return float(len(begun))

        return run

    return prepare, lambda: now[0], begun


def test_a_turn_of_short_runs_is_their_median() -> None:
    lengths = itertools.chain([2**-7], itertools.repeat(2**-9))  # the first one was disturbed
    prepare, clock, begun = clocked(lengths)
    found = turn(prepare, clock, clock)
    assert found["seconds"] == found["cpu"] == 2**-9
    assert TURN <= found["spent"] < TURN + 2**-9
    assert found["loss"] == len(begun) == 8


@pytest.mark.parametrize("seconds", [2**-5, 3.0])
def test_a_turn_of_a_long_run_is_one(seconds: float) -> None:
    prepare, clock, begun = clocked(itertools.repeat(seconds))
    found = turn(prepare, clock, clock)
    assert found["seconds"] == found["spent"] == seconds
    assert begun == [1.0]
