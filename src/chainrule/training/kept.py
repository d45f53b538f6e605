"""What a fit leaves ready for the next one of the same model: the traced step, and what was compiled for it.

It is used only where everything that decides it is equal (`fingerprint`), by one run at a time, and lives as long as
the model. It holds neither the user's data nor values: parameters, states and data are taken anew by every run.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from chainrule.graph import walk
from chainrule.training.fingerprint import Fingerprint
from chainrule.training.record import Size
from chainrule.training.step import Arrays, Recorder, Runner, Step, looping
from chainrule.training.trace import Traced

__all__ = ["Kept", "keep", "take"]

EACH = 4  # that are kept for one model
MODELS = 64  # that any are kept for

_kept: WeakKeyDictionary[Any, dict[Hashable, Kept]] = WeakKeyDictionary()
_lock = threading.RLock()  # dropping a model may run code in the middle of this thread's own


@dataclass
class Kept:
    """What one run hands to the next.

    Attributes:
        fingerprint: what it may be used for.
        traced: the step, to be begun anew.
        sizes: what the evaluator knows of the model.
        shapes: of its output for every recorded set.
        runner: what the engine made of it, between two runs.
        shelf: what it was taken from, while a run has it.
    """

    fingerprint: Fingerprint
    traced: Traced
    sizes: dict[Any, Size]
    shapes: Sequence[tuple[int, ...] | None]
    runner: Runner
    shelf: dict[Hashable, Kept] | None = None

    def __post_init__(self) -> None:
        made = looping(self.runner)
        _without_values(self.traced.step, made.recorder if made is not None else None)
        self.traced = self.traced._replace(arrays=Arrays([]), gradients={}, outputs=())


def take(model: Any, found: Fingerprint) -> Kept | None:
    """What is kept for this fingerprint. It is taken out, so that no two runs at a time share it."""
    with _lock:
        mine = _kept.get(model)
        kept = mine.pop(found.key, None) if mine is not None else None
        if kept is not None:
            kept.shelf = mine
        return kept


def keep(model: Any, kept: Kept) -> None:
    """Keep what a run that is over has made; for what is new, something that was not used for long may go."""
    with _lock:
        if kept.shelf is None:
            _add(model, kept)
        else:
            kept.shelf[kept.fingerprint.key] = kept
            kept.shelf = None


def _add(model: Any, kept: Kept) -> None:
    """Keep something new; what was kept longest goes, and what is of other parameters."""
    named = {id(x) for x in kept.fingerprint.named}
    mine = _kept.pop(model, {})
    mine[kept.fingerprint.key] = kept
    for key, other in list(mine.items()):
        if len(mine) > EACH or any(id(x) not in named for x in other.fingerprint.named):
            del mine[key]
    _kept[model] = mine  # at the end: the model for which something was made last
    while len(_kept) > MODELS:
        del _kept[next(iter(_kept))]


def _without_values(step: Step, recorder: Recorder | None) -> None:
    """Let go of what nodes computed from parameters while they were traced."""
    for node in walk([*step.outputs, *(recorder.losses if recorder is not None else ())]):
        if not node.is_leaf:
            node.value = None
