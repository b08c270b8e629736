"""CVAT for video 1.1 XML: one file a video, tracks of boxes with keyframes.

The looked-at frames are the task's: `<start_frame>`, `<size>` or `<stop_frame>`, and the step of
`<frame_filter>`. Frame numbers are the source video's, as CVAT writes them; a file that counts the
task's own frames 0, 1, .. instead is recognised where its numbers do not fit the former.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from stadet.datasets.footage.info import VideoInfo, find_video
from stadet.datasets.formats.cvat_tracks import Track, interpolate, same_actor
from stadet.datasets.formats.cvat_writer import write_cvat
from stadet.datasets.formats.rows import build_video, class_index, scale_boxes
from stadet.detect.structures import AnnotationSet, VideoAnnotations
from stadet.engine.errors import UserError
from stadet.engine.findings import Findings

__all__ = ["read_cvat", "write_cvat"]

BY_LABEL = "label"  # the action is the track's label
BY_CHECKBOX = "checkboxes"  # each action is an attribute of its own that is true or false
_NO_ACTION = frozenset({"", "none", "no action", "__undefined__"})


@dataclass
class _File:
    path: Path
    sources: list[str]  # what the file calls its video: file stem, <source>, task name
    labels: list[str]  # class names that the task declares
    start: int
    step: int
    size: int | None  # frames of the task; None: not stated
    image_size: tuple[int, int] | None
    tracks: list[Track]
    left_out: dict[str, int]


def read_cvat(
    path: str | Path,
    *,
    videos: Mapping[str, VideoInfo],
    names: Sequence[str] | None = None,
    findings: Findings | None = None,
    action: str = BY_LABEL,
    annotation_size: tuple[int, int] | None = None,
) -> AnnotationSet:
    """Read one XML file or a folder of them.

    videos: facts of the footage; a file belongs to the video of its own stem, of its `<source>` or
    of its task's name, the first that exists. names: order of classes, by default as declared.
    action: "label", the name of an attribute (mutable or not) whose value is the class (several
    separated by ";"), or "checkboxes". annotation_size: (height, width) that the boxes refer to; by
    default the file's `<original_size>`, else the video's.

    UserError for broken XML, unknown labels, frames that are not of the task, NaN, two files for
    one video, a file without a video.
    """
    path = Path(path)
    findings = findings if findings is not None else Findings()
    paths = sorted(path.rglob("*.xml")) if path.is_dir() else [path]
    if not paths:
        raise UserError(f"{path}: expected CVAT XML files (*.xml) below this folder, found none")
    files = [_parse(p, action) for p in paths]
    order = tuple(names) if names else tuple(_declared(files))
    result: dict[str, VideoAnnotations] = {}
    read_from: dict[str, Path] = {}
    for file in files:
        found = next(filter(None, (find_video(s, videos) for s in file.sources)), None)
        if found is None:
            raise UserError(
                f"{file.path}: expected a video called {' or '.join(file.sources)}, found "
                f"{', '.join(sorted(videos)[:8]) or 'none'}; rename the file after its video"
            )
        if found in result:
            raise UserError(
                f"{file.path}: video {found!r} is annotated in {read_from[found]} already; "
                "merge the two exports into one"
            )
        read_from[found] = file.path
        for what, count in file.left_out.items():
            findings.note(file.path, what, count)
        result[found] = _video(file, videos[found], order, annotation_size, findings)
    return AnnotationSet(order, result)


def _video(
    file: _File,
    info: VideoInfo,
    names: tuple[str, ...],
    annotation_size: tuple[int, int] | None,
    findings: Findings,
) -> VideoAnnotations:
    size = file.size
    if size is None:
        size = len(range(file.start, info.num_frames, file.step))
    frame_of = _frame_numbers(file, size)
    frames, boxes, classes, tracks = [], [], [], []
    dense = [interpolate(track) for track in file.tracks]
    actors = same_actor(
        [track.group for track in file.tracks], [d[0] for d in dense], [d[1] for d in dense]
    )
    without_action, first_without = 0, ""
    for track, actor, (positions, track_boxes, source) in zip(
        file.tracks, actors, dense, strict=True
    ):
        where = f"{file.path}: track {track.number}"
        index = {
            label: class_index(label, names, where)
            for label in dict.fromkeys(label for labels in track.labels for label in labels)
        }
        for position, box, k in zip(positions.tolist(), track_boxes, source.tolist(), strict=True):
            if not track.labels[k]:
                without_action += 1
                first_without = first_without or f"track {track.number} frame {frame_of[position]}"
            for label in track.labels[k]:
                frames.append(frame_of[position])
                boxes.append(box)
                classes.append(index[label])
                tracks.append(actor)
    findings.note(file.path, "boxes without an action left out", without_action, first_without)
    looked_at = np.zeros(info.num_frames, dtype=bool)
    beyond = frame_of >= info.num_frames
    looked_at[frame_of[~beyond]] = True
    findings.note(
        file.path, f"frames of the task past the end of {info.name} ignored", int(beyond.sum())
    )
    stated = annotation_size or file.image_size
    return build_video(
        info,
        len(names),
        frames=frames,
        boxes=scale_boxes(np.array(boxes).reshape(-1, 4), info.size, stated),
        classes=classes,
        tracks=tracks,
        looked_at=looked_at,
        source=file.path,
        findings=findings,
    )


def _frame_numbers(file: _File, size: int) -> np.ndarray:
    """(size,) number in the video of each frame of the task; makes the tracks' positions 0-based.

    A track's last box may be an `outside` one just past the task; visible boxes may not.
    """
    task = file.start + file.step * np.arange(size)
    shown = [track.positions[~track.outside] for track in file.tracks]
    numbers = np.concatenate([*shown, np.zeros(0, np.int64)])
    if not np.isin(numbers, task).all():
        if ((numbers >= 0) & (numbers < size)).all():
            return task  # the file counts the task's own frames
        wrong = int(numbers[~np.isin(numbers, task)][0])
        track = next(t for t, s in zip(file.tracks, shown, strict=True) if wrong in s)
        raise UserError(
            f"{file.path}: track {track.number}: frame {wrong} is not a frame of the task (start "
            f"{file.start}, step {file.step}, {size} frames); the annotations belong to another "
            "cut of the video, or the video is truncated"
        )
    for track in file.tracks:  # an outside mark between two frames of the task holds from the next
        track.positions = -((file.start - track.positions) // file.step)
    return task


def _parse(path: Path, action: str) -> _File:
    try:
        root = ElementTree.parse(path).getroot()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; check the path of the annotations") from None
    except ElementTree.ParseError as error:
        raise UserError(
            f"{path}: expected CVAT for video 1.1 XML, found broken XML: {error}"
        ) from None
    if root.tag != "annotations" or root.find("image") is not None:
        found = "CVAT for images" if root.find("image") is not None else f"<{root.tag}>"
        raise UserError(
            f"{path}: expected CVAT for video 1.1 XML, found {found}; "
            "export the task from CVAT as 'CVAT for video 1.1'"
        )
    meta = root.find("meta")
    meta = ElementTree.Element("meta") if meta is None else meta
    if meta.find("project") is not None:
        raise UserError(f"{path}: expected one task, found a project; export each task by itself")
    task = next((e for tag in ("task", "job") if (e := meta.find(tag)) is not None), meta)
    start = _number(task.findtext("start_frame") or "0", int, path, "start_frame")
    step_text = re.search(r"step\s*=\s*(\d+)", task.findtext("frame_filter") or "")
    step = max(int(step_text[1]), 1) if step_text else 1
    size_text, stop_text = task.findtext("size"), task.findtext("stop_frame")
    sizes = [_number(size_text, int, path, "size")] if size_text else []
    if stop_text and (stop := _number(stop_text, int, path, "stop_frame")) >= start:
        sizes.append((stop - start) // step + 1)
    width, height = (
        meta.findtext(".//original_size/width"),
        meta.findtext(".//original_size/height"),
    )
    sources = [path.stem]
    for text in (meta.findtext(".//source"), task.findtext("name")):
        text = (text or "").strip()
        sources += [s for s in (text, text.rpartition(".")[0]) if s and s not in sources]
    left_out: dict[str, int] = {}
    tracks = [_track(e, path, action, left_out) for e in root.iter("track")]
    return _File(
        path=path,
        sources=sources,
        labels=_declared_labels(meta, action),
        start=start,
        step=step,
        size=min(sizes) if sizes else None,
        image_size=(
            (_number(height, int, path, "height"), _number(width, int, path, "width"))
            if width and height
            else None
        ),
        tracks=tracks,
        left_out=left_out,
    )


def _track(element: ElementTree.Element, path: Path, action: str, left_out: dict) -> Track:
    number = element.get("id", "?")
    shapes = [e.tag for e in element if e.tag not in {"box", "attribute"}]
    for tag in shapes:
        what = f"shapes of kind <{tag}> left out"
        left_out[what] = left_out.get(what, 0) + 1
    fixed = _attributes(element)
    rows = []
    for box in element.iter("box"):
        where = f"track {number} frame {box.get('frame')}"
        sides = [_number(box.get(s), float, path, f"{s} of {where}") for s in _SIDES]
        frame = _number(box.get("frame"), int, path, f"frame of track {number}")
        outside = box.get("outside") == "1"
        labels = _labels(element.get("label", ""), fixed | _attributes(box), action)
        if not outside and not np.isfinite(sides).all():
            raise UserError(
                f"{path}: {where}: expected four finite numbers, found {sides}; correct the box"
            )
        rows.append((frame, sides, outside, labels))
    rows.sort(key=lambda row: row[0])
    for before, after in pairwise(rows):
        if before[0] == after[0]:
            raise UserError(f"{path}: track {number}: frame {after[0]} is listed twice; remove one")
    return Track(
        number,
        element.get("group_id") or "",
        np.array([row[0] for row in rows], dtype=np.int64),
        np.array([row[1] for row in rows], dtype=np.float64).reshape(-1, 4),
        np.array([row[2] for row in rows], dtype=bool),
        [row[3] for row in rows],
    )


_SIDES = ("xtl", "ytl", "xbr", "ybr")


def _attributes(element: ElementTree.Element) -> dict[str, str]:
    return {a.get("name", ""): (a.text or "").strip() for a in element.findall("attribute")}


def _labels(label: str, attributes: Mapping[str, str], action: str) -> tuple[str, ...]:
    if action == BY_LABEL:
        return (label,)
    if action == BY_CHECKBOX:
        return tuple(name for name, value in attributes.items() if value.lower() == "true")
    values = [part.strip() for part in attributes.get(action, "").split(";")]
    return tuple(dict.fromkeys(v for v in values if v.lower() not in _NO_ACTION))


def _declared_labels(meta: ElementTree.Element, action: str) -> list[str]:
    """Class names in the order of the task's label list."""
    if action == BY_LABEL:
        return [name for e in meta.iter("label") if (name := e.findtext("name"))]
    attributes = list(meta.iter("attribute"))
    if action == BY_CHECKBOX:
        return [
            name
            for a in attributes
            if a.findtext("input_type") == "checkbox" and (name := a.findtext("name"))
        ]
    values = [a.findtext("values") or "" for a in attributes if a.findtext("name") == action]
    lines = [value.strip() for text in values for value in text.splitlines()]
    return [value for value in lines if value.lower() not in _NO_ACTION]


def _declared(files: Sequence[_File]) -> list[str]:
    """Declared names of all files, then names that are used but declared nowhere, in order."""
    used = (label for f in files for t in f.tracks for labels in t.labels for label in labels)
    return list(dict.fromkeys([*(label for f in files for label in f.labels), *used]))


def _number(text: str | None, kind: type, path: Path, what: str):
    try:
        return kind(text)
    except (TypeError, ValueError):
        raise UserError(f"{path}: expected a number for {what}, found {text!r}") from None
