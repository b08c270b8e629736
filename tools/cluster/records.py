"""What of a fleet's work is done: a record beside the results for each video, written last."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from stadet.engine.errors import UserError
from stadet.tools.cluster.sources import Source
from stadet.tools.cluster.store import OWN, Store

JOB = f"{OWN}/job.json"
VIDEOS = f"{OWN}/videos"


@dataclass(frozen=True)
class Record:
    """One video that is done.

    Attributes:
        settings: digest of the settings and the checkpoint.
        size, version: of the source, as in `Source`.
        files: results, name -> bytes.
        frames: that were looked at.
        seconds: that it took.
        worker: who did it.
    """

    settings: str
    size: int
    version: str
    files: Mapping[str, int]
    frames: int
    seconds: float
    worker: str

    def covers(self, source: Source) -> bool:
        """The source is the one that this is of."""
        return (self.size, self.version) == (source.size, source.version)


def settings_digest(settings: Mapping[str, Any]) -> str:
    """Digest of settings that are plain data."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def write_record(store: Store, name: str, record: Record) -> None:
    """Say that a video is done; its files are in place."""
    store.write(f"{VIDEOS}/{name}.json", json.dumps(asdict(record), indent=1).encode())


def read_records(store: Store) -> dict[str, Record]:
    """Video name -> record; what is no record counts as not done."""
    found = {}
    for file, content in store.read_all(VIDEOS).items():
        try:
            record = Record(**json.loads(content))
        except (ValueError, TypeError):
            continue
        found[file.removeprefix(f"{VIDEOS}/").removesuffix(".json")] = record
    return found


def claim(store: Store, settings: Mapping[str, Any], *, overwrite: bool) -> None:
    """Make a place the one of these settings.

    UserError where it holds results of other settings or files of others, unless `overwrite`.
    """
    content = store.read(JOB)
    if content is None:
        others = [name for name in store.sizes() if not name.startswith(f"{OWN}/")]
        if others and not overwrite:
            raise UserError(
                f"{store}: expected a new place or one of stad fleet, found files of others "
                f"({others[0]}); choose another --out, or give --overwrite to write among them"
            )
    else:
        try:
            before = json.loads(content)
        except ValueError:
            before = {}
        differing = [k for k in {**before, **settings} if before.get(k) != settings.get(k)]
        if differing and not overwrite:
            raise UserError(
                f"{store} holds results of other settings (differing: {', '.join(differing)}); "
                "give --overwrite to replace them, or another --out"
            )
        if not differing:
            return
    store.write(JOB, json.dumps(settings, indent=1, sort_keys=True).encode())


def split_done(
    sources: Iterable[Source], store: Store, digest: str, *, overwrite: bool
) -> tuple[list[Source], dict[str, Record]]:
    """The videos still to do, and the records of those that are done.

    UserError for results of videos that have changed since, unless `overwrite`.
    """
    records, sizes = read_records(store), store.sizes()
    todo, done, changed = [], {}, []
    for source in sources:
        record = records.get(source.name)
        if record is None or record.settings != digest:
            todo.append(source)
        elif not record.covers(source):
            changed.append(source.name)
            todo.append(source)
        elif any(sizes.get(name) != size for name, size in record.files.items()):
            todo.append(source)  # a result was lost
        else:
            done[source.name] = record
    if changed and not overwrite:
        raise UserError(
            f"{store} holds results of {len(changed):,} videos that have changed since (first: "
            f"{changed[0]}); give --overwrite to replace them, or another --out"
        )
    return todo, done
