"""stad cache: what the caches of reduced frames and video indices hold, and emptying them."""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from stadet.tools.cli import make_parser

if TYPE_CHECKING:
    from stadet.datasets.footage.cache_files import CacheEntry

SUMMARY = "list or empty the caches of reduced frames and video indices"
EXAMPLES = """\
examples:
  stad cache                                        the user's cache folder
  stad cache data/kitchen                           and the frames kept next to that data set
  stad cache data/kitchen --empty --older-than 7    remove what no run opened for a week
  stad cache --empty                                remove all of it

Everything in a cache is made again when it is needed. The user's cache folder is $STAD_CACHE, else
$XDG_CACHE_HOME/stad, else ~/.cache/stad. Training removes frames that no run opened for 30 days.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("cache", SUMMARY, EXAMPLES)
    add = parser.add_argument
    add("folders", nargs="*", help="data set folders, data set files or cache folders")
    add("--empty", action="store_true", help="remove the files instead of listing them")
    add("--older-than", type=float, metavar="DAYS", help="only what no run opened for so long")
    return parser


def run(args: argparse.Namespace) -> None:
    from stadet.datasets.footage.cache_files import cache_entries
    from stadet.engine.cache_folder import cache_folder
    from stadet.engine.errors import UserError

    if args.older_than is not None and args.older_than < 0:
        raise UserError(f"--older-than: expected at least 0 days, found {args.older_than:g}")
    folders = [cache_folder("frames"), *map(frames_folder, args.folders)]
    for folder in dict.fromkeys(folders):
        entries = [e for e in cache_entries(folder) if _is_old(e.used, args.older_than)]
        _report(folder, entries, args.empty)
        if args.empty:
            for entry in entries:
                entry.remove()
    _indices(cache_folder("video-index"), args.older_than, args.empty)


def frames_folder(given: str) -> Path:
    """The cache folder that a data set folder, a data set file or a cache folder means."""
    from stadet.engine.errors import UserError

    path = Path(given)
    folder = path.parent if path.is_file() else path
    if not folder.is_dir():
        raise UserError(f"{given}: expected a data set or a cache folder, found nothing")
    beside = folder / ".stad-cache"
    return beside if beside.is_dir() else folder


def _is_old(used: float, days: float | None) -> bool:
    import time

    return days is None or used < time.time() - days * 86_400


def _report(folder: Path, entries: list[CacheEntry], removed: bool) -> None:
    total = sum(entry.bytes for entry in entries)
    verb = "removed " if removed else ""
    print(f"{folder}: {verb}frames of {len(entries)} videos, {total / 2**20:,.1f} MiB")
    kinds: dict[tuple, list[CacheEntry]] = defaultdict(list)
    for entry in entries:
        kinds[entry.size, entry.coding].append(entry)
    for ((height, width), coding), group in sorted(kinds.items()):
        size = sum(entry.bytes for entry in group)
        print(f"  {width}x{height} {coding}: {len(group)} videos, {size / 2**20:,.1f} MiB")


def _indices(folder: Path, days: float | None, empty: bool) -> None:
    paths = sorted(folder.glob("*.npz")) if folder.is_dir() else []
    paths = [path for path in paths if _is_old(path.stat().st_mtime, days)]
    total = sum(path.stat().st_size for path in paths)
    verb = "removed " if empty else ""
    print(f"{folder}: {verb}{len(paths)} video indices, {total / 2**20:,.1f} MiB")
    if empty:
        for path in paths:
            path.unlink(missing_ok=True)


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
