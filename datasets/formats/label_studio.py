"""Label Studio's JSON: tasks with regions of type `videorectangle`, from its export and for import.

A region has a `sequence` of keyframes: `frame` (from 1), `x`, `y`, `width`, `height` in percent of
the picture, `rotation` in degrees around the top left corner, and `enabled`: whether the region
goes on after this frame. Between an enabled keyframe and the next it is interpolated linearly;
after an enabled last one it stays to the end (as Label Studio's SDK fills a sequence in).

Label Studio numbers frames by the rate of its project, not of the video: where `framesCount` is not
the video's length, frames are converted in proportion, and it is said.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote
from xml.sax.saxutils import quoteattr

import numpy as np

from stadet.datasets.footage.info import VideoInfo, find_video
from stadet.datasets.formats.keyframes import keyframes
from stadet.datasets.formats.rows import build_video, class_index
from stadet.detect.structures import NO_TRACK, AnnotationSet, VideoAnnotations
from stadet.engine.errors import UserError
from stadet.engine.files import atomic_write
from stadet.engine.findings import Findings
from stadet.engine.reading import (
    MAX_FRAMES,
    finite_number,
    guarded,
    only_file,
    read_json,
    safe_label,
    shown,
    whole_number,
)

_WHAT = "Label Studio's JSON"
_KIND = "videorectangle"
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")  # what Label Studio puts before an uploaded file's name


@guarded(_WHAT)
def read_label_studio(
    path: str | Path,
    *,
    videos: Mapping[str, VideoInfo],
    names: Sequence[str] | None = None,
    findings: Findings | None = None,
) -> AnnotationSet:
    """Read an export of kind "JSON", or the only JSON file in a folder.

    Of a task the first annotation counts that was not cancelled; every frame of such a task was
    looked at. Tasks without one, and predictions, are left out.

    Args:
        path: the file.
        videos: facts of the footage; a task belongs to the video of its file's name, also without
            the prefix that an upload gets.
        names: order of classes (default: as they are met).
        findings: notes what was left out and converted.

    Raises:
        UserError: for a file of another kind (JSON-MIN, CSV), a task without a video, unknown
            labels, and numbers that are none.
    """
    path = only_file(path, (".json",), _WHAT)
    findings = findings if findings is not None else Findings()
    tasks = read_json(path, _WHAT)
    if not isinstance(tasks, list) or not all(
        isinstance(t, dict)
        and isinstance(t.get("data"), dict)
        and isinstance(t.get("annotations"), list)
        for t in tasks
    ):
        raise UserError(
            f"{path}: expected a list of tasks with data and annotations; export as JSON, not as "
            "JSON-MIN or CSV"
        )
    regions: dict[str, list[tuple[str, dict]]] = {}
    for place, task in enumerate(tasks):
        where = f"{path}: task {shown(task.get('id', place))}"
        results = _results(task, where)
        if results is None:
            findings.note(path, "tasks without an annotation left out", first=where)
            continue
        video = _video_of(task["data"], videos, where)
        if video in regions:
            raise UserError(f"{where}: another task of video {video!r}; leave one")
        regions[video] = _regions(results, where, path, findings)
    order = tuple(names) if names else _labels(regions)
    annotations = {}
    for video, own in regions.items():
        annotations[video] = _build(video, own, videos[video], order, path, findings)
    return AnnotationSet(order, annotations)


def _results(task: dict, where: str) -> list | None:
    for annotation in task["annotations"]:
        if not isinstance(annotation, dict) or not isinstance(annotation.get("result"), list):
            raise UserError(
                f"{where}: expected annotations with a result, found {shown(annotation)}"
            )
        if not annotation.get("was_cancelled"):
            return annotation["result"]
    return None


def _video_of(data: dict, videos: Mapping[str, VideoInfo], where: str) -> str:
    texts = [data["video"]] if isinstance(data.get("video"), str) else []
    texts += [value for value in data.values() if isinstance(value, str) and value not in texts]
    for text in texts:
        place = PurePosixPath(unquote(text.split("?d=")[-1].split("?")[0]))
        last = _UPLOADED.sub("", place.name)
        for name in (str(place).lstrip("/"), place.name, last):
            found = find_video(name, videos) or find_video(PurePosixPath(name).stem, videos)
            if found is not None:
                return found
    raise UserError(
        f"{where}: expected a video of the footage, found {shown(texts[0] if texts else data)}; "
        f"the footage has {', '.join(list(videos)[:5])}"
    )


def _regions(results: list, where: str, path: Path, findings: Findings) -> list[tuple[str, dict]]:
    """(place for messages, value) of each region that is a track of boxes."""
    regions = []
    for number, result in enumerate(results):
        value = result.get("value") if isinstance(result, dict) else None
        if not isinstance(value, dict):
            raise UserError(f"{where}: expected regions with a value, found {shown(result)}")
        if str(result.get("type", "")).lower() != _KIND:
            kind = shown(result.get("type"))
            findings.note(path, f"regions of type {kind} left out", first=where)
            continue
        if not value.get("labels"):
            findings.note(path, "regions without a label left out", first=f"{where}: {number}")
            continue
        if not isinstance(value["labels"], list) or not isinstance(value.get("sequence"), list):
            raise UserError(f"{where}: region {number}: expected labels and a sequence")
        regions.append((f"{where}: region {shown(result.get('id', number))}", value))
    return regions


def _labels(regions: Mapping[str, list[tuple[str, dict]]]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for own in regions.values():
        for where, value in own:
            for label in value["labels"]:
                found[safe_label(label, where)] = None
    return tuple(found)


def _build(
    name: str,
    regions: list[tuple[str, dict]],
    info: VideoInfo,
    names: tuple[str, ...],
    path: Path,
    findings: Findings,
) -> VideoAnnotations:
    frames, boxes, classes, tracks, lines = [], [], [], [], []
    for track, (where, value) in enumerate(regions):
        labels = [class_index(label, names, path, where, findings) for label in value["labels"]]
        at, own = _dense(value, info, where, path, findings)
        for label in dict.fromkeys(labels):
            frames.append(at)
            boxes.append(own)
            classes.append(np.full(len(at), label))
            tracks.append(np.full(len(at), track))
            lines += [where] * len(at)
    empty = np.zeros(0, dtype=np.int64)
    return build_video(
        info,
        len(names),
        frames=np.concatenate([empty, *frames]),
        boxes=np.concatenate([np.zeros((0, 4)), *boxes]),
        classes=np.concatenate([empty, *classes]),
        tracks=np.concatenate([empty, *tracks]),
        lines=lines,
        looked_at=np.ones(info.num_frames, dtype=bool),
        source=path,
        findings=findings,
    )


def _dense(
    value: dict, info: VideoInfo, where: str, path: Path, findings: Findings
) -> tuple[np.ndarray, np.ndarray]:
    """(frames (L,), boxes xyxy pixels (L, 4)) of a region, every visible frame."""
    count = value.get("framesCount")
    total = info.num_frames
    if count is not None:
        total = whole_number(count, f"{where}: framesCount", least=1, most=MAX_FRAMES)
    ratio = 1.0
    if abs(total - info.num_frames) > 1:
        ratio = info.num_frames / total
        findings.note(
            path,
            "regions numbered by another frame rate, converted in proportion",
            first=f"{where}: {total} frames, the video has {info.num_frames}",
        )
    rows = []
    for key in value["sequence"]:
        if not isinstance(key, dict):
            raise UserError(f"{where}: expected keyframes, found {shown(key)}")
        frame = whole_number(key.get("frame"), f"{where}: frame", least=1, most=MAX_FRAMES)
        sides = [finite_number(key.get(k), f"{where}: {k}") for k in ("x", "y", "width", "height")]
        turn = finite_number(key.get("rotation") or 0, f"{where}: rotation")
        position = min(round((frame - 1) * ratio), info.num_frames - 1) if ratio != 1 else frame - 1
        rows.append((position, [*sides, turn], bool(key.get("enabled", True))))
    rows.sort(key=lambda row: row[0])
    frames, shapes = [], []
    for (first, shape, enabled), following in zip(rows, [*rows[1:], None], strict=True):
        if following is None:
            stop = info.num_frames if enabled else first + 1
            ahead = shape
        else:
            stop = following[0] if enabled else min(first + 1, following[0])
            ahead = following[1]
        at = np.arange(first, max(stop, first))
        length = (following[0] if following is not None else stop) - first
        share = ((at - first) / max(length, 1))[:, None]
        frames.append(at)
        shapes.append(np.array(shape) * (1 - share) + np.array(ahead) * share)
    if not frames:
        return np.zeros(0, dtype=np.int64), np.zeros((0, 4))
    found = np.concatenate(shapes)
    if found[:, 4].any():
        findings.note(path, "turned boxes read as the boxes around them", first=where)
    return np.concatenate(frames), _upright(found, info.size)


def _upright(shapes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(L, 5) x, y, width, height in percent and degrees, turned around the top left corner, to the
    upright boxes around them, xyxy pixels."""
    height, width = size
    x, y = shapes[:, 0] * width / 100, shapes[:, 1] * height / 100
    w, h = shapes[:, 2] * width / 100, shapes[:, 3] * height / 100
    cos, sin = np.cos(np.radians(shapes[:, 4])), np.sin(np.radians(shapes[:, 4]))
    corners_x = np.stack([x, x + w * cos, x - h * sin, x + w * cos - h * sin])
    corners_y = np.stack([y, y + w * sin, y + h * cos, y + w * sin + h * cos])
    return np.stack(
        [corners_x.min(0), corners_y.min(0), corners_x.max(0), corners_y.max(0)], axis=1
    )


