"""Whether helpers make the calls of a function faster: it is tried, as no rule holds for every machine.

What threads hand to one another goes from core to core, which takes some processors ten times as long as others. The
results are the same either way.
"""

from __future__ import annotations

__all__ = ["Trial"]

_FIRST = (True, True, False, False)  # calls with helpers or without; the very first finds nothing in the caches
_AGAIN = 32  # calls after which the other way is tried once more
_GAIN = 0.95  # of the time alone: the most that helpers may leave of it
_FADES = 1.1  # by which the best pace of a way grows at a call that is slower: what it was once may not hold any more


class Trial:
    """The pace of one function's calls with helpers and without."""

    def __init__(self) -> None:
        self._pace: dict[bool, float] = {}
        self._calls = 0

    def helped(self) -> bool:
        """Whether the next call is to have helpers."""
        if self._calls < len(_FIRST) or len(self._pace) < 2:
            return _FIRST[self._calls % len(_FIRST)]
        better = self._pace[True] < _GAIN * self._pace[False]
        return better != (self._calls % _AGAIN == 0)

    def saw(self, helped: bool, pace: float) -> None:
        """A call took so long for each of its operations."""
        if self._calls:
            self._pace[helped] = min(pace, _FADES * self._pace.get(helped, pace))
        self._calls += 1
