"""Events as they happen: one line of JSON when an action begins and one when it ends."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

from stadet.engine.json_lines import JsonLinesWriter
from stadet.tools.streams.webhook import Webhook


class EventLog:
    """JSON Lines of events; every line is on disk before the next frame.

    Args:
        path: file to append to; ``-`` for standard output; None writes nothing.
        webhook: is sent the same rows.
    """

    def __init__(self, path: str | Path | None, webhook: Webhook | None = None):
        self.path, self._webhook = path, webhook
        self._file: JsonLinesWriter | None = None
        if path is not None:
            stream = sys.stdout if str(path) == "-" else None
            self._file = JsonLinesWriter(path, readable=True, stream=stream)

    def write(self, stream: str, what: str, seconds: float, **values: Any) -> None:
        """Append an event.

        Args:
            stream: name of the stream.
            what: ``began``, ``ended`` or another word for what happened.
            seconds: on the stream's clock.
            values: further plain values.
        """
        if self._file is None and self._webhook is None:
            return
        row = {
            "stream": stream,
            "event": what,
            "seconds": round(seconds, 3),
            "at": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            **values,
        }
        if self._webhook is not None:
            self._webhook.send(row)
        if self._file is not None:
            self._file.write(row)

    def __enter__(self) -> EventLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()


class ClassRuns:
    """Beginnings and ends of a classifier's answers: a class begins after `patience` equal answers.

    Args:
        names: class names.
        patience: answers in a row that a change takes.
    """

    def __init__(self, names: Sequence[str], patience: int = 2):
        self._names, self._patience = names, max(1, patience)
        self._present: int | None = None
        self._began = 0.0
        self._next: int | None = None
        self._count = 0
        self._next_began = 0.0

    def update(self, seconds: float, label: int | None) -> list[tuple[str, dict[str, Any]]]:
        """Take the next answer (None: none of the classes); returns what began and ended."""
        if label == self._present:
            self._count, self._next = 0, None
            return []
        if self._count == 0 or label != self._next:
            self._next, self._count, self._next_began = label, 0, seconds
        self._count += 1
        if self._count < self._patience:
            return []
        events = self.finish(self._next_began)
        self._present, self._began, self._count = label, self._next_began, 0
        if label is not None:
            events.append(("began", {"class": self._names[label], "start": round(self._began, 3)}))
        return events

    def finish(self, seconds: float) -> list[tuple[str, dict[str, Any]]]:
        """End what is going on, at `seconds`."""
        if self._present is None:
            return []
        name, self._present = self._names[self._present], None
        return [
            (
                "ended",
                {"class": name, "start": round(self._began, 3), "end": round(seconds, 3)},
            )
        ]
