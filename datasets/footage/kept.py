"""Resources that stay open for the next use by the same owner: few, and closed in time."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Closable(Protocol):
    def close(self) -> None: ...


T = TypeVar("T", bound=Closable)


@dataclass(frozen=True)
class _Entry(Generic[T]):
    owner: weakref.ref[object]
    resource: T
    cost: int


class Kept(Generic[T]):
    """The resources of the owners that used theirs last, one of each owner.

    What is kept belongs to no one: `take` hands it to the caller alone, `put` gives it back, so
    two users at once never share. It is closed when its owner is gone, when more than `count` or
    resources of more than `cost` together were used since, and at the end of the process. Safe
    between threads; a forked process begins with none, as what it inherits still is its parent's.
    """

    def __init__(self, count: int, cost: int) -> None:
        self.count = count
        self.cost = cost
        self._entries: OrderedDict[int, _Entry[T]] = (
            OrderedDict()
        )  # by id, the last used at the end
        self._lock = threading.RLock()  # garbage collection may call `_close` within it
        atexit.register(self.clear)
        if hasattr(os, "register_at_fork"):
            # held over the fork, so that the child does not inherit it in another thread's hands
            os.register_at_fork(
                before=self._lock.acquire,
                after_in_parent=self._lock.release,
                after_in_child=self._begin_forked,
            )

    def take(self, owner: object) -> T | None:
        """The resource of an owner, if one is kept; it is the caller's from here on."""
        with self._lock:
            entry = self._entries.pop(id(owner), None)
        return None if entry is None else entry.resource

    def put(self, owner: object, resource: T, cost: int) -> None:
        """Keep the resource of an owner in place of the one that is kept."""
        key = id(owner)
        gone = weakref.ref(owner, lambda _: self._close(key))
        with self._lock:
            self._close(key)
            self._entries[key] = _Entry(gone, resource, cost)
            while len(self._entries) > self.count or self._total() > self.cost:
                self._close(next(iter(self._entries)))

    def clear(self) -> None:
        """Close all."""
        with self._lock:
            for key in list(self._entries):
                self._close(key)

    def _total(self) -> int:
        return sum(entry.cost for entry in self._entries.values())

    def _close(self, key: int) -> None:
        with self._lock:
            entry = self._entries.pop(key, None)
        if entry is not None:
            entry.resource.close()

    def _begin_forked(self) -> None:
        self._lock = threading.RLock()
        self._entries.clear()
