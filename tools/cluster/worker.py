"""One worker of a fleet: a process with an opened checkpoint, to which videos are handed."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stadet.engine.errors import UserError
from stadet.engine.files import temporary_folder
from stadet.engine.machine_errors import machine_error
from stadet.engine.messages import shown_on_terminal
from stadet.engine.progress import hide_progress
from stadet.tools.cluster.records import Record, write_record
from stadet.tools.cluster.sources import Source, expect_unchanged, fetch
from stadet.tools.cluster.store import Store, scratch_folder
from stadet.tools.cluster.urls import Unreachable
from stadet.tools.cluster.works import WORKS, Work


@dataclass(frozen=True)
class Order:
    """What all workers of a fleet do.

    Attributes:
        work: a key of `WORKS`.
        options: of it.
        checkpoint: as the user names it.
        digest: of the settings.
        out: where results lie.
        scratch: folder of each machine for files on their way (None: the usual one).
        version: of the toolkit.
    """

    work: str
    options: Mapping[str, Any]
    checkpoint: str
    digest: str
    out: str
    scratch: str | None
    version: str


@dataclass
class Outcome:
    """What became of a call to a worker.

    Attributes:
        record: of a video that is done.
        error: one line of one that is not.
        transient: the same worker may succeed at another try.
        notes: lines for the user.
    """

    record: Record | None = None
    error: str | None = None
    transient: bool = False
    notes: list[str] = field(default_factory=list)


class Worker:
    """Lives in a process of its own; its errors are `Outcome`s."""

    def __init__(self, order: Order, checkpoint: bytes) -> None:
        self._order, self._checkpoint = order, checkpoint
        self._work: Work | None = None
        self._store = Store(order.out, order.scratch)
        self._scratch = scratch_folder(order.scratch)
        self._held = contextlib.ExitStack()

    def open(self) -> tuple[str, Outcome]:
        """Open the checkpoint; who this is ("HOST, process N"), and what became of it."""
        order, outcome = self._order, Outcome()
        with self._told(outcome):
            if (own := toolkit_version()) != order.version:
                raise UserError(f"expected stadet {order.version}, found {own}; install the same")
            folder = self._held.enter_context(temporary_folder(self._scratch, "checkpoint"))
            path = folder / Path(order.checkpoint).name
            path.write_bytes(self._checkpoint)
            self._checkpoint = b""
            self._path = path
            self._work = WORKS[order.work](path, order.checkpoint, order.options)
        return _myself(), outcome

    def do(self, source: Source) -> Outcome:
        """Work on a video and put its results in place, the record last."""
        assert self._work is not None, "open comes first"
        outcome, began = Outcome(), time.monotonic()
        with (
            self._told(outcome),
            self._store.staging() as staged,
            temporary_folder(self._scratch, "video") as folder,
        ):
            path = fetch(source, folder)
            self._work(source.name, path, staged)
            expect_unchanged(source)
            frames = _frames(path, self._order.options.get("max_frames"))
            files = self._store.publish(staged)
            record = Record(
                self._order.digest,
                source.size,
                source.version,
                files,
                frames,
                round(time.monotonic() - began, 3),
                _myself(),
            )
            write_record(self._store, source.name, record)
            outcome.record = record
        return outcome

    def node(self) -> str:
        """The Ray node that this is on."""
        import ray

        return ray.get_runtime_context().get_node_id()

    def close(self) -> None:
        """Remove what this worker keeps on its disk."""
        self._held.close()

    @contextlib.contextmanager
    def _told(self, outcome: Outcome) -> Iterator[None]:
        """Errors and what is printed to stderr in the block go into `outcome`."""
        notes = io.StringIO()
        try:
            with contextlib.redirect_stderr(notes), shown_on_terminal(), hide_progress():
                yield
        except Exception as error:
            if os.environ.get("STAD_TRACEBACK"):
                raise
            outcome.error = self._named(_line(error))
            outcome.transient = isinstance(error, Unreachable) or not isinstance(error, UserError)
        outcome.notes = [self._named(line) for line in notes.getvalue().splitlines() if line]

    def _named(self, line: str) -> str:
        """A line with the user's name of the checkpoint instead of that of the copy."""
        path = getattr(self, "_path", None)
        return line if path is None else line.replace(str(path), self._order.checkpoint)


def toolkit_version() -> str:
    """The version of this toolkit that is installed here."""
    from importlib.metadata import version

    return version("stadet")


def _line(error: Exception) -> str:
    if isinstance(error, UserError):
        return str(error)
    first = (str(error).strip().splitlines() or [""])[0]
    return machine_error(error) or f"{type(error).__name__}: {first}"


def _frames(video: Path, most: int | None) -> int:
    from stadet.datasets.footage.video import open_video

    length = len(open_video(video))
    return length if most is None else min(length, most)


def _myself() -> str:
    return f"{socket.gethostname()}, process {os.getpid()}"
