"""Tubes as ACT, MOC and MultiSports publish them: one pickle of a whole data set.

`labels` names the classes; `gttubes[video][class]` is a list of (n, 5) arrays of frame (from 1),
x1, y1, x2, y2 in pixels of an image of `resolution[video]` (height, width); `nframes[video]`;
`train_videos` and `test_videos` hold one list of videos for each published split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stadet.datasets.footage.info import VideoInfo, find_video
from stadet.datasets.formats.rows import build_video, class_index, rescale
from stadet.datasets.formats.safe_pickle import load_pickle
from stadet.detect.structures import AnnotationSet, VideoAnnotations
from stadet.engine.errors import UserError
from stadet.engine.findings import Findings
from stadet.engine.reading import (
    MAX_FRAME,
    MAX_FRAMES,
    guarded,
    image_side,
    only_file,
    safe_label,
    safe_name,
    shown,
    whole_number,
)

_KEYS = ("labels", "gttubes", "nframes", "resolution")
_FPS = 25.0  # nominal, for reading without the footage


@guarded("a pickle of ACT's kind")
def read_act_pickle(
    path: str | Path,
    *,
    videos: Mapping[str, VideoInfo] | None = None,
    names: Sequence[str] | None = None,
    findings: Findings | None = None,
    annotation_size: tuple[int, int] | None = None,
) -> AnnotationSet:
    """Read such a pickle, or the only one in a folder; all frames of a video are looked at, each
    tube is a track.

    videos: facts of the footage, to whose size boxes are scaled; entries without footage are left
    out and counted. Without it sizes and lengths are the file's and the rate is a nominal 25.
    names: order of classes, by default the file's; annotation_size: (height, width) that the boxes
    refer to, by default the file's `resolution`. UserError, naming the video and the tube, for
    anything that is no such tube, frames past the end, and another length than the footage's.
    """
    path = only_file(path, (".pkl", ".pickle"), "a pickle of ACT's kind")
    findings = findings if findings is not None else Findings()
    content = _content(path)
    labels = [safe_label(name, f"{path}: labels") for name in content["labels"]]
    if len(set(labels)) < len(labels):
        raise UserError(f"{path}: labels: a name is given more than once")
    order = tuple(names) if names else tuple(labels)
    columns = [class_index(name, order, path, "labels", findings) for name in labels]
    result: dict[str, VideoAnnotations] = {}
    for name, tubes in content["gttubes"].items():
        stated = _info(content, safe_name(name, str(path)), path)
        info = stated
        if videos is not None:
            key = find_video(stated.name, videos)
            if key is None:
                findings.note(path, "annotated videos without footage left out", first=stated.name)
                continue
            info = videos[key]
            if info.num_frames < stated.num_frames:
                raise UserError(
                    f"{path}: {name}: expected {stated.num_frames} frames, found {info.num_frames} "
                    "in the footage; it is another cut, or truncated"
                )
        if info.name in result:
            raise UserError(f"{path}: two entries are of video {info.name!r}, the second {name!r}")
        rows = _rows(tubes, len(labels), f"{path}: {name}")
        result[info.name] = build_video(
            info,
            len(order),
            frames=rows[:, 0].astype(np.int64) - 1,
            boxes=rescale(rows[:, 1:5], info, annotation_size or stated.size, path, findings),
            classes=[columns[int(label)] for label in rows[:, 5]],
            tracks=rows[:, 6].astype(np.int64),
            looked_at=np.arange(info.num_frames) < stated.num_frames,
            source=path,
            findings=findings,
        )
    return AnnotationSet(order, result)


@guarded("a pickle of ACT's kind")
def read_act_split(path: str | Path, side: str, number: int) -> list[str]:
    """Names of the videos of `side` ("train" or "test") in published split `number`, from 1."""
    content = _content(Path(path))
    splits = content.get(f"{side}_videos")
    if not isinstance(splits, list) or not 1 <= number <= len(splits):
        found = len(splits) if isinstance(splits, list) else 0
        raise UserError(f"{path}: expected split {number} of {side}_videos, found {found} splits")
    return [safe_name(name, f"{path}: {side}_videos") for name in splits[number - 1]]


def _content(path: Path) -> dict[str, Any]:
    content = load_pickle(path)
    missing = [key for key in _KEYS if not isinstance(content, dict) or key not in content]
    if missing:
        found = ", ".join(map(str, list(content)[:5])) if isinstance(content, dict) else "no dict"
        raise UserError(f"{path}: expected the keys {', '.join(_KEYS)}, found {found[:200]}")
    for key in ("gttubes", "nframes", "resolution"):
        if not isinstance(content[key], Mapping):
            raise UserError(f"{path}: {key}: expected a dict, found {shown(content[key])}")
    return content


def _info(content: Mapping[str, Any], name: str, path: Path) -> VideoInfo:
    try:
        height, width = (
            image_side(side, f"{path}: {name}: resolution") for side in content["resolution"][name]
        )
        length = whole_number(
            content["nframes"][name], f"{path}: {name}: nframes", least=0, most=MAX_FRAMES
        )
        return VideoInfo(name, (height, width), _FPS, length)
    except (KeyError, TypeError, ValueError):
        raise UserError(
            f"{path}: {name}: expected its nframes and its resolution (height, width)"
        ) from None


def _rows(tubes: Any, num_labels: int, where: str) -> np.ndarray:
    """(M, 7): frame, box, label and number of the tube, over all tubes of a video."""
    parts = [np.zeros((0, 7))]
    if not isinstance(tubes, Mapping):
        raise UserError(f"{where}: expected a dict of class to tubes, found {type(tubes).__name__}")
    for label, found in tubes.items():
        if not isinstance(label, int | np.integer) or not 0 <= label < num_labels:
            raise UserError(f"{where}: expected a class of 0..{num_labels - 1}, found {label!r}")
        if not isinstance(found, list | tuple | np.ndarray):
            raise UserError(f"{where}: expected a list of tubes for class {label}")
        for tube in found:
            array = np.asarray(tube)
            if array.dtype.kind not in "biuf" or array.ndim != 2 or array.shape[1] != 5:
                raise UserError(
                    f"{where}: expected tubes (n, 5) of frame, x1, y1, x2, y2; found one of shape "
                    f"{array.shape} for class {label}"
                )
            array = array.astype(np.float64)
            numbers = array[:, 0]
            if (numbers != np.round(numbers)).any() or (np.abs(numbers) > MAX_FRAME).any():
                raise UserError(f"{where}: expected whole frame numbers in a tube of class {label}")
            constant = np.tile([float(label), len(parts) - 1.0], (len(array), 1))
            parts.append(np.concatenate([array, constant], axis=1))
    return np.concatenate(parts)
