"""The user's folder of files that only save time: video indices, reduced frames."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def cache_folder(kind: str = "") -> Path:
    """The toolkit's cache folder, for files that can be made again.

    `$STAD_CACHE`, else `$XDG_CACHE_HOME/stad`, else `~/.cache/stad`; below it one folder a kind
    ("video-index", "frames"). The folder need not exist.
    """
    if own := os.environ.get("STAD_CACHE"):
        base = Path(own).expanduser()
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stad"
    return base / kind if kind else base


def frames_folder(
    chosen: str | os.PathLike | None,
    beside: str | os.PathLike | None = None,
    footage: Iterable[str | os.PathLike] = (),
) -> Path:
    """Folder for reduced frames.

    chosen: the user's own choice, taken as it is. Otherwise `.stad-cache` in `beside` (the data set
    file's folder), unless `$STAD_CACHE` is set, that folder holds videos itself or cannot be
    written; and else the user's cache folder.
    footage: the videos' paths.
    """
    if chosen:
        return Path(chosen)
    if beside is not None and "STAD_CACHE" not in os.environ:
        folder = Path(beside).resolve()
        if all(Path(path).resolve().parent != folder for path in footage) and is_writable(folder):
            return Path(beside) / ".stad-cache"
    return cache_folder("frames")


def is_writable(folder: str | os.PathLike) -> bool:
    """Files can be made in a folder, or the folder itself in its parent."""
    folder = Path(folder)
    while not folder.exists():
        if folder.parent == folder:
            return False
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
