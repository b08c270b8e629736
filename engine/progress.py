"""Progress with a rate and an estimate: a bar on a terminal or in a notebook, elsewhere a line now
and then in the log."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from datetime import timedelta
from time import monotonic
from typing import Any, TypeVar

from stadet.engine.messages import PROGRESS
from stadet.engine.signatures import checked

T = TypeVar("T")
_log = logging.getLogger(PROGRESS)

FIRST_SECONDS = 10.0  # from a program's first bar to its first line
LINE_SECONDS = 30.0  # between two lines of all bars
_due: float | None = None  # when the next line is

Watcher = Callable[[str, int, int | None], None]  # description, done, total
_watchers: list[Watcher] = []
_hidden = False


@contextlib.contextmanager
def hide_progress() -> Iterator[None]:
    """In the block nothing shows how far work is: no bar and no line, in any thread.

    Examples:
        >>> with stadet.hide_progress():                                        # doctest: +SKIP
        ...     stadet.train(config)
    """
    global _hidden
    before, _hidden = _hidden, True
    try:
        yield
    finally:
        _hidden = before


@checked
@contextlib.contextmanager
def watch_progress(watcher: Callable[[str, int, int | None], None]) -> Iterator[None]:
    """Call `watcher(description, done, total)` for all progress in the block, of any thread.

    No bar is shown meanwhile, but lines are logged. What the watcher raises ends the work.

    Args:
        watcher: it takes the name of the work, how many units are done, and of how many (None
            where that is not known).

    Examples:
        >>> with stadet.watch_progress(lambda what, done, total: print(what, done, total)):
        ...     stadet.predict("kitchen.mp4", "best.pt", out="out.jsonl")       # doctest: +SKIP
    """
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


def progress(
    items: Iterable[T], *, description: str, unit: str = "it", total: int | None = None
) -> Iterator[T]:
    """Iterate over `items` with a bar on a terminal, elsewhere with a line every half minute.

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

    Where stderr is no terminal (a pipe, a file, nohup), or progress is watched, it logs lines
    instead. hidden: it shows nothing (of processes other than the main one).
    """
    hidden = hidden or _hidden
    if _watchers or not (hidden or _shows_bars()):
        return ProgressLines(description, total, unit, hidden)
    from tqdm import tqdm

    return tqdm(desc=description, unit=unit, total=total, leave=False, disable=hidden)


def _shows_bars() -> bool:
    """Whether stderr is a terminal, or a notebook, which draws a bar as a terminal does."""
    if sys.stderr is None:
        return False
    return sys.stderr.isatty() or type(sys.stderr).__module__.startswith("ipykernel.")


class ProgressLines:
    """The content of a tqdm bar, as a line in the log at most every `LINE_SECONDS`."""

    def __init__(
        self, description: str, total: int | None, unit: str, hidden: bool = False
    ) -> None:
        global _due
        self._description, self._total, self._hidden = description, total, hidden
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
        elif not self._hidden and _due is not None and now >= _due:
            _due = now + LINE_SECONDS
            _log.info(self._line(now - self._begun))

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