def write_label_studio(
    path: str | Path,
    annotations: AnnotationSet,
    *,
    files: Mapping[str, str] | None = None,
    keyframe_tolerance: float = 0.5,
) -> None:
    """Write tasks to import, and next to them `NAME.xml`, the labelling configuration.

    A track is a region, with all labels that it has the whole time; boxes without a track are
    regions of one frame. Label Studio cannot say which frames were looked at.

    Args:
        path: the JSON file.
        annotations: what to write.
        files: name of a video -> where Label Studio finds it (default: NAME.mp4).
        keyframe_tolerance: how far interpolated boxes may be off, pixels a side.
    """
    path = Path(path)
    tasks = [
        _task(video, annotations.names, (files or {}).get(video.name), keyframe_tolerance)
        for video in annotations.objects()
    ]
    rates = {video.fps for video in annotations}
    with atomic_write(path) as stream:
        json.dump(tasks, stream, indent=1, ensure_ascii=False)
    rate = f' framerate="{rates.pop():g}"' if len(rates) == 1 else ""
    labels = "".join(f"    <Label value={quoteattr(name)}/>\n" for name in annotations.names)
    with atomic_write(path.with_suffix(".xml")) as stream:
        stream.write(
            f'<View>\n  <Labels name="labels" toName="video">\n{labels}  </Labels>\n'
            f'  <Video name="video" value="$video"{rate}/>\n'
            '  <VideoRectangle name="box" toName="video"/>\n</View>\n'
        )


