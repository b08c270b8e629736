"""YOLO txt: one text file a frame, lines `class cx cy w h` in shares of the frame's size.

Files lie in `labels/<video>/<frame>.txt` or flat as `labels/<video>_<frame>.txt`. A frame with a
file is looked at, an empty file being a negative; class names stand in data.yaml.
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

_FLAT = re.compile(r"(?P<video>.+)_(?P<frame>\d+)")


def read_yolo_txt(
    path: str | Path,
    *,
    videos: Mapping[str, VideoInfo],
    names: Sequence[str] | None = None,
    findings: Findings | None = None,
    first_frame: int = 0,
) -> AnnotationSet:
    """Read the label files below `path` (or below its folder `labels`).

    names: class names in order, by default those of data.yaml. first_frame: the number that means
    a video's first frame: 0 as this toolkit writes, 1 where images are numbered from 00001 and in
    the files that ultralytics predicts from a video. Boxes have no tracks in this format.

    UserError, naming file and line, for lines that are not five numbers, unknown classes, frames
    past the end, and a video without footage.
    """
    path = Path(path)
    findings = findings if findings is not None else Findings()
    labels = path / "labels" if (path / "labels").is_dir() else path
    order = tuple(names) if names else _names(path)
    files: dict[str, list[tuple[int, Path]]] = defaultdict(list)
    for file in sorted(labels.rglob("*.txt")):
        name, number = _place(file, labels, videos)
        files[name].append((number - first_frame, file))
    if not files:
        raise UserError(f"{labels}: expected label files (*.txt), found none")
    result = {
        name: _video(videos[name], found, len(order), labels / name, first_frame, findings)
        for name, found in files.items()
    }
    return AnnotationSet(order, result)


def write_yolo_txt(directory: str | Path, annotations: AnnotationSet) -> None:
    """Write `labels/<video>/<frame>.txt` (0-based) for each looked-at frame, and data.yaml.

    A box of several classes is one line a class. Tracks, sizes and frame rates are lost.
    """
    with atomic_directory(directory) as root:
        names = dict(enumerate(annotations.names))
        (root / "data.yaml").write_text(
            yaml.safe_dump({"names": names}, sort_keys=False, allow_unicode=True), encoding="utf-8"
        )
        for video in annotations:
            folder = root / "labels" / video.name
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
    first_frame: int,
    findings: Findings,
) -> VideoAnnotations:
    looked_at = np.zeros(info.num_frames, dtype=bool)
    frames, boxes, classes, lines = [], [], [], []
    for frame, file in files:
        if not 0 <= frame < info.num_frames:
            raise UserError(
                f"{file}: expected frames {first_frame}..{first_frame + info.num_frames - 1} of "
                f"video {info.name!r}; where label files count from 1, set first_frame: 1"
            )
        if looked_at[frame]:
            raise UserError(f"{file}: frame {frame} of {info.name!r} has another label file")
        looked_at[frame] = True
        for number, values in read_number_lines(file, columns=5):
            label = int(values[0])
            if label != values[0] or not 0 <= label < num_classes:
                raise UserError(
                    f"{file}, line {number}: expected a class of 0..{num_classes - 1}, found "
                    f"{values[0]:g}; correct it or complete names"
                )
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


def read_number_lines(file: Path, columns: int) -> list[tuple[int, list[float]]]:
    """(line number, values) of every line that is not blank; UserError for anything but `columns`
    numbers on a line, and for a file that cannot be read."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: the label file cannot be read: {error}") from None
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            values = [float(word) for word in line.split()]
        except ValueError:
            values = []
        if len(values) != columns:
            raise UserError(f"{file}, line {number}: expected {columns} numbers, found {line!r}")
        rows.append((number, values))
    return rows


def _place(file: Path, labels: Path, videos: Mapping[str, VideoInfo]) -> tuple[str, int]:
    """(video, number) of a label file."""
    relative = file.relative_to(labels)
    if file.stem.isdigit() and len(relative.parts) > 1:
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


def _names(path: Path) -> tuple[str, ...]:
    """Class names of data.yaml in `path` or beside it: a list, or a map from index to name."""
    file = next((p for p in (path / "data.yaml", path.parent / "data.yaml") if p.is_file()), None)
    if file is None:
        raise UserError(f"{path}: expected class names in data.yaml, found none; give names")
    names = read_yaml(file).get("names")
    if isinstance(names, dict) and sorted(names) == list(range(len(names))):
        names = [names[index] for index in range(len(names))]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{file}: expected names as a list or as 0: name, 1: name, ..")
    return tuple(names)
