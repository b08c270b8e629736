"""Which uploads are let in as videos: by first bytes and header, before a frame is decoded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from stadet.datasets.footage.decode import DecodeLimits
from stadet.engine.errors import UserError

# FFmpeg also opens pictures, playlists and lists that name further files: those are not let in
FORMATS = (
    *("mov", "matroska", "avi", "mpegts", "mpeg", "mpegvideo", "m4v", "h264", "hevc"),
    *("asf", "flv", "ogg", "gif"),
)
# first bytes of what is often taken for a video, for a better message than "cannot be opened"
OTHERS = {
    b"PK\x03\x04": "a ZIP archive; unpack it first",
    b"\x1f\x8b": "a gzip archive; unpack it first",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it first",
    b"Rar!": "a RAR archive; unpack it first",
    b"\xfd7zXZ": "an XZ archive; unpack it first",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"BM": "a picture",
    b"II*\x00": "a picture",
    b"MM\x00*": "a picture",
    b"%PDF": "a PDF document",
    b"#EXTM3U": "a playlist; send the video itself",
    b"ffconcat": "a playlist; send the video itself",
}


@dataclass(frozen=True)
class VideoLimits:
    """What a job's videos may come to.

    Attributes:
        minutes: longest video, as its header says.
        frame_megapixels: largest frame.
        gigapixels: most pixels of all frames of a video together.
    """

    minutes: float
    frame_megapixels: float
    gigapixels: float

    @property
    def decoding(self) -> DecodeLimits:
        """The same for the decoder, which believes no header."""
        return DecodeLimits(int(self.frame_megapixels * 1e6), int(self.gigapixels * 1e9))


def check_video(path: Path, shown: str, limits: VideoLimits) -> None:
    """UserError for what is no video, or larger than allowed as its header says.

    Args:
        path: the file.
        shown: its name in messages.
        limits: what is allowed.
    """
    import av
    import av.error

    with open(path, "rb") as file:
        start = file.read(16)
    for magic, words in OTHERS.items():
        if start.startswith(magic):
            raise UserError(f"{shown}: expected a video, found {words}")
    options = {
        "format_whitelist": ",".join(FORMATS),
        "max_pixels": str(int(limits.frame_megapixels * 1e6)),  # for the frames it looks at
    }
    try:
        with av.open(f"file:{path}", metadata_errors="replace", options=options) as container:
            if container.streams.best("video") is None:
                raise UserError(f"{shown}: expected a video, found a file without a video stream")
            contexts = [stream.codec_context for stream in container.streams.video]
            if None in contexts:
                raise UserError(
                    f"{shown}: expected a video, found a codec that cannot be decoded here; "
                    "re-encode it, for example as H.264"
                )
            size = max(((one.width, one.height) for one in contexts), key=math.prod)
            width, height = size
            if width * height > limits.frame_megapixels * 1e6 or not width * height:
                found = f"{width}x{height}" if width * height else "none that may be decoded"
                raise UserError(
                    f"{shown}: expected frames of at most {limits.frame_megapixels:g} megapixels, "
                    f"found {found}; scale the video down"
                )
            length = (container.duration or 0) / 1e6
            if length > 60 * limits.minutes:
                raise UserError(
                    f"{shown}: expected at most {limits.minutes:g} minutes, found "
                    f"{length / 60:.1f}; cut the video"
                )
    except (av.error.FFmpegError, ValueError) as error:
        raise UserError(f"{shown}: expected a video, found a file that cannot be opened") from error
