"""A bounded store of what is costly to make."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["Recent"]

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """Keeps the `most` values used last, by everything that decides them, so that none can go stale.

    One value is made at a time, and who looks for others does not wait for it; what is dropped lives on with whoever
    still uses it.
    """

    def __init__(self, most: int):
        self._most = most
        self._kept: OrderedDict[Hashable, tuple[Value]] = OrderedDict()
        self._lock, self._making = threading.RLock(), threading.RLock()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of `key`, made if it is not kept."""
        found = self._known(key)
        if found is None:
            with self._making:
                found = self._known(key)  # another thread may have made it
                if found is None:
                    found = (make(),)
                    self._keep(key, found)
        return found[0]

    def _known(self, key: Hashable) -> tuple[Value] | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def _keep(self, key: Hashable, value: tuple[Value]) -> None:
        with self._lock:
            self._kept[key] = value
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
