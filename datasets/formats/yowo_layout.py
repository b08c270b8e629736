"""YOWO's folders: `labels/<Class>/<video>/00001.txt` next to `rgb-images` and the frame lists.

A line is `class x1 y1 x2 y2`, class from 1, pixels of a 320x240 image; image 00001 is frame 0. The
frames with a label file are looked at. A frame of trainlist.txt or testlist.txt without its label
file is an error, not a frame without objects.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from stadet.datasets.footage.info import VideoInfo, find_video, parse_entry
from stadet.datasets.formats.rows import build_video, rescale
from stadet.datasets.formats.ucf24 import ANNOTATION_SIZE, UCF24_NAMES
from stadet.datasets.formats.yolo_txt import class_number, read_number_lines
from stadet.detect.structures import AnnotationSet, VideoAnnotations
from stadet.engine.errors import UserError
from stadet.engine.findings import Findings
from stadet.engine.reading import guarded, read_text

_NUMBER = re.compile(r"[0-9]{1,12}")
LISTS = ("trainlist.txt", "testlist.txt")


@guarded("YOWO's label files")
def read_yowo_layout(
    path: str | Path,
    *,
    videos: Mapping[str, VideoInfo],
    names: Sequence[str] | None = None,
    findings: Findings | None = None,
    annotation_size: tuple[int, int] | None = None,
) -> AnnotationSet:
    """Read the layout's root (or its folder `labels`).

    names: classes in the order of their numbers; by default UCF101-24's where every folder is one
    of them, else the folders' names sorted. Label folders without footage are left out and counted.
    annotation_size: (height, width) that boxes refer to, by default (240, 320).

    UserError, naming file and line, for lines that are not five numbers, unknown classes, frames
    past the end, a label file that cannot be read or that a list misses, and a video none of whose
    boxes is of its own folder's class (numbers counted from 0, or another order of names).
    """
    path = Path(path)
    findings = findings if findings is not None else Findings()
    labels = path / "labels" if (path / "labels").is_dir() else path
    files: dict[str, dict[int, Path]] = defaultdict(dict)
    for file in sorted(labels.rglob("*.txt")):
        if not _NUMBER.fullmatch(file.stem) or file.parent == labels:
            raise UserError(f"{file}: expected labels/<Class>/<video>/00001.txt")
        files[file.parent.relative_to(labels).as_posix()][int(file.stem) - 1] = file
    if not files:
        raise UserError(f"{labels}: expected label files <Class>/<video>/00001.txt, found none")
    _refuse_missing(labels.parent, files)
    order = tuple(names) if names else _names(files)
    result = {}
    for name, found in files.items():
        video = find_video(name, videos)
        if video is None:
            findings.note(labels, "annotated videos without footage left out", first=name)
            continue
        if video in result:
            raise UserError(f"{labels}: two folders are of video {video!r}, the second {name!r}")
        if videos[video].first_number not in (None, 1):
            raise UserError(
                f"{labels / name}: expected images numbered from 00001 as the labels are, found "
                f"video {video!r} from {videos[video].first_number}; rename its images"
            )
        source = labels / name
        result[video] = _video(
            videos[video], found, order, source, annotation_size or ANNOTATION_SIZE, findings
        )
    return AnnotationSet(order, result)


def _video(
    info: VideoInfo,
    files: Mapping[int, Path],
    names: tuple[str, ...],
    source: Path,
    annotation_size: tuple[int, int],
    findings: Findings,
) -> VideoAnnotations:
    looked_at = np.zeros(info.num_frames, dtype=bool)
    frames, boxes, classes, lines = [], [], [], []
    for frame, file in files.items():
        if not 0 <= frame < info.num_frames:
            raise UserError(
                f"{file}: video {info.name!r} has {info.num_frames} frames "
                f"(00001..{info.num_frames:05d}); the labels belong to another cut of it"
            )
        looked_at[frame] = True
        for number, values in read_number_lines(file, columns=5):
            allowed = range(1, len(names) + 1)
            label = class_number(values[0], allowed, f"{file}, line {number}") - 1
            frames.append(frame)
            boxes.append(values[1:])
            classes.append(label)
            lines.append(f"{file.name} line {number}")
    folder = source.parent.name
    if folder in names and classes and names.index(folder) not in classes:
        raise UserError(
            f"{source}: no box is of class {folder!r} (number {names.index(folder) + 1}), found "
            f"{names[classes[0]]!r}; classes count from 1, give names in the order of their numbers"
        )
    return build_video(
        info,
        len(names),
        frames=frames,
        boxes=rescale(np.array(boxes).reshape(-1, 4), info, annotation_size, source, findings),
        classes=classes,
        lines=lines,
        looked_at=looked_at,
        source=source,
        findings=findings,
    )


def _names(files: Mapping[str, object]) -> tuple[str, ...]:
    folders = sorted({name.partition("/")[0] for name in files})
    return UCF24_NAMES if set(folders) <= set(UCF24_NAMES) else tuple(folders)


def _refuse_missing(root: Path, files: Mapping[str, Mapping[int, Path]]) -> None:
    for file in (root / name for name in LISTS):
        if not file.is_file():
            continue
        for number, line in enumerate(read_text(file, "a list of frames").splitlines(), start=1):
            video, frame = parse_entry(line)
            if frame is not None and video in files and frame not in files[video]:
                raise UserError(
                    f"{file}, line {number}: {line.strip()} has no label file; restore it, or take "
                    "the frame from the list"
                )
