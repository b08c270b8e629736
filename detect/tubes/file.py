"""A tube file: JSON `stad-tubes/1`.

`{"schema": "stad-tubes/1", "names": [..], "linking": {..}, "videos": {name: {"fps": .. or null,
"times": [..], "num_frames": .. or null, "tubes": [{"id": 0, "class": name, "score": ..,
"start": first frame, "boxes": [[x, y, width, height], ..]}, ..]}}}`: one box for each consecutive
frame from `start` on, in pixels of the video, to a thousandth of a pixel. Ids count from 0 in each
video. "times", the seconds of each frame from the first, is there only where the rate varies, and a
tube's "actor", an id, only where it is known.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from stadet.detect.boxes import xywh_to_xyxy, xyxy_to_xywh
from stadet.detect.clock import Clock
from stadet.detect.structures import Tube
from stadet.detect.tubes.tube_set import TubeSet, VideoTubes
from stadet.engine.errors import UserError, neighbours
from stadet.engine.files import atomic_write
from stadet.engine.reading import (
    finite_number,
    frame_rate,
    guarded,
    read_json,
    safe_label,
    safe_name,
    shown,
    whole_number,
)
from stadet.engine.signatures import checked

SCHEMA = "stad-tubes/1"


@checked
def write_tubes(path: str | os.PathLike, tubes: TubeSet) -> None:
    """Write a tube file, whole or not at all.

    Args:
        path: the file to write.
        tubes: its content.
    """
    document = {
        "schema": SCHEMA,
        "names": list(tubes.names),
        "linking": dict(tubes.linking),
        "videos": {
            video.name: {
                "fps": video.fps,
                **({} if video.times is None else {"times": video.times.round(6).tolist()}),
                "num_frames": video.num_frames,
                "tubes": [
                    {
                        "id": number,
                        "class": tubes.names[tube.label],
                        "score": tube.score,
                        "start": tube.start,
                        **({} if tube.actor is None else {"actor": tube.actor}),
                        "boxes": xyxy_to_xywh(tube.boxes).round(3).tolist(),
                    }
                    for number, tube in enumerate(video.tubes)
                ],
            }
            for video in tubes
        },
    }
    with atomic_write(path) as stream:
        json.dump(document, stream, allow_nan=False)
        stream.write("\n")


@checked
@guarded("a tube file")
def read_tubes(path: str | os.PathLike) -> TubeSet:
    """Read a tube file.

    Args:
        path: a `stad-tubes/1` JSON file, from `stad tubes`.

    Raises:
        UserError: for another file, naming the video and tube at fault.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: expected a tube file, found none; make one with stad tubes")
    document = read_json(path, "a tube file")
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        found = document.get("schema") if isinstance(document, dict) else type(document).__name__
        raise UserError(f'{path}: expected "schema": "{SCHEMA}", found {found!r}; make it again')
    names, videos = document.get("names"), document.get("videos")
    if not isinstance(names, list) or not isinstance(videos, dict):
        raise UserError(f'{path}: expected "names" as a list and "videos" as an object')
    place = {safe_label(name, f"{path}: names"): index for index, name in enumerate(names)}
    if len(place) < len(names):
        raise UserError(f"{path}: names: a name is given more than once")
    if not isinstance(document.get("linking") or {}, dict):
        raise UserError(f'{path}: expected "linking" as an object')
    return TubeSet(
        tuple(place),
        {name: _video(path, name, video, place) for name, video in videos.items()},
        document.get("linking") or {},
    )


def _video(path: Path, name: str, video: Any, place: dict[str, int]) -> VideoTubes:
    where = f"{path}: video {safe_name(name, str(path))!r}"
    if not isinstance(video, dict) or not isinstance(video.get("tubes"), list):
        raise UserError(f'{where}: expected "tubes" as a list')
    fps, num_frames = video.get("fps"), video.get("num_frames")
    fps = None if fps is None else frame_rate(fps, where)
    if num_frames is not None:
        num_frames = whole_number(num_frames, f"{where}: num_frames", least=0)
    tubes = [
        _tube(f"{where}: tube {number}", tube, number, place)
        for number, tube in enumerate(video["tubes"])
    ]
    return VideoTubes(name, tubes, fps, num_frames, _times(where, video.get("times"), fps))


def _times(where: str, times: Any, fps: float | None) -> np.ndarray | None:
    if times is None:
        return None
    try:
        clock = Clock(fps or 1.0, np.array(times, dtype=np.float64))
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f'{where}: expected "times" as seconds that rise ({error})') from None
    if fps is None:
        raise UserError(f'{where}: expected "fps" along with "times", found none')
    return clock.times


def _tube(where: str, tube: Any, number: int, place: dict[str, int]) -> Tube:
    if not isinstance(tube, dict) or tube.get("id") != number:
        raise UserError(f'{where}: expected an object with "id": {number}, ids counting from 0')
    label = tube.get("class")
    if not isinstance(label, str) or label not in place:
        raise UserError(
            f"{where}: unknown class {shown(label)}{neighbours(str(label)[:200], place)}; "
            "expected one of the file's names"
        )
    start = whole_number(tube.get("start"), f"{where}: start", least=0)
    score = finite_number(tube.get("score"), f"{where}: score")
    actor = tube.get("actor")
    if actor is not None:
        actor = whole_number(actor, f"{where}: actor", least=0)
    try:
        boxes = np.array(tube.get("boxes"), dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        boxes = np.zeros(0)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not len(boxes) or not np.isfinite(boxes).all():
        raise UserError(f'{where}: expected "boxes" as rows of four finite numbers, one a frame')
    return Tube(start, xywh_to_xyxy(boxes), place[label], score, actor)
