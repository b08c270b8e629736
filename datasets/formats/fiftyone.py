"""FiftyOne's own video format on disk (`FiftyOneVideoLabelsDataset`, labels as ETA's VideoLabels).

A folder with `manifest.json`, which names each video's file and its labels, and the labels: frames
numbered from 1 with objects whose box is in shares of the picture and whose `index` is the track.
FiftyOne itself is not needed to read or write it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from stadet.datasets.footage.info import VideoInfo, find_video
from stadet.datasets.formats.rows import build_video, class_index
from stadet.detect.structures import NO_TRACK, AnnotationSet, VideoAnnotations
from stadet.engine.errors import UserError
from stadet.engine.files import atomic_write
from stadet.engine.findings import Findings
from stadet.engine.reading import (
    MAX_FRAMES,
    finite_number,
    guarded,
    parse_whole,
    path_below,
    read_json,
    safe_label,
    shown,
    whole_number,
)

MANIFEST = "manifest.json"
_WHAT = "FiftyOne's video labels"
_DATASET = "eta.core.datasets.LabeledVideoDataset"
_OBJECT = "eta.core.objects.DetectedObject"


@guarded(_WHAT)
def read_fiftyone(
    path: str | Path,
    *,
    videos: Mapping[str, VideoInfo],
    names: Sequence[str] | None = None,
    findings: Findings | None = None,
) -> AnnotationSet:
    """Read a folder that FiftyOne exported as `FiftyOneVideoLabelsDataset`, or its manifest.

    The frames that the labels list, with objects or without, were looked at. Objects of one frame
    with the same index and box are one box of several classes.

    Args:
        path: the folder.
        videos: facts of the footage; a record belongs to the video of its data file's name.
        names: order of classes (default: as they are met).
        findings: notes what was left out.

    Raises:
        UserError: for missing or damaged files, unknown labels, frames past the end, numbers that
            are none, and labels outside of the folder.
    """
    findings = findings if findings is not None else Findings()
    path = Path(path)
    manifest = path / MANIFEST if path.is_dir() else path
    content = read_json(manifest, _WHAT)
    index = content.get("index") if isinstance(content, dict) else None
    if not isinstance(index, list):
        raise UserError(
            f"{manifest}: expected an index of data and labels; export from FiftyOne as "
            "FiftyOneVideoLabelsDataset"
        )
    rows: dict[str, list[tuple[int, Any, str, Any]]] = {}
    frames: dict[str, list[int]] = {}
    for record in index:
        if not isinstance(record, dict) or not all(
            isinstance(record.get(key), str) for key in ("data", "labels")
        ):
            raise UserError(f"{manifest}: expected data and labels, found {shown(record)}")
        video = _find(record["data"], videos)
        if video is None:
            findings.note(manifest, "videos without footage left out", first=record["data"][:200])
            continue
        if video in rows:
            raise UserError(f"{manifest}: video {video!r} is listed twice; remove one")
        source = path_below(manifest.parent, record["labels"])
        frames[video], rows[video] = _objects(source, findings)
    found = dict.fromkeys(row[2] for own in rows.values() for row in own)
    order = tuple(names) if names else tuple(found)
    return AnnotationSet(
        order,
        {
            name: _build(videos[name], frames[name], own, order, manifest, findings)
            for name, own in rows.items()
        },
    )


def _find(data: str, videos: Mapping[str, VideoInfo]) -> str | None:
    place = PurePosixPath(data.replace("\\", "/"))
    return find_video(place.as_posix(), videos) or find_video(place.stem, videos)


def _objects(source: Path, findings: Findings) -> tuple[list[int], list[tuple[int, Any, str, Any]]]:
    """(frames from 0 that are listed, (frame, box in shares, label, index) of each object)."""
    content = read_json(source, _WHAT)
    frames = content.get("frames", {}) if isinstance(content, dict) else None
    if isinstance(frames, list):
        frames = {str(i): frame for i, frame in enumerate(frames)}
    if not isinstance(frames, dict):
        raise UserError(f"{source}: expected frames by their number, found {shown(content)}")
    if content.get("objects") or content.get("attrs"):
        findings.note(source, "labels of whole videos left out")
    listed, rows = [], []
    for key, frame in frames.items():
        if not isinstance(frame, dict):
            raise UserError(
                f"{source}: frame {shown(key)}: expected an object, found {shown(frame)}"
            )
        number = frame.get("frame_number")
        if number is None:
            number = parse_whole(key, f"{source}: frame", least=1, most=MAX_FRAMES)
        at = whole_number(number, f"{source}: frame_number", least=1, most=MAX_FRAMES) - 1
        listed.append(at)
        objects = frame.get("objects") or {}
        if isinstance(objects, dict):
            objects = objects.get("objects", [])
        if not isinstance(objects, list):
            raise UserError(f"{source}: frame {at + 1}: expected a list of objects")
        for each in objects:
            where = f"{source}: frame {at + 1}"
            box = each.get("bounding_box") if isinstance(each, dict) else None
            if not isinstance(box, dict):
                raise UserError(
                    f"{where}: expected objects with a bounding_box, found {shown(each)}"
                )
            if each.get("label") is None:
                findings.note(source, "objects without a label left out", first=where)
                continue
            sides = [
                finite_number((box.get(corner) or {}).get(axis), f"{where}: {corner}.{axis}")
                for corner in ("top_left", "bottom_right")
                for axis in ("x", "y")
            ]
            track = each.get("index")
            if track is not None:
                track = whole_number(track, f"{where}: index")
            rows.append((at, sides, safe_label(each["label"], where), track))
    return listed, rows


def _build(
    info: VideoInfo,
    frames: list[int],
    rows: list[tuple[int, Any, str, Any]],
    names: tuple[str, ...],
    source: Path,
    findings: Findings,
) -> VideoAnnotations:
    height, width = info.size
    past = [frame for frame in frames if frame >= info.num_frames]
    if past:
        raise UserError(
            f"{source}: {info.name}: frame {past[0] + 1} (from 1): the video has "
            f"{info.num_frames}; the labels belong to another cut of it"
        )
    looked_at = np.zeros(info.num_frames, dtype=bool)
    looked_at[frames] = True
    boxes = np.array([row[1] for row in rows], dtype=np.float64).reshape(-1, 4)
    return build_video(
        info,
        len(names),
        frames=[row[0] for row in rows],
        boxes=boxes * [width, height, width, height],
        classes=[
            class_index(row[2], names, source, f"{info.name} frame {row[0] + 1}", findings)
            for row in rows
        ],
        tracks=[NO_TRACK if row[3] is None else row[3] for row in rows],
        looked_at=looked_at,
        source=source,
        findings=findings,
    )


def write_fiftyone(
    folder: str | Path, annotations: AnnotationSet, *, files: Mapping[str, str] | None = None
) -> None:
    """Write `manifest.json` and `labels/<video>.json` into a folder.

    Args:
        folder: where to write.
        annotations: what to write; ignored regions are left out.
        files: name of a video -> its file, relative to the folder or absolute (default:
            data/NAME.mp4).
    """
    folder = Path(folder)
    index = []
    for video in annotations.objects():
        labels = f"labels/{video.name}.json"
        with atomic_write(path_below(folder, labels)) as stream:
            json.dump(_labels(video, annotations.names), stream, ensure_ascii=False)
        data = (files or {}).get(video.name, f"data/{video.name}.mp4")
        index.append({"data": data, "labels": labels})
    with atomic_write(folder / MANIFEST) as stream:
        content = {"type": _DATASET, "description": "", "index": index}
        json.dump(content, stream, indent=1, ensure_ascii=False)


def _labels(video: VideoAnnotations, names: tuple[str, ...]) -> dict[str, Any]:
    height, width = video.size
    frames: dict[str, Any] = {
        str(frame + 1): {"frame_number": frame + 1, "objects": {"objects": []}}
        for frame in np.flatnonzero(video.looked_at).tolist()
    }
    shares = video.boxes / [width, height, width, height]
    for row, label in np.argwhere(video.labels).tolist():
        x1, y1, x2, y2 = shares[row].tolist()
        each: dict[str, Any] = {
            "type": _OBJECT,
            "label": names[label],
            "bounding_box": {"top_left": {"x": x1, "y": y1}, "bottom_right": {"x": x2, "y": y2}},
        }
        if video.track_ids[row] != NO_TRACK:
            each["index"] = int(video.track_ids[row])
        frames[str(int(video.frames[row]) + 1)]["objects"]["objects"].append(each)
    return {"frames": frames}
