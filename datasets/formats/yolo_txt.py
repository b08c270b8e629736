"""YOLO txt: one text file a frame, lines `class cx cy w h` in shares of the frame's size.

Files lie in `labels/<video>/<frame>.txt` or flat as `labels/<video>_<frame>.txt`, also below train,
val or test, as ultralytics, Roboflow and CVAT have them. A frame with a file is looked at, an empty
file being a negative; class names are in data.yaml, classes.txt or obj.names. A sixth whole number
is a track; a polygon (`class x y x y x y ..`, of segmentation or oriented boxes) becomes the
upright box around it; keypoints behind a box (`kpt_shape` in data.yaml) are left out. For a frame
folder, a label file belongs to the image of its number (00003.txt to 00003.jpg). The first frame of
a video file is number 0, or `first_frame` of the data set file or of data.yaml, which also
overrules the images' numbers.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml

from stadet.datasets.footage.info import VideoInfo
from stadet.datasets.formats.frame_names import expect_frames, first_number, frame_place
from stadet.datasets.formats.rows import build_video
from stadet.detect.boxes import cxcywh_to_xyxy, xyxy_to_cxcywh
from stadet.detect.structures import NO_TRACK, AnnotationSet, VideoAnnotations
from stadet.engine.config import read_yaml
from stadet.engine.errors import UserError
from stadet.engine.files import atomic_directory
from stadet.engine.findings import Findings
from stadet.engine.reading import (
    guarded,
    parse_number,
    path_below,
    read_text,
    safe_label,
    shown,
    whole_number,
)

_NO_LABELS = re.compile(r"(classes|train|val|valid|test|readme.*)\.txt", re.IGNORECASE)
_NAME_LISTS = ("classes.txt", "obj.names")  # of LabelImg and CVAT


@guarded("YOLO label files")
def read_yolo_txt(
    path: str | Path,
    *,
    videos: Mapping[str, VideoInfo],
    names: Sequence[str] | None = None,
    findings: Findings | None = None,
    first_frame: int | None = None,
) -> AnnotationSet:
    """Read the label files below `path` (or below its folder `labels`).

    names: class names in order, by default those of data.yaml. first_frame: the number that means
    a video's first frame, by default that of data.yaml, else the number of a frame folder's first
    image, else 0 (1 in the files that ultralytics predicts from a video). Boxes have no tracks in
    this format unless each line ends with one.

    UserError, naming file and line, for lines of other numbers, unknown classes, frames
    past the end, and a video without footage.
    """
    path = Path(path)
    findings = findings if findings is not None else Findings()
    labels = path / "labels" if (path / "labels").is_dir() else path
    described = _describe(path)
    order = tuple(names) if names else _names(path, described)
    if first_frame is None and "first_frame" in described:
        first_frame = whole_number(described["first_frame"], f"{path}: data.yaml: first_frame")
    files: dict[str, list[tuple[int, Path]]] = defaultdict(list)
    for file in sorted(labels.rglob("*.txt")):
        if _NO_LABELS.fullmatch(file.name):
            continue
        name, number = _place(file, labels, videos)
        files[name].append((number, file))
    if not files:
        raise UserError(f"{labels}: expected label files (*.txt), found none")
    result = {
        name: _video(
            videos[name], found, len(order), labels / name, first_frame, _extra(described), findings
        )
        for name, found in files.items()
    }
    return AnnotationSet(order, result)


def write_yolo_txt(directory: str | Path, annotations: AnnotationSet) -> None:
    """Write `labels/<video>/<frame>.txt` (0-based) for each looked-at frame, and data.yaml.

    A box of several classes is one line a class. Tracks, sizes and frame rates are lost, and frames
    with an ignored region are left out, since the format has none.
    """
    with atomic_directory(directory) as root:
        names = dict(enumerate(annotations.names))
        (root / "data.yaml").write_text(
            yaml.safe_dump({"names": names, "first_frame": 0}, sort_keys=False, allow_unicode=True),
            encoding="utf-8",
        )
        for video in annotations:
            video = video.without_ignored_frames()
            folder = path_below(root / "labels", video.name)
            folder.mkdir(parents=True)
            height, width = video.size
            shares = xyxy_to_cxcywh(video.boxes) / [width, height, width, height]
            lines: dict[int, list[str]] = defaultdict(list)
            for row, column in np.argwhere(video.labels).tolist():
                numbers = " ".join(f"{share:.10g}" for share in shares[row])
                lines[int(video.frames[row])].append(f"{column} {numbers}\n")
            for frame in np.flatnonzero(video.looked_at).tolist():
                (folder / f"{frame:06d}.txt").write_text("".join(lines[frame]))


def _video(
    info: VideoInfo,
    files: list[tuple[int, Path]],
    num_classes: int,
    source: Path,
    first_frame: int | None,
    extra: int,
    findings: Findings,
) -> VideoAnnotations:
    first = first_number(info, first_frame)
    if files:
        expect_frames(files[0][1], info, [number for number, _ in files], first)
    looked_at = np.zeros(info.num_frames, dtype=bool)
    frames, boxes, classes, lines = [], [], [], []
    tracks: list[float] = []
    for number, file in files:
        frame = number - first
        if looked_at[frame]:
            raise UserError(f"{file}: frame {frame} of {info.name!r} has another label file")
        looked_at[frame] = True
        for number, values in read_number_lines(file):
            place = f"{file.name} line {number}"
            label = class_number(values[0], range(num_classes), f"{file}, line {number}")
            box, track = _box(values[1:], f"{file}, line {number}", extra)
            if len(box) > 4:
                findings.note(source, "polygons read as the boxes around them", first=place)
            frames.append(frame)
            boxes.append(_around(box))
            classes.append(label)
            tracks.append(track)
            lines.append(place)
    if not all(track >= 0 and track == int(track) for track in tracks):
        what = "sixth numbers that are no tracks (scores?) left out"
        findings.note(source, what, sum(track >= 0 for track in tracks))
        tracks = [NO_TRACK] * len(tracks)
    height, width = info.size
    shares = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    return build_video(
        info,
        num_classes,
        frames=frames,
        boxes=cxcywh_to_xyxy(shares) * [width, height, width, height],
        classes=classes,
        tracks=np.array(tracks, dtype=np.int64),
        lines=lines,
        looked_at=looked_at,
        source=source,
        findings=findings,
    )


def _extra(described: Mapping) -> int:
    """How many numbers of keypoints are behind each box, as data.yaml says."""
    shape = described.get("kpt_shape")
    if shape is None:
        return 0
    if not (isinstance(shape, list) and len(shape) == 2 and all(type(n) is int for n in shape)):
        raise UserError(f"data.yaml: expected kpt_shape as [points, 2 or 3], found {shown(shape)}")
    return shape[0] * shape[1]


def _box(values: list[float], where: str, extra: int) -> tuple[list[float], float]:
    """The numbers of a box or polygon, and those of its track (`NO_TRACK` where it has none)."""
    if extra and len(values) in (4 + extra, 5 + extra):  # `yolo track` writes the track last
        values = values[:4] + values[4 + extra :]
    if len(values) in (4, 5):
        return values[:4], values[4] if len(values) == 5 else NO_TRACK
    if len(values) >= 6 and len(values) % 2 == 0:
        return values, NO_TRACK
    raise UserError(
        f"{where}: expected 5 numbers (class cx cy w h), 6 with a track, or a class and the points "
        f"of a polygon, found {len(values) + 1}"
    )


def _around(values: list[float]) -> list[float]:
    """cx, cy, w, h of a box, or around the points x, y, x, y, .. of a polygon."""
    if len(values) == 4:
        return values
    x, y = values[::2], values[1::2]
    (left, right), (top, bottom) = (min(x), max(x)), (min(y), max(y))
    return [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]


def class_number(value: float, allowed: range, where: str) -> int:
    """A class's number as a label file gives it; UserError for anything not in `allowed`."""
    if value != value or value not in allowed:
        raise UserError(
            f"{where}: expected a class of {allowed.start}..{allowed.stop - 1}, found {value:g}; "
            "correct it or complete names"
        )
    return int(value)


