"""Progress with a rate and an estimate: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from datetime import timedelta
from time import monotonic
from typing import Any, TypeVar

T = TypeVar("T")

FIRST_SECONDS = 10.0  # from a program's first bar to its first line
LINE_SECONDS = 30.0  # between two lines of all bars
_due: float | None = None  # when the next line is

Watcher = Callable[[str, int, int | None], None]  # description, done, total
_watchers: list[Watcher] = []
_silenced = False


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Bars show nothing in the block: of one worker of many, whose whole shows its own."""
    global _silenced
    before, _silenced = _silenced, True
    try:
        yield
    finally:
        _silenced = before


@contextlib.contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Call `watcher(description, done, total)` for all progress in the block; bars show it still.

    total: None where it is not known. What the watcher raises ends the work.
    """
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


def progress(
    items: Iterable[T], *, description: str, unit: str = "it", total: int | None = None
) -> Iterator[T]:
    """Iterate over `items` with a bar on a terminal, or a line every half minute elsewhere.

    Call `.update(n)` on the result of `progress_bar` instead where work is not an iteration.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    with progress_bar(description=description, total=total, unit=unit) as bar:
        for item in items:
            yield item
            bar.update()


def progress_bar(
    *, description: str, total: int | None, unit: str = "it", hidden: bool = False
) -> Any:
    """A bar to be fed by hand with `.update(n)`; use it as a context manager.

    Where stderr is no terminal (a pipe, a file, nohup), or progress is `watched`, it writes lines
    to it instead. hidden: it shows nothing (of processes other than the main one).
    """
    hidden = hidden or _silenced
    if not hidden and (_watchers or sys.stderr is None or not sys.stderr.isatty()):
        return ProgressLines(description, total, unit)
    from tqdm import tqdm

    return tqdm(desc=description, unit=unit, total=total, leave=False, disable=hidden)


class ProgressLines:
    """The content of a tqdm bar, as a line on stderr at most every `LINE_SECONDS`."""

    def __init__(self, description: str, total: int | None, unit: str) -> None:
        global _due
        self._description, self._total = description, total
        self._units = unit + ("es" if unit.endswith("ch") else "s")
        self._done, self._first = 0, 0
        self._begun: float | None = None
        self._facts: Mapping[str, str] = {}
        if _due is None:
            _due = monotonic() + FIRST_SECONDS

    def __enter__(self) -> ProgressLines:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def update(self, count: int = 1) -> None:
        """`count` more are done; what is done before the first one does not count as speed."""
        global _due
        now = monotonic()
        self._done += count
        for watcher in _watchers:
            watcher(self._description, self._done, self._total)
        if self._begun is None:
            self._begun, self._first = now, self._done
        elif _due is not None and now >= _due:
            _due = now + LINE_SECONDS
            print(self._line(now - self._begun), file=sys.stderr, flush=True)

    def set_postfix(self, facts: Mapping[str, str], refresh: bool = True) -> None:
        """Facts to show behind the numbers."""
        self._facts = facts

    def _line(self, seconds: float) -> str:
        rate = (self._done - self._first) / max(seconds, 1e-9)
        text = f"{self._description}: {self._done:,}"
        if self._total:
            text += f" of {self._total:,} {self._units} ({100 * self._done / self._total:.0f} %)"
        else:
            text += f" {self._units}"
        facts = dict(self._facts)
        if self._total and rate and "left" not in facts:
            left = timedelta(seconds=round(max(0, self._total - self._done) / rate))
            facts = {f"{self._units}/s": f"{rate:.1f}", "left": str(left)} | facts
        return text + "".join(f", {name} {value}" for name, value in facts.items())
