"""YOLO txt: one text file a frame, lines `class cx cy w h` in shares of the frame's size.

Files lie in `labels/<video>/<frame>.txt` or flat as `labels/<video>_<frame>.txt`. A frame with a
file is looked at, an empty file being a negative; class names are in data.yaml. For a frame
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

from stadet.datasets.footage.info import VideoInfo, find_video
from stadet.datasets.formats.rows import build_video
from stadet.detect.boxes import cxcywh_to_xyxy, xyxy_to_cxcywh
from stadet.detect.structures import AnnotationSet, VideoAnnotations
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

_FLAT = re.compile(r"(?P<video>.+)_(?P<frame>[0-9]{1,12})")
_DIGITS = re.compile(r"[0-9]{1,12}")


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
    this format.

    UserError, naming file and line, for lines that are not five numbers, unknown classes, frames
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
        name, number = _place(file, labels, videos)
        files[name].append((number, file))
    if not files:
        raise UserError(f"{labels}: expected label files (*.txt), found none")
    result = {
        name: _video(videos[name], found, len(order), labels / name, first_frame, findings)
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
    findings: Findings,
) -> VideoAnnotations:
    first = first_frame if first_frame is not None else info.first_number or 0
    looked_at = np.zeros(info.num_frames, dtype=bool)
    frames, boxes, classes, lines = [], [], [], []
    for number, file in files:
        frame = number - first
        if not 0 <= frame < info.num_frames:
            raise UserError(_out_of_place(file, info, [n for n, _ in files], first))
        if looked_at[frame]:
            raise UserError(f"{file}: frame {frame} of {info.name!r} has another label file")
        looked_at[frame] = True
        for number, values in read_number_lines(file, columns=5):
            label = class_number(values[0], range(num_classes), f"{file}, line {number}")
            frames.append(frame)
            boxes.append(values[1:])
            classes.append(label)
            lines.append(f"{file.name} line {number}")
    height, width = info.size
    shares = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    return build_video(
        info,
        num_classes,
        frames=frames,
        boxes=cxcywh_to_xyxy(shares) * [width, height, width, height],
        classes=classes,
        lines=lines,
        looked_at=looked_at,
        source=source,
        findings=findings,
    )


def _out_of_place(file: Path, info: VideoInfo, numbers: list[int], first: int) -> str:
    """Message for a label file of a frame that the video does not have."""
    lowest, highest = min(numbers), max(numbers)
    where = f"frames {first}..{first + info.num_frames - 1} of video {info.name!r}"
    if highest - lowest >= info.num_frames:
        advice = "the labels belong to another cut of it, or it is truncated"
    elif info.first_number is not None and lowest == 0:
        advice = "where label files count from 0, set first_frame: 0"
    else:
        start = 1 if highest <= info.num_frames and lowest >= 1 else lowest
        advice = f"where label files count from {start}, set first_frame: {start}"
    return f"{file}: expected {where}, found numbers {lowest}..{highest}; {advice}"


def class_number(value: float, allowed: range, where: str) -> int:
    """A class's number as a label file gives it; UserError for anything not in `allowed`."""
    if value != value or value not in allowed:
        raise UserError(
            f"{where}: expected a class of {allowed.start}..{allowed.stop - 1}, found {value:g}; "
            "correct it or complete names"
        )
    return int(value)


def read_number_lines(file: Path, columns: int) -> list[tuple[int, list[float]]]:
    """(line number, values) of every line that is not blank; UserError for anything but `columns`
    finite numbers on a line, and for a file that cannot be read."""
    rows = []
    for number, line in enumerate(read_text(file, "a label file").splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        where = f"{file}, line {number}"
        if len(words) != columns:
            raise UserError(f"{where}: expected {columns} numbers, found {shown(line)}")
        rows.append((number, [parse_number(word, where) for word in words]))
    return rows


def _place(file: Path, labels: Path, videos: Mapping[str, VideoInfo]) -> tuple[str, int]:
    """(video, number) of a label file."""
    relative = file.relative_to(labels)
    if _DIGITS.fullmatch(file.stem) and len(relative.parts) > 1:
        name, number = relative.parent.as_posix(), int(file.stem)
    elif match := _FLAT.fullmatch(relative.with_suffix("").as_posix()):
        name, number = match["video"], int(match["frame"])
    else:
        raise UserError(
            f"{file}: expected labels/<video>/<frame>.txt or labels/<video>_<frame>.txt"
        )
    found = find_video(name, videos)
    if found is None:
        raise UserError(
            f"{file}: expected a video called {name!r}, found {', '.join(sorted(videos)[:8])}"
        )
    return found, number


def _describe(path: Path) -> dict:
    """data.yaml in `path` or its folder; empty where there is none."""
    file = next((p for p in _described_in(path) if p.is_file()), None)
    return {} if file is None else read_yaml(file)


def _described_in(path: Path) -> tuple[Path, Path]:
    return path / "data.yaml", path.parent / "data.yaml"


def _names(path: Path, described: dict) -> tuple[str, ...]:
    """Class names of data.yaml: a list, or a map from index to name."""
    file = next((p for p in _described_in(path) if p.is_file()), None)
    if file is None:
        raise UserError(f"{path}: expected class names in data.yaml, found none; give names")
    names = described.get("names")
    if isinstance(names, dict) and all(type(key) is int for key in names):
        names = [names.get(index) for index in range(len(names))]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{file}: expected names as a list or as 0: name, 1: name, ..")
    if len(set(names)) < len(names):
        raise UserError(f"{file}: names: a name is given more than once")
    return tuple(safe_label(name, str(file)) for name in names)
