"""A run's folder: the resolved configuration, what it ran on, and one line per event."""

from __future__ import annotations

import csv
import json
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from stadet.engine.errors import UserError
from stadet.engine.files import atomic_write, disk_error
from stadet.engine.json_lines import append_row

_PACKAGES = ("stadet", "torch", "torchvision", "numpy", "opencv-python", "albumentations", "av")


class RunLog:
    """`metrics.jsonl` of a run folder: append events, read them back, forget the later ones.

    A disabled log (other ranks of a distributed run) takes everything and writes nothing.
    """

    def __init__(self, folder: str | Path, *, enabled: bool = True, tensorboard: bool = False):
        self.folder = Path(folder)
        self.path = self.folder / "metrics.jsonl"
        self.enabled = enabled
        self._board = None
        if enabled:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise disk_error(error, self.folder) from error
            if tensorboard:
                self._board = _tensorboard(self.folder)

    def event(self, kind: str, step: int, **values: Any) -> None:
        """Append `{"event": kind, "step": step, ...}` and flush it."""
        if not self.enabled:
            return
        append_row(self.path, {"event": kind, "step": step, **values})
        if self._board:
            for name, value in values.items():
                if isinstance(value, (int, float)):
                    self._board.add_scalar(f"{kind}/{name}", value, step)

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """All events (of one kind) in order; a line cut off by a kill is left out."""
        return read_events(self.path, kind)

    def rewind(self, step: int, epoch: int | None = None) -> None:
        """Drop the events after `step`, which a resumed run is about to repeat, and validations of
        later epochs than `epoch` (at `step` itself one may be due again)."""
        if self.enabled and self.path.is_file():

            def stays(event: dict[str, Any]) -> bool:
                again = epoch is not None and event["event"] == "validation"
                return event["step"] <= step and not (again and event.get("epoch", 0) > epoch)

            kept = [event for event in self.events() if stays(event)]
            with atomic_write(self.path) as stream:
                stream.writelines(json.dumps(e) + "\n" for e in kept)

    def write_environment(self, **extra: Any) -> None:
        """`environment.json`: versions, machine, revision, command, what the caller adds."""
        if self.enabled:
            with atomic_write(self.folder / "environment.json") as stream:
                json.dump({**environment(), **extra}, stream, indent=1)

    def write_csv(self, kind: str, path: str | Path) -> None:
        """One kind of event as a table with a column for each value that ever occurs."""
        rows = self.events(kind)
        columns = list(dict.fromkeys(key for row in rows for key in row))
        with atomic_write(path) as stream:
            writer = csv.DictWriter(stream, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def read_events(path: str | Path, kind: str | None = None) -> list[dict[str, Any]]:
    """Events of a `metrics.jsonl`; an incomplete last line is left out, a missing file is empty."""
    if not Path(path).is_file():
        return []
    events = []
    with open(path, encoding="utf-8", errors="replace") as stream:
        for number, line in enumerate(stream, 1):
            if line.endswith("\n") and line.strip():
                events.append(_event(line, path, number))
    return [e for e in events if kind is None or e["event"] == kind]


def _event(line: str, path: str | Path, number: int) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        event = None
    if (
        not isinstance(event, dict)
        or not isinstance(event.get("event"), str)
        or not isinstance(event.get("step"), int)
    ):
        raise UserError(
            f"{path}, line {number}: expected an event of a training run, found {line[:40]!r}; "
            "remove that line"
        )
    return event


def environment() -> dict[str, Any]:
    """Versions, machine, git revision and command line of this process."""
    versions: dict[str, str | None] = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    out = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": versions,
        "git_revision": git_revision(),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        out["threads"] = torch.get_num_threads()
        out["gpu"] = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return out


def git_revision() -> str | None:
    """Revision of the toolkit's checkout, with `+changes` where it is dirty.

    None without git and where the toolkit is installed elsewhere, be it inside another repository.
    """
    checkout = Path(__file__).resolve().parent.parent
    if not (checkout / ".git").exists():
        return None
    try:
        show = [
            "git",
            "-C",
            str(checkout),
            "describe",
            "--always",
            "--dirty=+changes",
            "--abbrev=12",
        ]
        found = subprocess.run(show, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()


def _tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UserError(
            "loop.tensorboard needs the package tensorboard: pip install -e '.[tensorboard]'"
        ) from error
    return SummaryWriter(folder / "tensorboard")
