"""COCO-video JSON, the toolkit's interchange file for ground truth (COCO-VID style).

`videos {id, name, width, height, fps, length}` (and `times`, the seconds of each frame, where the
rate varies), `images {id, video_id, frame_id}` (0-based; the looked-at frames, boxes or not),
`categories {id, name}`, `annotations {id, image_id, category_id, track_id, bbox [x, y, w, h],
iscrowd}` in pixels of the video; `iscrowd` or `ignore` marks a region that counts neither way.
`length`, the number of frames, may be missing in files of other programs: then the video is taken
to end with its last image. COCO files of images alone, TAO's and YouTube-VIS's are read too
(`coco_layouts`). A box of several classes is one annotation a class, with the same track and bbox.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stadet.datasets.footage.info import VideoInfo, find_video
from stadet.datasets.formats.coco_layouts import as_coco_video
from stadet.datasets.formats.rows import build_video, class_index, rescale
from stadet.detect.boxes import xywh_to_xyxy, xyxy_to_xywh
from stadet.detect.clock import Clock
from stadet.detect.structures import NO_TRACK, AnnotationSet, VideoAnnotations
from stadet.engine.errors import UserError
from stadet.engine.files import atomic_write
from stadet.engine.findings import Findings
from stadet.engine.reading import (
    MAX_FRAMES,
    finite_number,
    frame_rate,
    guarded,
    image_side,
    only_file,
    read_json,
    safe_label,
    safe_name,
    shown,
    whole_number,
)

_DEFAULT_FPS = 25.0  # for files that state none and come without their footage
_WHAT = "COCO-video JSON"


@guarded(_WHAT)
def read_coco_video(
    path: str | Path,
    *,
    videos: Mapping[str, VideoInfo] | None = None,
    names: Sequence[str] | None = None,
    findings: Findings | None = None,
    annotation_size: tuple[int, int] | None = None,
    first_frame: int | None = None,
) -> AnnotationSet:
    """Read a COCO-video file, or the only JSON file in a folder; its images are the looked-at
    frames.

    videos: measured facts, which then overrule the file's (boxes are scaled where sizes differ);
    names: order of classes, by default that of the category ids; annotation_size: (height, width)
    that the boxes refer to, by default the file's; first_frame: the number in an image's name that
    means a video's first frame, of files without videos (`coco_layouts`).
    UserError for broken JSON, missing keys, unknown ids, duplicate names, frames past the end and a
    size whose sides are swapped.
    """
    path = only_file(path, (".json",), _WHAT)
    findings = findings if findings is not None else Findings()
    content = read_json(path, _WHAT)
    if isinstance(content, dict):
        content = as_coco_video(content, Path(path), videos, first_frame, findings)
    document = _Document(path, content, findings)
    order = tuple(names) if names else document.names
    column = document.columns(order)
    result: dict[str, VideoAnnotations] = {}
    total = 0
    for record in document.videos.values():
        info = document.info(record, videos)
        if info is None:
            continue
        if info.name in result:
            raise UserError(
                f"{path}: two entries are of video {info.name!r}, the second {record['name']!r}"
            )
        total += info.num_frames if videos is None else 0
        if total > 10 * MAX_FRAMES:
            raise UserError(
                f"{path}: expected at most {10 * MAX_FRAMES:,} frames in all; give videos"
            )
        result[info.name] = document.video(record, info, column, len(order), annotation_size)
    return AnnotationSet(order, result)


def write_coco_video(path: str | Path, annotations: AnnotationSet) -> None:
    """Write every looked-at frame of every video and their boxes, one annotation a class."""
    videos, images, rows = [], [], []
    for video_id, video in enumerate(annotations, start=1):
        height, width = video.size
        videos.append(
            {
                "id": video_id,
                "name": video.name,
                "width": width,
                "height": height,
                "fps": video.fps,
                "length": video.num_frames,
                **({} if video.times is None else {"times": video.times.round(6).tolist()}),
            }
        )
        image_ids = {}
        for frame in np.flatnonzero(video.looked_at).tolist():
            image_ids[frame] = len(images) + 1
            images.append(
                {
                    "id": image_ids[frame],
                    "video_id": video_id,
                    "frame_id": frame,
                    "file_name": f"{video.name}/{frame:06d}.jpg",
                    "width": width,
                    "height": height,
                }
            )
        bboxes = xyxy_to_xywh(video.boxes)
        for row, column in np.argwhere(video.labels).tolist():
            track = int(video.track_ids[row])
            rows.append(
                {
                    "id": len(rows) + 1,
                    "image_id": image_ids[int(video.frames[row])],
                    "category_id": column + 1,
                    "track_id": None if track == NO_TRACK else track,
                    "bbox": bboxes[row].tolist(),
                    "area": float(bboxes[row, 2] * bboxes[row, 3]),
                    "iscrowd": int(video.ignored[row]),
                }
            )
    document = {
        "videos": videos,
        "images": images,
        "categories": [{"id": c + 1, "name": name} for c, name in enumerate(annotations.names)],
        "annotations": rows,
    }
    with atomic_write(path) as stream:
        json.dump(document, stream, allow_nan=False)


class _Document:
    """The file's records by id, each reference checked."""

    def __init__(self, path: Path, content: Any, findings: Findings):
        self.path, self.findings = path, findings
        if not isinstance(content, dict):
            raise UserError(f"{path}: expected a JSON object, found a {type(content).__name__}")
        self.categories = self._by_id(content, "categories")
        self.videos = self._by_id(content, "videos")
        self.images = self._by_id(content, "images")
        for key, record in self.categories.items():
            record["name"] = safe_label(self.name(record), f"{path}: category {key}")
        for key, record in self.videos.items():
            record["name"] = safe_name(self.name(record), f"{path}: video {key}")
        for records, what in [(self.categories, "category"), (self.videos, "video")]:
            names = Counter(r["name"] for r in records.values())
            repeated = [name for name, count in names.items() if count > 1]
            if repeated:
                raise UserError(f"{path}: the {what} name {repeated[0]!r} occurs more than once")
        self.frames_of: dict[Any, list[int]] = {key: [] for key in self.videos}
        for image in self.images.values():
            video_id = self.known(image, "video_id", self.videos)
            image["frame_id"] = self.whole(image, "frame_id")
            self.frames_of[video_id].append(image["frame_id"])
        self.rows_of: dict[Any, list[dict]] = {key: [] for key in self.videos}
        for row in self._records(content, "annotations"):
            image = self.images[self.known(row, "image_id", self.images)]
            self.known(row, "category_id", self.categories)
            self.rows_of[image["video_id"]].append(row)

    @property
    def names(self) -> tuple[str, ...]:
        ids = sorted(self.categories, key=lambda key: (isinstance(key, str), key))
        return tuple(self.categories[key]["name"] for key in ids)

    def columns(self, names: Sequence[str]) -> dict[Any, int]:
        """Category id to class index; UserError for a category that `names` lacks."""
        return {
            key: class_index(record["name"], names, self.path, f"category {key}", self.findings)
            for key, record in self.categories.items()
        }

    def info(self, record: dict, videos: Mapping[str, VideoInfo] | None) -> VideoInfo | None:
        """The video's facts: measured, else the file's; None where its footage is missing."""
        name, where = record["name"], f"{self.path}: video {record['name']!r}"
        if videos is not None:
            found = find_video(name, videos)
            if found is None:
                what = "annotated videos without footage left out"
                self.findings.note(self.path, what, first=name)
                return None
            return videos[found]
        length = record.get("length")
        if length is None:
            length = max(self.frames_of[record["id"]], default=-1) + 1
        length = whole_number(length, f"{where}: length", least=0, most=MAX_FRAMES)
        size = tuple(
            image_side(self.get(record, key), f"{where}: {key}") for key in ("height", "width")
        )
        fps = record.get("fps")
        fps = _DEFAULT_FPS if fps is None else frame_rate(fps, where)
        return VideoInfo(name, size, fps, length, self.times(record, length, where))

    def times(self, record: dict, length: int, where: str) -> np.ndarray | None:
        """Seconds of each frame, of a video whose rate varies; None where the file gives none."""
        if record.get("times") is None:
            return None
        try:
            times = np.array(record["times"], dtype=np.float64)
            Clock(1.0, times)
        except (TypeError, ValueError, OverflowError):
            times = np.zeros(0)
        if len(times) != length:
            raise UserError(
                f"{where}: expected times as {length} seconds that rise, one a frame, found "
                f"{shown(record['times'])}"
            )
        return times

    def stated_size(self, record: dict) -> tuple[int, int] | None:
        """(height, width) that the file gives for a video; None where it gives none."""
        if record.get("height") is None or record.get("width") is None:
            return None
        where = f"{self.path}: video {record['name']!r}"
        height, width = (image_side(record[key], f"{where}: {key}") for key in ("height", "width"))
        return height, width

    def video(
        self,
        record: dict,
        info: VideoInfo,
        column: Mapping[Any, int],
        num_classes: int,
        annotation_size: tuple[int, int] | None,
    ) -> VideoAnnotations:
        rows, frames = self.rows_of[record["id"]], self.frames_of[record["id"]]
        for frame in frames:
            if not 0 <= frame < info.num_frames:
                raise UserError(
                    f"{self.path}: video {info.name!r}: expected frame_id in "
                    f"0..{info.num_frames - 1}, found {frame}; the file belongs to another cut of "
                    "the video, or counts frames from 1"
                )
        looked_at = np.zeros(info.num_frames, dtype=bool)
        looked_at[frames] = True
        boxes = xywh_to_xyxy(self._bboxes(rows))
        stated = annotation_size or self.stated_size(record)
        boxes = rescale(boxes, info, stated, self.path, self.findings)
        return build_video(
            info,
            num_classes,
            frames=[self.images[row["image_id"]]["frame_id"] for row in rows],
            boxes=boxes,
            classes=[column[row["category_id"]] for row in rows],
            tracks=[
                NO_TRACK if row.get("track_id") is None else self.whole(row, "track_id")
                for row in rows
            ],
            ignored=[self.flag(row, "iscrowd") or self.flag(row, "ignore") for row in rows],
            lines=[f"annotation {row.get('id')}" for row in rows],
            looked_at=looked_at,
            source=self.path,
            findings=self.findings,
        )

    def get(self, record: dict, key: str) -> Any:
        if key not in record:
            raise UserError(f"{self.path}: expected the key {key!r} in {shown(record, 120)}")
        return record[key]

    def name(self, record: dict) -> Any:
        """The record's name; a number is read as its digits."""
        name = self.get(record, "name")
        return str(name) if type(name) is int and abs(name) < 10**18 else name

    def flag(self, row: dict, key: str) -> bool:
        value = row.get(key)
        if value is None or value in (0, 1):
            return bool(value)
        raise UserError(
            f"{self.path}: annotation {shown(row.get('id'))}: expected 0 or 1 for {key}, found "
            f"{shown(value)}"
        )

    def known(self, record: dict, key: str, known: Mapping) -> Any:
        value = record.get(key)
        if type(value) is int and value in known:  # nearly always; the rest is for the message
            return value
        value = self.get(record, key)
        if not isinstance(value, (int, str)) or value not in known:
            raise UserError(f"{self.path}: {key} {shown(value)} is not defined in the file")
        return value

    def whole(self, record: dict, key: str) -> int:
        return whole_number(self.get(record, key), f"{self.path}: {key}")

    def _bboxes(self, rows: list[dict]) -> np.ndarray:
        """(N, 4) float64 of the rows' bbox; row by row only where something is wrong."""
        try:
            boxes = np.array([row["bbox"] for row in rows])
        except (KeyError, ValueError, OverflowError):  # missing, or of different lengths
            boxes = np.zeros(0, dtype=object)
        if boxes.dtype.kind not in "iuf" or boxes.shape != (len(rows), 4):
            boxes = np.array([self._bbox(row) for row in rows], dtype=np.float64)
        return boxes.astype(np.float64).reshape(-1, 4)

    def _bbox(self, row: dict) -> list[float]:
        box = self.get(row, "bbox")
        where = f"{self.path}: annotation {shown(row.get('id'))}: bbox"
        if not (isinstance(box, list) and len(box) == 4) or any(isinstance(b, str) for b in box):
            raise UserError(f"{where}: expected [x, y, w, h], found {shown(box)}")
        return [finite_number(side, where) for side in box]

    def _records(self, content: dict, key: str) -> list[dict]:
        records = content.get(key)
        if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
            raise UserError(f"{self.path}: expected a list of objects under {key!r}")
        return records

    def _by_id(self, content: dict, key: str) -> dict[Any, dict]:
        records = self._records(content, key)
        for record in records:
            if not isinstance(self.get(record, "id"), (int, str)):
                raise UserError(
                    f"{self.path}: expected a number under id, found {shown(record['id'])}"
                )
        by_id = {record["id"]: record for record in records}
        if len(by_id) < len(records):
            raise UserError(f"{self.path}: an id occurs more than once under {key!r}")
        return by_id
