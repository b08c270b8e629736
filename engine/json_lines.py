"""JSON Lines files that grow while a program runs: a kill or a power cut loses at most one line."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from stadet.engine.files import disk_error


class JsonLinesWriter:
    """Appends rows to a file, each of which has reached the operating system after `write`.

    Args:
        path: the file; it and its folder are made where they are missing.
        readable: write letters beyond ASCII as they are, not as escapes.
        stream: write to this open text stream instead, which stays open; `path` is then its name.

    Raises:
        UserError: for a full disk and a place that cannot be written; `write` and `close` too.
    """

    def __init__(
        self, path: str | os.PathLike, *, readable: bool = False, stream: IO[str] | None = None
    ) -> None:
        self.path, self._readable, self._borrowed = path, readable, stream is not None
        if stream is None:
            try:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                stream = open(path, "a", encoding="utf-8")  # noqa: SIM115
            except OSError as error:
                raise disk_error(error, path) from error
        self._stream: IO[str] = stream

    @property
    def closed(self) -> bool:
        return self._stream.closed

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one row of plain values."""
        line = json.dumps(row, ensure_ascii=not self._readable) + "\n"
        write_through(self._stream, line, self.path)

    def close(self) -> None:
        if self._borrowed:
            return
        try:
            self._stream.close()
        except OSError as error:  # of what a full disk did not take before
            raise disk_error(error, self.path) from error

    def __enter__(self) -> JsonLinesWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def append_row(path: str | os.PathLike, row: Mapping[str, Any]) -> None:
    """Append one row to a file that stays closed meanwhile; see `JsonLinesWriter`."""
    with JsonLinesWriter(path) as writer:
        writer.write(row)


def write_through(stream: IO[Any], data: str | bytes, path: str | os.PathLike) -> None:
    """Write to an open file, on to the operating system. UserError as of `JsonLinesWriter`."""
    try:
        stream.write(data)
        stream.flush()
    except OSError as error:
        raise disk_error(error, path) from error
