"""The videos of a fleet: found by path or URL, brought to a worker, and watched for changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from stadet.datasets.footage.video import VIDEO_SUFFIXES
from stadet.engine.errors import UserError
from stadet.engine.files import disk_error
from stadet.tools.cluster.urls import file_system, local_path, telling
from stadet.tools.inference.sources import expand_sources


@dataclass(frozen=True)
class Source:
    """One video of a fleet.

    Attributes:
        name: unique among all; names of results are made of it.
        place: absolute path, or URL.
        size: of the file in bytes; 0 of a frame folder.
        version: changes with the content: a file's time, an object's ETag.
    """

    name: str
    place: str
    size: int
    version: str


def list_sources(given: Sequence[str]) -> list[Source]:
    """Every video that paths and URLs name, in order; of a folder or prefix all below it, named
    as `expand_sources` names them.

    UserError where there is nothing, and for two videos of one name.
    """
    found: dict[str, Source] = {}
    for text in given:
        path = local_path(text)
        if path is None:
            sources = _listed(text)
        else:
            places = expand_sources([str(path)], cameras=False)
            sources = [_measured(name, Path(place).absolute()) for name, place in places.items()]
        for source in sources:
            if source.name in found:
                raise UserError(
                    f"two videos are named {source.name!r}: {found[source.name].place} and "
                    f"{source.place}; rename one"
                )
            found[source.name] = source
    return list(found.values())


def fetch(source: Source, folder: Path) -> Path:
    """The video as a path of this machine: where it is, or a copy in `folder`.

    UserError where it is not there, and for an object that is no longer what was listed.
    """
    path = local_path(source.place)
    if path is None:
        path = folder / PurePosixPath(source.place).name
        with telling(source.place, "read"):
            try:
                file_system(source.place).get_file(source.place, str(path))
            except OSError as error:
                if error.errno is not None and not isinstance(error, FileNotFoundError):
                    raise disk_error(error, path) from error
                raise
        if path.stat().st_size != source.size:
            raise _changed(source)
    elif not path.exists():
        raise UserError(
            f"{path}: expected a video, found nothing; workers on other machines need a folder "
            "that all share, or a URL"
        )
    return path


def expect_unchanged(source: Source) -> None:
    """UserError where a video is not what it was when it was listed."""
    path = local_path(source.place)
    if path is None:
        with telling(source.place, "read"):
            found = _described(source.name, source.place, _info(source.place))
    elif not path.exists():
        raise UserError(f"cannot read {path}: there is nothing of that name (any more)")
    else:
        found = _measured(source.name, path)
    if (found.size, found.version) != (source.size, source.version):
        raise _changed(source)


def _changed(source: Source) -> UserError:
    return UserError(
        f"{source.place}: changed while it was read; run the same command again when it is whole"
    )


def _measured(name: str, path: Path) -> Source:
    facts = path.stat()
    return Source(name, str(path), 0 if path.is_dir() else facts.st_size, str(facts.st_mtime_ns))


def _info(url: str) -> dict[str, Any]:
    system = file_system(url)
    system.invalidate_cache()
    return system.info(url)


def _listed(url: str) -> list[Source]:
    with telling(url, "read"):
        info = _info(url)
        if info["type"] == "file":
            return [_described(PurePosixPath(url).stem, url, info)]
        system = file_system(url)
        objects = system.find(url, detail=True)
        root = system._strip_protocol(url).rstrip("/")
    found = []
    for key, facts in sorted(objects.items()):
        relative = PurePosixPath(key.removeprefix(root).lstrip("/"))
        hidden = any(part.startswith(".") for part in relative.parts)
        if relative.suffix.lower() in VIDEO_SUFFIXES and not hidden:
            place = system.unstrip_protocol(key)
            found.append(_described(str(relative.with_suffix("")), place, facts))
    if not found:
        raise UserError(f"{url}: expected video files, found none")
    return sorted(found, key=lambda source: source.name)


def _described(name: str, url: str, info: dict[str, Any]) -> Source:
    keys = ("ETag", "etag", "md5Hash", "LastModified", "mtime", "created")
    version = next((info[key] for key in keys if info.get(key) is not None), "")
    if isinstance(version, datetime):
        version = version.timestamp()  # some systems give the one in a list, the other alone
    return Source(name, url, int(info.get("size") or 0), str(version))
