"""Uploads: streamed to disk with a limit, under names of the service's own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from stadet.engine.errors import UserError
from stadet.tools.service.queue import new_id

ID = re.compile(r"[0-9a-f]{32}")
MOST_VIDEOS = 64  # of one job


class TooLarge(UserError):
    """An upload above the limit."""


class TooSlow(UserError):
    """An upload that pauses or goes on for too long."""


@dataclass(frozen=True)
class UploadLimits:
    """What an upload may come to.

    Attributes:
        size: most bytes.
        idle: longest pause in seconds.
        seconds: longest that all of it may take.
    """

    size: int
    idle: float = 30.0
    seconds: float = 7200.0


def shown_name(name: str) -> str:
    """A file's name as it is shown: without folders and control characters, at most 120 letters."""
    last = PurePosixPath(PureWindowsPath(name).name).name
    clean = "".join(letter for letter in last if letter.isprintable()).strip()
    return clean[-120:] or "video"


def stored_name(name: str, number: int) -> str:
    """A name to store a file under: plain letters only, and different for each number."""
    shown = Path(shown_name(name))
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", shown.stem).strip("_")[:60] or "video"
    suffix = shown.suffix.lower() if re.fullmatch(r"\.[A-Za-z0-9]{1,5}", shown.suffix) else ".mp4"
    return f"{number:02d}_{stem}{suffix}"


async def save_upload(
    folder: Path,
    name: str,
    chunks: AsyncIterator[bytes],
    limits: UploadLimits,
    declared: int | None,
) -> str:
    """Write an upload as it comes; nothing is left of one that breaks off.

    Args:
        folder: of uploads.
        name: as the sender calls the file.
        chunks: the content.
        limits: of its size and time.
        declared: number of bytes that the sender declared.

    Returns:
        The upload's id.

    Raises:
        TooLarge: above the limit of size.
        TooSlow: above a limit of time.
        UserError: empty, shorter than declared, or the disk is full.
    """
    if declared is not None and declared > limits.size:
        raise TooLarge(f"expected at most {limits.size} bytes, found {declared}")
    upload_id = new_id()
    place = folder / f".{upload_id}"
    done = False
    try:
        place.mkdir()
        size = 0
        with open(place / "content", "wb") as stream:
            async for chunk in _in_time(chunks, limits):
                size += len(chunk)
                if size > limits.size:
                    raise TooLarge(f"expected at most {limits.size} bytes, found more")
                stream.write(chunk)
        if not size:
            raise UserError("expected a video, found an empty upload")
        if declared is not None and size != declared:
            raise UserError(f"expected {declared} bytes, found {size}; upload it again")
        (place / "name.json").write_text(json.dumps(shown_name(name)), encoding="utf-8")
        place.rename(folder / upload_id)
        done = True
        return upload_id
    except OSError as error:
        raise UserError(f"the upload cannot be stored ({error.strerror})") from error
    finally:
        if not done:
            shutil.rmtree(place, ignore_errors=True)


async def _in_time(chunks: AsyncIterator[bytes], limits: UploadLimits) -> AsyncIterator[bytes]:
    """The chunks; `TooSlow` where a pause or the whole is too long."""
    started = time.monotonic()
    while True:
        rest = started + limits.seconds - time.monotonic()
        try:
            yield await asyncio.wait_for(chunks.__anext__(), max(0.0, min(limits.idle, rest)))
        except StopAsyncIteration:
            return
        except asyncio.TimeoutError as error:
            limit = f"a pause of at most {limits.idle:g} s"
            if rest < limits.idle:
                limit = f"an upload of at most {limits.seconds / 60:g} minutes"
            raise TooSlow(f"expected {limit}, found a longer one; upload it again") from error


@contextlib.contextmanager
def taken_uploads(folder: Path, ids: Sequence[str], inputs: Path) -> Iterator[dict[str, str]]:
    """Take uploads into a job's folder; they are used up after the block, and back if it fails.

    Each upload is taken by renaming it, so that two requests cannot both have it.

    Yields:
        {stored name: name as shown}.

    Raises:
        UserError: for an id that is none of an upload, or was used already.
    """
    if not 1 <= len(ids) <= MOST_VIDEOS:
        raise UserError(f"uploads: expected 1 to {MOST_VIDEOS}, found {len(ids)}")
    if len(set(ids)) != len(ids):
        raise UserError("uploads: expected every one once, found one twice")
    held: list[tuple[Path, Path]] = []
    taken: dict[str, str] = {}
    try:
        for upload_id in ids:
            place, hold = folder / upload_id, folder / f".{upload_id}"
            try:
                if not ID.fullmatch(upload_id):
                    raise FileNotFoundError
                place.rename(hold)
            except OSError as error:
                raise UserError(
                    f"upload {upload_id[:40]!r}: expected the id of an unused upload, found none"
                ) from error
            held.append((place, hold))
        inputs.mkdir(parents=True)
        for number, (_, hold) in enumerate(held):
            name = json.loads((hold / "name.json").read_text(encoding="utf-8"))
            stored = stored_name(name, number)
            os.link(hold / "content", inputs / stored)
            taken[stored] = name
        yield taken
    except BaseException:
        for place, hold in held:
            with contextlib.suppress(OSError):
                hold.rename(place)
        raise
    for _, hold in held:
        shutil.rmtree(hold, ignore_errors=True)
