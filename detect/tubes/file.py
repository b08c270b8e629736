"""A tube file: JSON `stad-tubes/1`.

`{"schema": "stad-tubes/1", "names": [..], "linking": {..}, "videos": {name: {"fps": .. or null,
"times": [..], "num_frames": .. or null, "tubes": [{"id": 0, "class": name, "score": ..,
"start": first frame, "boxes": [[x, y, width, height], ..]}, ..]}}}`: one box for each consecutive
frame from `start` on, in pixels of the video, to a thousandth of a pixel. Ids count from 0 in each
video. "times", the seconds of each frame from the first, is there only where the rate varies.
"""

from __future__ import annotations

import json
import math
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

SCHEMA = "stad-tubes/1"


def write_tubes(path: str | os.PathLike, tubes: TubeSet) -> None:
    """Write a tube file, whole or not at all."""
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


def read_tubes(path: str | os.PathLike) -> TubeSet:
    """Read a tube file; `UserError` naming video and tube for anything that is not one."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: expected a tube file, found none; make one with stad tubes")
    try:
        document = json.loads(path.read_bytes())
    except ValueError as error:
        raise UserError(f"{path}: expected JSON, found {error}; write the file again") from None
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        found = document.get("schema") if isinstance(document, dict) else type(document).__name__
        raise UserError(f'{path}: expected "schema": "{SCHEMA}", found {found!r}; make it again')
    names, videos = document.get("names"), document.get("videos")
    if not isinstance(names, list) or not isinstance(videos, dict):
        raise UserError(f'{path}: expected "names" as a list and "videos" as an object')
    place = {str(name): index for index, name in enumerate(names)}
    return TubeSet(
        tuple(place),
        {name: _video(path, name, video, place) for name, video in videos.items()},
        document.get("linking") or {},
    )


def _video(path: Path, name: str, video: Any, place: dict[str, int]) -> VideoTubes:
    where = f"{path}: video {name!r}"
    if not isinstance(video, dict) or not isinstance(video.get("tubes"), list):
        raise UserError(f'{where}: expected "tubes" as a list')
    fps, num_frames = video.get("fps"), video.get("num_frames")
    if fps is not None and not (isinstance(fps, int | float) and fps > 0):
        raise UserError(f'{where}: expected "fps" above 0 or null, found {fps!r}')
    if num_frames is not None and not (isinstance(num_frames, int) and num_frames >= 0):
        raise UserError(f'{where}: expected "num_frames" from 0 on or null, found {num_frames!r}')
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
    except (TypeError, ValueError) as error:
        raise UserError(f'{where}: expected "times" as seconds that rise ({error})') from None
    if fps is None:
        raise UserError(f'{where}: expected "fps" along with "times", found none')
    return clock.times


def _tube(where: str, tube: Any, number: int, place: dict[str, int]) -> Tube:
    if not isinstance(tube, dict) or tube.get("id") != number:
        raise UserError(f'{where}: expected an object with "id": {number}, ids counting from 0')
    if tube.get("class") not in place:
        raise UserError(
            f"{where}: unknown class {tube.get('class')!r}"
            f"{neighbours(str(tube.get('class')), place)}; expected one of the file's names"
        )
    start, score = tube.get("start"), tube.get("score")
    scored = isinstance(score, int | float) and math.isfinite(score)
    if not (isinstance(start, int) and start >= 0) or not scored:
        raise UserError(
            f'{where}: expected "start" from 0 on and a finite "score", '
            f"found {start!r} and {score!r}"
        )
    try:
        boxes = np.array(tube.get("boxes"), dtype=np.float64)
    except (TypeError, ValueError):
        boxes = np.zeros(0)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not len(boxes) or not np.isfinite(boxes).all():
        raise UserError(f'{where}: expected "boxes" as rows of four finite numbers, one a frame')
    return Tube(start, xywh_to_xyxy(boxes), place[tube["class"]], float(score))
