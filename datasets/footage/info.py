"""Facts of a video that readers of annotations need."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath

import numpy as np

from stadet.detect.clock import Clock
from stadet.engine.errors import UserError
from stadet.engine.reading import parse_whole, shown

_FRAME = re.compile(r"(?P<video>.+)/(?P<number>[0-9]+)\.(txt|jpg|jpeg|png)")
_PREFIXES = ("labels/", "rgb-images/")  # YOWOv2 writes `labels/Class/video/00001.txt`
_SUFFIX = re.compile(r"\.(avi|mp4|mkv|mov|webm|m4v)$", re.IGNORECASE)


@dataclass(frozen=True)
class VideoInfo:
    """Facts of a video, known before its annotations are read.

    Attributes:
        name: unique in its set.
        size: (height, width) in pixels.
        fps: frames a second, the mean where the rate varies.
        num_frames: by counting.
        times: (F,) seconds of each frame from the first where the rate varies; None: frame / fps.
        first_number: the number of the first image of a frame folder; None of a video file.
    """

    name: str
    size: tuple[int, int]
    fps: float
    num_frames: int
    times: np.ndarray | None = field(default=None, compare=False)
    first_number: int | None = None

    @cached_property
    def clock(self) -> Clock:
        """Converts between frames and seconds."""
        return Clock(self.fps, self.times)


def find_video(name: str, videos: Mapping[str, object]) -> str | None:
    """The key in `videos` that annotations mean by `name`, or `None`.

    A video in a folder of folders is called `Class/video`. Annotations may name it in full, by its
    last part alone, with a folder that the footage does not have, or with its file's suffix.
    Iterates over names only, so no video is opened. UserError where the last part alone fits
    several videos.
    """
    if name in videos:
        return name
    if _SUFFIX.search(name) and (bare := find_video(_SUFFIX.sub("", name), videos)) is not None:
        return bare
    last = PurePosixPath(name).name
    if last in videos:
        return last
    found = [key for key in videos if PurePosixPath(key).name == last]
    if "/" in name:  # another folder's video of the same last name is another video
        found = [key for key in found if key.endswith(f"/{name}") or name.endswith(f"/{key}")]
    if len(found) > 1:
        raise UserError(
            f"expected one video called {name!r}, found {', '.join(sorted(found))}; "
            "name it with its folder in the annotations"
        )
    return found[0] if found else None


def parse_entry(line: str) -> tuple[str, int | None]:
    """(video, frame or None) of one line.

    Understands `Class/video/00001.txt` with or without `labels/` (YOWO; image 1 is frame 0),
    `Class/v_x.avi 12` (UCF101, the number being its class) and plain names.
    """
    text = line.strip()
    for prefix in _PREFIXES:
        text = text.removeprefix(prefix)
    if match := _FRAME.fullmatch(text):
        number = parse_whole(match["number"], f"{shown(line)}: the number of a frame")
        return match["video"], number - 1
    text = re.sub(r"(\.\w+)\s+[0-9]+$", r"\1", text)
    return _SUFFIX.sub("", text), None