def _task(
    video: VideoAnnotations, names: tuple[str, ...], file: str | None, tolerance: float
) -> dict[str, Any]:
    height, width = video.size
    regions = []
    for number, (labels, rows) in enumerate(_tracks(video)):
        sequence: list[dict[str, Any]] = []
        frames = video.frames[rows]
        for run in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(frames) > 1) + 1):
            own = video.boxes[rows[run]]
            places = np.flatnonzero(keyframes(own, tolerance)).tolist()
            for place in places:
                x1, y1, x2, y2 = own[place].tolist()
                frame = int(frames[run[place]])
                sequence.append(
                    {
                        "frame": frame + 1,
                        "time": round(float(video.clock.seconds(frame)), 4),
                        "x": 100 * x1 / width,
                        "y": 100 * y1 / height,
                        "width": 100 * (x2 - x1) / width,
                        "height": 100 * (y2 - y1) / height,
                        "rotation": 0,
                        "enabled": place != places[-1],
                    }
                )
        value = {
            "framesCount": video.num_frames,
            "duration": round(float(video.clock.seconds(video.num_frames)), 4),
            "sequence": sequence,
            "labels": [names[label] for label in labels],
        }
        regions.append(
            {
                "id": f"track{number}",
                "from_name": "box",
                "to_name": "video",
                "type": _KIND,
                "origin": "manual",
                "value": value,
            }
        )
    data = {"video": file or f"{video.name}.mp4"}
    return {"data": data, "annotations": [{"result": regions}]}


def _tracks(video: VideoAnnotations) -> list[tuple[list[int], np.ndarray]]:
    """(labels, rows in order of frame) of each region: a track, cut where its labels change."""
    regions = []
    for track in np.unique(video.track_ids).tolist():
        rows = np.flatnonzero(video.track_ids == track)
        parts = [rows]
        if track == NO_TRACK:
            parts = [np.array([row]) for row in rows]
        else:
            changes = (np.diff(video.labels[rows].astype(np.int8), axis=0) != 0).any(axis=1)
            parts = np.split(rows, np.flatnonzero(changes | (np.diff(video.frames[rows]) == 0)) + 1)
        for part in parts:
            regions.append((np.flatnonzero(video.labels[part[0]]).tolist(), part))
    regions.sort(key=lambda region: int(region[1][0]))
    return regions
