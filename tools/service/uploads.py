"""Uploads: streamed to disk with a limit, under names of the service's own."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from stadet.engine.errors import UserError
from stadet.tools.service.queue import new_id

ID = re.compile(r"[0-9a-f]{32}")
MOST_VIDEOS = 64  # of one job


class TooLarge(UserError):
    """An upload above the limit."""


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
    folder: Path, name: str, chunks: AsyncIterator[bytes], limit: int, declared: int | None
) -> str:
    """Write an upload as it comes; nothing is left of one that breaks off.

    Args:
        folder: of uploads.
        name: as the sender calls the file.
        chunks: the content.
        limit: most bytes.
        declared: number of bytes that the sender declared.

    Returns:
        The upload's id.

    Raises:
        TooLarge: above the limit.
        UserError: empty, shorter than declared, or the disk is full.
    """
    if declared is not None and declared > limit:
        raise TooLarge(f"expected at most {limit} bytes, found {declared}")
    upload_id = new_id()
    place = folder / f".{upload_id}"
    done = False
    try:
        place.mkdir()
        size = 0
        with open(place / "content", "wb") as stream:
            async for chunk in chunks:
                size += len(chunk)
                if size > limit:
                    raise TooLarge(f"expected at most {limit} bytes, found more")
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


def take_uploads(folder: Path, ids: Sequence[str], inputs: Path) -> dict[str, str]:
    """Link uploads into a job's folder; they stay until `drop_uploads`.

    Returns:
        {stored name: name as shown}.

    Raises:
        UserError: for an id that is none of an upload, or was used already.
    """
    if not 1 <= len(ids) <= MOST_VIDEOS:
        raise UserError(f"uploads: expected 1 to {MOST_VIDEOS}, found {len(ids)}")
    if len(set(ids)) != len(ids):
        raise UserError("uploads: expected every one once, found one twice")
    for upload_id in ids:
        if not ID.fullmatch(upload_id) or not (folder / upload_id / "name.json").is_file():
            raise UserError(f"upload {upload_id[:40]!r}: expected the id of an upload, found none")
    inputs.mkdir(parents=True)
    taken: dict[str, str] = {}
    for number, upload_id in enumerate(ids):
        name = json.loads((folder / upload_id / "name.json").read_text(encoding="utf-8"))
        stored = stored_name(name, number)
        os.link(folder / upload_id / "content", inputs / stored)
        taken[stored] = name
    return taken


def drop_uploads(folder: Path, ids: Sequence[str]) -> None:
    """Forget uploads that a queued job has taken."""
    for upload_id in ids:
        shutil.rmtree(folder / upload_id, ignore_errors=True)