def read_number_lines(file: Path, columns: int | None = None) -> list[tuple[int, list[float]]]:
    """(line number, values) of every line that is not blank; UserError for anything but `columns`
    finite numbers on a line (any count where it is None), and for a file that cannot be read."""
    rows = []
    for number, line in enumerate(read_text(file, "a label file").splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        where = f"{file}, line {number}"
        if columns is not None and len(words) != columns:
            raise UserError(f"{where}: expected {columns} numbers, found {shown(line)}")
        rows.append((number, [parse_number(word, where) for word in words]))
    return rows


def _place(file: Path, labels: Path, videos: Mapping[str, VideoInfo]) -> tuple[str, int]:
    """(video, number) of a label file."""
    relative = file.relative_to(labels).with_suffix("").as_posix()
    place = frame_place(relative, videos)
    if place is None:
        raise UserError(
            f"{file}: expected <video>/<frame>.txt or <video>_<frame>.txt of one of the videos "
            f"{', '.join(sorted(videos)[:8])}"
        )
    return place


def _describe(path: Path) -> dict:
    """data.yaml in `path` or its folder; empty where there is none."""
    file = _found(path, "data.yaml")
    return {} if file is None else read_yaml(file)


def _found(path: Path, *names: str) -> Path | None:
    places = [folder / name for name in names for folder in (path, path.parent)]
    return next((place for place in places if place.is_file()), None)


def _names(path: Path, described: dict) -> tuple[str, ...]:
    """Class names of data.yaml (a list, or a map from index to name) or of a list of names."""
    file = _found(path, "data.yaml", *_NAME_LISTS)
    if file is None:
        raise UserError(
            f"{path}: expected class names in data.yaml or classes.txt, found none; give names"
        )
    names = described.get("names")
    if file.name in _NAME_LISTS:
        lines = read_text(file, "class names, one a line").splitlines()
        names = [line.strip() for line in lines if line.strip()]
    if isinstance(names, dict) and all(type(key) is int for key in names):
        names = [names.get(index) for index in range(len(names))]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{file}: expected names as a list or as 0: name, 1: name, ..")
    if len(set(names)) < len(names):
        raise UserError(f"{file}: names: a name is given more than once")
    return tuple(safe_label(name, str(file)) for name in names)
