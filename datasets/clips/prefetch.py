"""Work ahead: the next items are made in a thread while the present one is used."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from queue import Empty, Full, Queue
from typing import TypeVar

T = TypeVar("T")
_POLL_SECONDS = 0.1  # how soon a thread notices that its consumer is gone


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
    queue: Queue[tuple[str, object]] = Queue(depth)
    stop = threading.Event()

    def put(kind: str, value: object) -> bool:
        while not stop.is_set():
            try:
                queue.put((kind, value), timeout=_POLL_SECONDS)
                return True
            except Full:
                continue
        return False

    def work() -> None:
        iterator = iter(items)
        try:
            for item in iterator:
                if not put("item", item):
                    break
        except BaseException as error:
            put("error", error)
        else:
            put("end", None)
        finally:
            if hasattr(iterator, "close"):
                iterator.close()

    worker = threading.Thread(target=work, name="prefetch", daemon=True)
    worker.start()
    try:
        while True:
            kind, value = queue.get()
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value
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
