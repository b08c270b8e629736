"""Work ahead: the next items are made in a thread while the present one is used."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from queue import Empty, Full, Queue
from typing import Generic, TypeVar

T = TypeVar("T")
_POLL_SECONDS = 0.1  # how soon a thread notices that its consumer is gone


@dataclass(frozen=True)
class _Item(Generic[T]):
    value: T


@dataclass(frozen=True)
class _Error:
    error: BaseException


def prefetch(items: Iterable[T], depth: int = 2) -> Iterator[T]:
    """The same items in the same order, at most `depth` of them made in advance.

    For work that releases the interpreter's lock: decoding, resizing. The thread starts with the
    first item asked for. An error of `items` is raised where its item would have come; an early end
    of the iteration stops the thread and closes `items`. ValueError for a depth below 1.
    """
    if depth < 1:
        raise ValueError(f"prefetch: expected a depth of at least 1, found {depth}")
    return _prefetch(items, depth)


def _prefetch(items: Iterable[T], depth: int) -> Iterator[T]:
    queue: Queue[_Item[T] | _Error | None] = Queue(depth)  # None: the end
    stop = threading.Event()

    def put(entry: _Item[T] | _Error | None) -> bool:
        while not stop.is_set():
            try:
                queue.put(entry, timeout=_POLL_SECONDS)
                return True
            except Full:
                continue
        return False

    def work() -> None:
        iterator = iter(items)
        try:
            for item in iterator:
                if not put(_Item(item)):
                    break
        except BaseException as error:
            put(_Error(error))
        else:
            put(None)
        finally:
            if hasattr(iterator, "close"):
                iterator.close()

    worker = threading.Thread(target=work, name="prefetch", daemon=True)
    worker.start()
    try:
        while True:
            entry = queue.get()
            if entry is None:
                return
            if isinstance(entry, _Error):
                raise entry.error
            yield entry.value
    finally:
        stop.set()
        _drain(queue)
        worker.join()


def _drain(queue: Queue) -> None:
    """Free what was made in advance."""
    while True:
        try:
            queue.get_nowait()
        except Empty:
            return
