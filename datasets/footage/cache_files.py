"""Content of a folder of reduced frames: sizes, last use, removable files."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

KEEP_DAYS = 30.0
_NAME = re.compile(
    r"[0-9a-f]{16}-(?P<width>\d+)x(?P<height>\d+)-(?P<coding>(?:q\d+|raw)(?:-letterbox|-stretch)?)-v(?P<version>[\d.]+)-"
    r"[0-9a-f]{8}\.(npz|raw|jpeg)"
)


@dataclass(frozen=True)
class CacheEntry:
    """The files of one video's frames.

    Attributes:
        paths: the index, which makes the others count, and the frames.
        size: (height, width) of the copies.
        coding: "raw", or "q92" for JPEG of that quality; then "-letterbox" or "-stretch" where the
            frames are exactly what a network sees.
        version: of the format; other versions are not read.
        bytes: of all files.
        used: seconds since the epoch, when a run last opened it.
    """

    paths: tuple[Path, ...]
    size: tuple[int, int]
    coding: str
    version: str
    bytes: int
    used: float

    def remove(self) -> None:
        """Delete the files, the index first: frames without index count as not there."""
        for path in self.paths:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()


def cache_entries(folder: str | os.PathLike) -> list[CacheEntry]:
    """Every video's frames in a folder, in order of name; other files are left alone."""
    groups: dict[str, list[Path]] = {}
    for path in _files(Path(folder)):
        groups.setdefault(path.stem, []).append(path)
    entries = []
    for paths in groups.values():
        paths.sort(key=lambda path: path.suffix != ".npz")
        found = _NAME.fullmatch(paths[0].name)
        assert found is not None  # as `_files` chose them
        stats = [path.stat() for path in paths]
        entries.append(
            CacheEntry(
                tuple(paths),
                (int(found["height"]), int(found["width"])),
                found["coding"],
                found["version"],
                sum(stat.st_size for stat in stats),
                max(max(stat.st_atime, stat.st_mtime) for stat in stats),
            )
        )
    return entries


def _files(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if _NAME.fullmatch(path.name):
                yield path


def prune(
    folder: str | os.PathLike, version: str | None = None, days: float = KEEP_DAYS
) -> list[CacheEntry]:
    """Remove what no run opened for so many days, and what other versions left; what was removed.

    version: of the frames that are still read (None: any).
    """
    oldest = time.time() - days * 86_400
    removed = []
    for entry in cache_entries(folder):
        if entry.used < oldest or (version is not None and entry.version != version):
            entry.remove()
            removed.append(entry)
    return removed


def note_use(index: Path) -> None:
    """Mark the frames of an index as used now."""
    with contextlib.suppress(OSError):
        os.utime(index, (time.time(), index.stat().st_mtime))
