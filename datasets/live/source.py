"""Where a stream comes from, as it is named on a command line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from urllib.parse import urlsplit

from stadet.engine.errors import UserError

CAMERA_PREFIX = "camera:"


class SourceKind(Enum):
    """The kinds of source. `camera` and `rtsp` are live; `http` may be a file or live."""

    CAMERA = "camera"
    RTSP = "rtsp"
    HTTP = "http"
    PIPE = "pipe"
    FILE = "file"


@dataclass(frozen=True)
class StreamSource:
    """A source of frames.

    Attributes:
        kind: kind of the source.
        address: camera number, URL, ``"-"`` for standard input, or path of a video file.
        name: name of the stream in outputs; holds no password and no path separator.
    """

    kind: SourceKind
    address: str
    name: str

    @property
    def shown(self) -> str:
        """The address for messages and pages, without user name and password."""
        return re.sub(r"//[^/@]*@", "//", self.address)


def parse_source(text: str) -> StreamSource:
    """Parse a source as given on a command line.

    Args:
        text: ``camera:0`` or ``0`` (a camera's number), ``rtsp://..``, ``rtsps://..``,
            ``http://..``, ``https://..``, ``-`` (standard input), or a video file.

    Raises:
        UserError: for an unknown scheme, a URL without a host, or a file that does not exist.
    """
    number = text.removeprefix(CAMERA_PREFIX)
    if number.isascii() and number.isdecimal() and not Path(text).exists():
        return StreamSource(SourceKind.CAMERA, str(int(number)), f"camera{int(number)}")
    if text.startswith(CAMERA_PREFIX):
        raise UserError(f"{text}: expected a camera's number, as in camera:0")
    if text == "-":
        return StreamSource(SourceKind.PIPE, text, "pipe")
    if "://" in text:
        return _parse_url(text)
    path = Path(text)
    if not path.is_file():
        raise UserError(
            f"{path}: expected a video file, a camera's number or an rtsp:// or http:// address, "
            "found nothing there"
        )
    return StreamSource(SourceKind.FILE, str(path), path.stem)


def parse_sources(texts: list[str]) -> list[StreamSource]:
    """Parse several sources; equal names get ``_2``, ``_3``, .. so that outputs stay apart.

    Raises:
        UserError: as `parse_source`, and for a source that is named twice.
    """
    found: list[StreamSource] = []
    for text in texts:
        source = parse_source(text)
        if any(other.address == source.address for other in found):
            raise UserError(f"{source.shown}: named twice; name every source once")
        taken = {other.name for other in found}
        name, count = source.name, 1
        while name in taken:
            count += 1
            name = f"{source.name}_{count}"
        found.append(StreamSource(source.kind, source.address, name))
    return found


def _parse_url(text: str) -> StreamSource:
    try:
        parts = urlsplit(text)
        host = parts.hostname
        port = parts.port
    except ValueError as error:
        raise UserError(f"{text}: not a valid address ({error})") from error
    kinds = {
        "rtsp": SourceKind.RTSP,
        "rtsps": SourceKind.RTSP,
        "http": SourceKind.HTTP,
        "https": SourceKind.HTTP,
    }
    if parts.scheme not in kinds:
        known = ", ".join(f"{scheme}://" for scheme in kinds)
        raise UserError(f"{parts.scheme}://: expected one of {known}, a camera's number or a file")
    if not host:
        raise UserError(f"{text}: expected a host, as in rtsp://192.0.2.7:554/stream")
    words = [host, *([str(port)] if port else []), *parts.path.split("/")]
    name = "_".join(re.sub(r"[^\w.-]+", "-", word).strip("-.") for word in words if word)
    return StreamSource(kinds[parts.scheme], text, name[:80])
