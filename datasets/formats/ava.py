"""AVA's csv files: truth, excluded timestamps, and detections.

A row of truth is `video, second, x1, y1, x2, y2, action, person`: boxes in [0, 1] of the frame's
width and height, the action's id counted from 1, one row a label; a row of only `video, second` is
a key frame with nothing in it. Truth is given on one key frame per second; a key frame without rows
was looked at too, so that false alarms on it count, as in the public evaluation.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from stadet.datasets.footage.info import VideoInfo, find_video
from stadet.datasets.formats.ava_labels import read_label_map
from stadet.datasets.formats.rows import build_video, class_index
from stadet.detect.detections.detection_set import DetectionSet, VideoDetections, frames_to_ranges
from stadet.detect.structures import NO_TRACK, AnnotationSet, VideoAnnotations
from stadet.engine.errors import UserError
from stadet.engine.findings import Findings
from stadet.engine.reading import (
    MAX_FRAMES,
    csv_rows,
    guarded,
    only_file,
    parse_number,
    parse_whole,
    safe_name,
    shown,
)

ZERO = float(np.nextafter(0, 1))  # a score of 0 that is a detection: in scores 0 is "not listed"
KEY_SECONDS = (902, 1798)  # first and last key frame of the 15 annotated minutes


@guarded("AVA's csv of truth")
def read_ava(
    path: str | Path,
    *,
    videos: Mapping[str, VideoInfo] | None = None,
    names: Sequence[str] | None = None,
    findings: Findings | None = None,
    label_map: str | Path | None = None,
    excluded: str | Path | None = None,
    key_seconds: tuple[int, int] = KEY_SECONDS,
    first_second: float = 0.0,
) -> AnnotationSet:
    """Read a truth csv; looked at are the key frames.

    videos: measured facts; boxes then are in their pixels and second s is the frame that begins
    nearest to s - first_second. Without them every video is 1 x 1 "pixel" (normalised boxes) at one
    frame a second, which is all that AVA's metric needs. label_map: the csv's action ids, in the
    folder of `path` where relative; names: an order of its names, by default that of the ids. Rows
    of actions that the label map does not list are left out, as in the public evaluation, and
    counted in `findings`. excluded: csv of `video, second` that do not count, in the folder of
    `path` where relative. key_seconds: first and last second that was looked at; seconds that have
    rows are looked at too.

    UserError, naming file and line: rows that are no such rows, unknown videos, boxes outside
    [0, 1] by more than a tenth, seconds past the end of the video.
    """
    path = only_file(path, (".csv",), "AVA's csv of truth")
    findings = findings if findings is not None else Findings()
    if label_map is None:
        raise UserError(f"{path}: expected label_map, AVA's list of action ids and names; give it")
    labels = read_label_map(path.parent / label_map)
    order = tuple(names) if names else tuple(labels.values())
    column = {
        number: class_index(name, order, path.parent / label_map, "", findings)
        for number, name in labels.items()
    }
    rows = defaultdict(list)
    for row in _rows(path, _truth_row):
        rows[row[1]].append(row)
    left_out = set() if excluded is None else set(_seconds(path.parent / excluded))

    result = {}
    for csv_name, found in rows.items():
        info = _info(csv_name, videos, found, key_seconds, path)
        for line, _, second, *_ in found:
            if not 0 <= _frame(second, info, first_second) < info.num_frames:
                raise UserError(
                    f"{path}, {line}: expected a second of {csv_name!r}, which has "
                    f"{info.num_frames} frames at {info.fps:g} a second, found "
                    f"{second}; set first_second to where its video begins, or correct the row"
                )
        seconds = set(range(key_seconds[0], key_seconds[1] + 1))
        past = [s for s in seconds if not 0 <= _frame(s, info, first_second) < info.num_frames]
        findings.note(
            path,
            "key seconds outside their video left out",
            len(past),
            first=f"second {min(past)} of {csv_name}" if past else "",
        )
        seconds |= {row[2] for row in found}
        seconds -= {s for name, s in left_out if name == csv_name}
        looked = np.zeros(info.num_frames, dtype=bool)
        frames = np.array([_frame(s, info, first_second) for s in seconds], dtype=np.int64)
        looked[frames[(frames >= 0) & (frames < info.num_frames)]] = True
        unlisted = [row for row in found if row[4] is not None and row[4] not in column]
        findings.note(
            path,
            "rows of actions that the label map does not list left out",
            len(unlisted),
            first=unlisted[0][0] if unlisted else "",
        )
        boxed = [row for row in found if row[4] in column]
        size = np.array([info.size[1], info.size[0]] * 2, dtype=np.float64)
        result[info.name] = build_video(
            info,
            len(order),
            frames=[_frame(row[2], info, first_second) for row in boxed],
            boxes=np.array([row[3] for row in boxed], dtype=np.float64).reshape(-1, 4) * size,
            classes=[column[row[4]] for row in boxed],
            tracks=[row[5] for row in boxed],
            lines=[row[0] for row in boxed],
            looked_at=looked,
            source=path,
            findings=findings,
        )
    return AnnotationSet(order, result)


@guarded("AVA's csv of detections")
def read_ava_detections(
    path: str | Path,
    truth: AnnotationSet,
    label_map: str | Path,
    *,
    first_second: float = 0.0,
) -> DetectionSet:
    """Read detections `video, second, x1, y1, x2, y2, action, score`, in the pixels of `truth`.

    Rows of one box become one detection with several scores. What lies on seconds nobody looked at,
    in videos that `truth` does not hold, or of actions that the label map does not list is left out
    and counted in `notes`.
    """
    path = Path(path)
    labels = read_label_map(path.parent / label_map)
    column = {n: truth.names.index(name) for n, name in labels.items() if name in truth.names}
    scores: dict[str, dict[tuple, np.ndarray]] = {name: {} for name in truth.videos}
    dropped = Findings()
    for line, csv_name, second, box, action, score in _rows(path, _detection_row):
        name = find_video(csv_name, truth.videos)
        if name is None:
            dropped.note(path, "rows of unknown videos left out", first=f"{line}: {csv_name}")
            continue
        video = truth.videos[name]
        frame = _frame(second, video, first_second)
        if not 0 <= frame < video.num_frames or not video.looked_at[frame]:
            dropped.note(path, "rows on seconds nobody looked at left out", first=line)
        elif action not in column:
            dropped.note(path, "rows of actions without a class left out", first=line)
        else:
            label, repeat = column[action], 0
            while (row := scores[name].get((frame, box, repeat))) is not None and row[label]:
                repeat += 1  # a second detection of this class in the same box counts too
            row = scores[name].setdefault((frame, box, repeat), np.zeros(len(truth.names)))
            row[label] = score or ZERO
    return DetectionSet(
        truth.names,
        0.0,
        {video.name: _video_detections(video, scores[video.name]) for video in truth},
        tuple(dropped.lines()),
    )


def _video_detections(video: VideoAnnotations, scores: dict[tuple, np.ndarray]) -> VideoDetections:
    frames = np.array([frame for frame, _, _ in scores], dtype=np.int64)
    boxes = np.array([box for _, box, _ in scores], dtype=np.float64).reshape(-1, 4)
    boxes *= [video.size[1], video.size[0]] * 2
    rows = np.array(list(scores.values())).reshape(len(frames), video.num_classes)
    order = np.argsort(frames, kind="stable")
    return VideoDetections(
        video.name,
        frames[order],
        boxes[order],
        np.full(len(order), np.nan),
        rows[order],
        frames_to_ranges(np.flatnonzero(video.looked_at)),
    )


def _info(
    csv_name: str,
    videos: Mapping[str, VideoInfo] | None,
    rows: list,
    key_seconds: tuple[int, int],
    path: Path,
) -> VideoInfo:
    if videos is None:
        last = max(key_seconds[1], *(row[2] for row in rows), 0)
        if last >= MAX_FRAMES:
            raise UserError(
                f"{path}: {csv_name}: expected seconds below {MAX_FRAMES}, found {last}"
            )
        return VideoInfo(csv_name, (1, 1), 1.0, last + 1)
    name = find_video(csv_name, videos)
    if name is None:
        raise UserError(
            f"{path}, {rows[0][0]}: expected a video of the data set, found {csv_name!r}; "
            "add the video or remove its rows"
        )
    return videos[name]


def _frame(second: int, info: VideoInfo | VideoAnnotations, first_second: float) -> int:
    return int(info.clock.nearest_frame(second - first_second))


def _rows(path: Path, parse: Callable[[list[str]], tuple]) -> Iterator[tuple]:
    """("line n", video, second, *what `parse` makes of the row) of each row."""
    for number, row in csv_rows(path, "one of AVA's csv files"):
        if not row:
            continue
        where = f"{path}, line {number}"
        try:
            name, second = row[0], parse_whole(row[1], where)
            parsed = parse(row[2:])
        except _BadRow as error:
            expected = f"video, second{error}"
        except (ValueError, IndexError, UserError):
            expected = "a video, a whole second and numbers"
        else:
            yield f"line {number}", safe_name(name, where), second, *parsed
            continue
        raise UserError(
            f"{where}: expected {expected}, found {shown(','.join(row), 80)}; correct the row"
        )


class _BadRow(ValueError):
    """The argument says what should have followed `video, second`."""


def _truth_row(rest: list[str]) -> tuple:
    """(box, action, person); (None, None, NO_TRACK) for a key frame with nothing in it."""
    if not any(rest):
        return None, None, NO_TRACK
    if len(rest) not in (5, 6):
        raise _BadRow(", x1, y1, x2, y2, action and person")
    person = parse_whole(rest[5], "person") if rest[5:] and rest[5] else NO_TRACK
    return _box(rest), parse_whole(rest[4], "action"), person


def _detection_row(rest: list[str]) -> tuple:
    if len(rest) != 6:
        raise _BadRow(", x1, y1, x2, y2, action and score")
    score = parse_number(rest[5], "score")
    if not score >= 0:
        raise _BadRow(", a box, an action and a score that is not negative")
    return _box(rest), parse_whole(rest[4], "action"), score


def _box(rest: list[str]) -> tuple[float, float, float, float]:
    box = tuple(parse_number(value, "box") for value in rest[:4])
    if len(box) < 4 or not all(-0.1 <= value <= 1.1 for value in box):
        raise _BadRow(" and a box in [0, 1] of the frame (not pixels)")
    return box


def _seconds(path: Path) -> Iterator[tuple[str, int]]:
    return ((row[1], row[2]) for row in _rows(path, lambda rest: ()))
