"""Names of single frames' files, as annotation programs and frame extractors give them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from stadet.datasets.footage.info import VideoInfo, find_video
from stadet.engine.errors import UserError

_ROBOFLOW = re.compile(r"(_(jpe?g|png))?\.rf\.[0-9A-Za-z]+$", re.IGNORECASE)
_FLAT = re.compile(r"(?P<video>.+?)[_. -]+(frame[_. -]*)?(?P<number>[0-9]{1,12})", re.IGNORECASE)
_LAST = re.compile(r"[0-9]{1,12}(?=[^0-9]*$)")
_NAMELESS = re.compile(r"(frame|image|img)?[_. -]*[0-9]{1,12}", re.IGNORECASE)
_SIDES = {".", "train", "val", "valid", "validation", "test", "images", "obj_train_data"}
_CONTAINER = re.compile(r"_(mp4|mov|avi|mkv|webm|m4v)$", re.IGNORECASE)


def frame_place(name: str, videos: Mapping[str, object]) -> tuple[str, int] | None:
    """(video, number) of a frame from its file's name without suffix, `None` where it tells none.

    `<video>/<number>`, `<video>/<any word><number>`, `<video>_<number>`, and, where the footage is
    one video, `frame_<number>`. Roboflow's additions (kitchen_mp4-12_jpg.rf.0a1b) are taken off;
    folders that the footage does not have (train, val) are passed over. Which number the first
    frame has is for the reader to say.
    """
    path = PurePosixPath(name)
    stem = _ROBOFLOW.sub("", path.name)
    number = _LAST.search(stem)
    if number is None:
        return None
    folder = path.parent.as_posix()
    if folder != "." and (video := find_video(folder, videos)) is not None:
        return video, int(number[0])
    if flat := _FLAT.fullmatch(path.with_name(stem).as_posix()):
        for shown in (flat["video"], _CONTAINER.sub("", flat["video"])):
            if (video := find_video(shown, videos)) is not None:
                return video, int(flat["number"])
    if len(videos) == 1 and _NAMELESS.fullmatch(stem) and set(path.parts[:-1]) <= _SIDES:
        return next(iter(videos)), int(number[0])
    return None


def first_number(info: VideoInfo, first_frame: int | None) -> int:
    """The number of a video's first frame: as given, else that of a frame folder, else 0."""
    return first_frame if first_frame is not None else info.first_number or 0


def expect_frames(file: Path, info: VideoInfo, numbers: Sequence[int], first: int) -> None:
    """UserError, naming `file`, where one of the numbers is no frame of the video."""
    lowest, highest = min(numbers), max(numbers)
    if lowest >= first and highest < first + info.num_frames:
        return
    where = f"frames {first}..{first + info.num_frames - 1} of video {info.name!r}"
    if highest - lowest >= info.num_frames:
        advice = "the labels belong to another cut of it, or it is truncated"
    elif info.first_number is not None and lowest == 0:
        advice = "where label files count from 0, set first_frame: 0"
    else:
        start = 1 if highest <= info.num_frames and lowest >= 1 else lowest
        advice = f"where label files count from {start}, set first_frame: {start}"
    raise UserError(f"{file}: expected {where}, found numbers {lowest}..{highest}; {advice}")
