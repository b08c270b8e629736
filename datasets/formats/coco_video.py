"""COCO-video JSON, the toolkit's interchange file for ground truth (COCO-VID style).

`videos {id, name, width, height, fps, length}`, `images {id, video_id, frame_id}` (0-based; the
looked-at frames, boxes or not), `categories {id, name}`, `annotations {id, image_id, category_id,
track_id, bbox [x, y, w, h], iscrowd}` in pixels of the video; `iscrowd` or `ignore` marks a region
that counts neither way. `length`, the number of frames, may be missing in files of other programs:
then the video is taken to end with its last image. A box of several classes is one annotation a
class, with the same track and bbox.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stadet.datasets.footage.info import VideoInfo, find_video
from stadet.datasets.formats.rows import build_video, class_index, scale_boxes
from stadet.detect.boxes import xywh_to_xyxy, xyxy_to_xywh
from stadet.detect.structures import NO_TRACK, AnnotationSet, VideoAnnotations
from stadet.engine.errors import UserError
from stadet.engine.files import atomic_write
from stadet.engine.findings import Findings

_DEFAULT_FPS = 25.0  # for files that state none and come without their footage


def read_coco_video(
    path: str | Path,
    *,
    videos: Mapping[str, VideoInfo] | None = None,
    names: Sequence[str] | None = None,
    findings: Findings | None = None,
) -> AnnotationSet:
    """Read a COCO-video file; its images are the looked-at frames.

    videos: measured facts, which then overrule the file's (boxes are scaled where sizes differ);
    names: order of classes, by default that of the category ids.
    UserError for broken JSON, missing keys, unknown ids, duplicate names and frames past the end.
    """
    document = _Document(Path(path), findings if findings is not None else Findings())
    order = tuple(names) if names else document.names
    column = document.columns(order)
    result = {}
    for record in document.videos.values():
        info = document.info(record, videos)
        if info is not None:
            result[info.name] = document.video(record, info, column, len(order))
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

    def __init__(self, path: Path, findings: Findings):
        self.path, self.findings = path, findings
        content = _load(path)
        self.categories = self._by_id(content, "categories")
        self.videos = self._by_id(content, "videos")
        self.images = self._by_id(content, "images")
        for records, what in [(self.categories, "category"), (self.videos, "video")]:
            names = Counter(str(self.get(r, "name")) for r in records.values())
            repeated = [name for name, count in names.items() if count > 1]
            if repeated:
                raise UserError(f"{path}: the {what} name {repeated[0]!r} stands more than once")
        self.frames_of: dict[Any, list[int]] = {key: [] for key in self.videos}
        for image in self.images.values():
            video_id = self.known(image, "video_id", self.videos)
            self.frames_of[video_id].append(self.whole(image, "frame_id"))
        self.rows_of: dict[Any, list[dict]] = {key: [] for key in self.videos}
        for row in self._records(content, "annotations"):
            image = self.images[self.known(row, "image_id", self.images)]
            self.known(row, "category_id", self.categories)
            self.rows_of[image["video_id"]].append(row)

    @property
    def names(self) -> tuple[str, ...]:
        ids = sorted(self.categories, key=lambda key: (isinstance(key, str), key))
        return tuple(str(self.categories[key]["name"]) for key in ids)

    def columns(self, names: Sequence[str]) -> dict[Any, int]:
        """Category id to class index; UserError for a category that `names` lacks."""
        return {
            key: class_index(str(record["name"]), names, f"{self.path}: category {key}")
            for key, record in self.categories.items()
        }

    def info(self, record: dict, videos: Mapping[str, VideoInfo] | None) -> VideoInfo | None:
        """The video's facts: measured, else the file's; None where its footage is missing."""
        name = str(record["name"])
        if videos is not None:
            found = find_video(name, videos)
            if found is None:
                what = "annotated videos without footage left out"
                self.findings.note(self.path, what, first=name)
                return None
            return videos[found]
        frames = self.frames_of[record["id"]]
        stated = record.get("length") is not None
        length = self.whole(record, "length") if stated else max(frames, default=-1) + 1
        size = (self.whole(record, "height"), self.whole(record, "width"))
        return VideoInfo(name, size, float(record.get("fps") or _DEFAULT_FPS), length)

    def video(
        self, record: dict, info: VideoInfo, column: Mapping[Any, int], num_classes: int
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
        stated = (record.get("height"), record.get("width"))
        if all(stated) and stated != info.size:
            boxes = scale_boxes(boxes, info.size, stated)
            what = "videos of another size than stated, boxes scaled"
            self.findings.note(self.path, what, first=info.name)
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
            ignored=[bool(row.get("iscrowd")) or bool(row.get("ignore")) for row in rows],
            lines=[f"annotation {row.get('id')}" for row in rows],
            looked_at=looked_at,
            source=self.path,
            findings=self.findings,
        )

    def get(self, record: dict, key: str) -> Any:
        if key not in record:
            raise UserError(f"{self.path}: expected the key {key!r} in {json.dumps(record)[:120]}")
        return record[key]

    def known(self, record: dict, key: str, known: Mapping) -> Any:
        value = record.get(key)
        if type(value) is int and value in known:  # nearly always; the rest is for the message
            return value
        value = self.get(record, key)
        if not isinstance(value, (int, str)) or value not in known:
            raise UserError(f"{self.path}: {key} {value!r} is not defined in the file")
        return value

    def whole(self, record: dict, key: str) -> int:
        value = record.get(key)
        if type(value) is int:
            return value
        value = self.get(record, key)
        if not _is_number(value) or not math.isfinite(value) or value != int(value):
            raise UserError(f"{self.path}: expected a whole number for {key}, found {value!r}")
        return int(value)

    def _bboxes(self, rows: list[dict]) -> np.ndarray:
        """(N, 4) float64 of the rows' bbox; row by row only where something is wrong."""
        try:
            boxes = np.array([row["bbox"] for row in rows])
        except (KeyError, ValueError):  # missing, or of different lengths
            boxes = np.zeros(0, dtype=object)
        if boxes.dtype.kind not in "iuf" or boxes.shape != (len(rows), 4):
            boxes = np.array([self._bbox(row) for row in rows], dtype=np.float64)
        return boxes.astype(np.float64).reshape(-1, 4)

    def _bbox(self, row: dict) -> list[float]:
        box = self.get(row, "bbox")
        if not (isinstance(box, list) and len(box) == 4 and all(map(_is_number, box))):
            raise UserError(
                f"{self.path}: annotation {row.get('id')}: expected bbox [x, y, w, h], found {box}"
            )
        return box

    def _records(self, content: dict, key: str) -> list[dict]:
        records = content.get(key)
        if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
            raise UserError(f"{self.path}: expected a list of objects under {key!r}")
        return records

    def _by_id(self, content: dict, key: str) -> dict[Any, dict]:
        records = self._records(content, key)
        for record in records:
            if not isinstance(self.get(record, "id"), (int, str)):
                raise UserError(f"{self.path}: expected a number under id, found {record['id']!r}")
        by_id = {record["id"]: record for record in records}
        if len(by_id) < len(records):
            raise UserError(f"{self.path}: an id stands more than once under {key!r}")
        return by_id


def _load(path: Path) -> dict:
    try:
        with path.open(encoding="utf-8") as stream:
            document = json.load(stream)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; check the path of the annotations") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: expected COCO-video JSON, found broken JSON: {error}") from None
    if not isinstance(document, dict):
        raise UserError(f"{path}: expected a JSON object, found a {type(document).__name__}")
    return document


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
