"""Lists of videos or frames, in the forms that published splits come in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stadet.datasets.footage.info import find_video, parse_entry
from stadet.detect.structures import AnnotationSet
from stadet.engine.errors import UserError, neighbours
from stadet.engine.reading import read_text

_PUBLISHED = re.compile(r"(?P<source>.+):(?P<side>train|test)(?P<number>\d)")


def read_video_list(
    entries: Sequence[str] | str, annotations: AnnotationSet, folder: Path
) -> dict[str, np.ndarray]:
    """video name -> (F,) bool: the frames that a list names.

    entries: names written in the data set file, each of which must be a video of the set; or the
    path of a text file, relative to `folder`, which may name videos of a larger set besides. Also
    `GT.pkl:train1` (a pickle of ACT's kind) and `splits:test1` (a folder of HMDB51's and J-HMDB's
    files): that side of that published split.
    UserError for unknown names, a missing file, and a file that names no video of the set.
    """
    if isinstance(entries, str):
        path, strict = folder / entries, False
        lines = [line for line in _list_lines(path) if line.strip()]
    else:
        path, lines, strict = None, list(entries), True
    masks: dict[str, np.ndarray] = {}
    found: dict[str, str | None] = {}
    for line in lines:
        name, frame = (line, None) if strict and line in annotations.videos else parse_entry(line)
        if name not in found:
            found[name] = find_video(name, annotations.videos)
        video = annotations.videos.get(found[name] or "")
        if video is None:
            if strict:
                near = neighbours(name, annotations.videos)
                raise UserError(f"split: lists: no annotated video {name!r}{near}")
            continue
        mask = masks.setdefault(video.name, np.zeros(video.num_frames, dtype=bool))
        if frame is None:
            mask[:] = True
        elif 0 <= frame < video.num_frames:
            mask[frame] = True
        else:
            raise UserError(
                f"{path}: {line.strip()}: video {video.name!r} has {video.num_frames} frames; "
                "the list belongs to another cut of it"
            )
    if not masks:
        raise UserError(f"{path or 'split: lists'}: names no video of the data set")
    return masks


def _list_lines(path: Path) -> list[str]:
    if (published := _PUBLISHED.fullmatch(str(path))) and not path.exists():
        source, side, number = Path(published["source"]), published["side"], published["number"]
        if source.is_dir():
            from stadet.datasets.formats.jhmdb21 import read_jhmdb21_split

            return read_jhmdb21_split(source, side, int(number))
        from stadet.datasets.formats.act_pickle import read_act_split

        return read_act_split(source, side, int(number))
    return read_text(path, "a text file of video names").splitlines()
