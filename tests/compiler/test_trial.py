"""Helpers are had where they make calls faster, which is tried."""

from __future__ import annotations

from collections.abc import Callable

from chainrule.compiler.trial import Trial


def calls(trial: Trial, count: int, pace: Callable[[bool], float]) -> list[bool]:
    """Which of so many calls had helpers, where a call takes `pace(helped)`."""
    found = []
    for _ in range(count):
        found.append(trial.helped())
        trial.saw(found[-1], pace(found[-1]))
    return found


def test_both_ways_are_tried_and_the_faster_one_is_taken() -> None:
    assert calls(Trial(), 20, lambda helped: 0.6 if helped else 1.0) == [True, True, False, False, *[True] * 16]
    assert calls(Trial(), 20, lambda helped: 1.2 if helped else 1.0) == [True, True, False, False, *[False] * 16]


def test_helpers_that_gain_nothing_are_left_alone() -> None:
    assert not any(calls(Trial(), 30, lambda helped: 0.99 if helped else 1.0)[4:])


def test_the_first_call_which_finds_nothing_in_the_caches_does_not_count() -> None:
    trial = Trial()
    trial.saw(True, 100.0)
    assert all(calls(trial, 31, lambda helped: 0.6 if helped else 1.0)[3:])


def test_one_slow_call_changes_nothing_and_many_do() -> None:
    trial = Trial()
    calls(trial, 20, lambda helped: 0.6 if helped else 1.0)
    trial.saw(True, 50.0)
    assert trial.helped()
    assert sum(calls(trial, 60, lambda helped: 1.5 if helped else 1.0)[11:]) <= 2  # those that try again


def test_the_other_way_is_tried_again_now_and_then() -> None:
    trial = Trial()
    calls(trial, 20, lambda helped: 1.5 if helped else 1.0)
    later = calls(trial, 200, lambda helped: 0.5 if helped else 1.0)
    assert sum(not helped for helped in later[:100]) < 60
    assert sum(helped for helped in later[100:]) > 90


def test_where_no_helper_comes_calls_go_on() -> None:
    trial = Trial()
    for _ in range(100):
        trial.helped()
        trial.saw(False, 1.0)
