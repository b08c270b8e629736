"""The text of `stad-detections/1`: a header, then rows of JSON.

A header
`{"schema": "stad-detections/1", "categories": [{"id": 1, "name": ..}, ..], "score_floor": ..}`,
then rows `{"video": name, "frame": f, "bbox": [x, y, w, h], "objectness": o or null,
"scores": {category id: s, ..}}` in the video's pixels, with `"actor": id` where it is known whose
box it is (`stadet.detect.actors`), and range rows
`{"video": name, "processed": [first, last]}` (inclusive), which tell frames that were never reached
from frames without detections. A file without a single range row is taken as complete. A range row
may add `"fps"`, the video's frames a second, or `"times"`, the seconds of its frames from the
video's first, where the rate varies; of a frame that no row times, the time is interpolated.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np

from stadet.detect.detections.columns import DetectionColumns, ProcessedRange
from stadet.detect.structures import NO_TRACK
from stadet.engine.errors import UserError
from stadet.engine.findings import Findings
from stadet.engine.reading import MAX_FRAME, MAX_FRAMES, finite_number, safe_label, safe_name, shown

SCHEMA = "stad-detections/1"
# what `_columns_of` raises for a row that is none
_FAULTY = (KeyError, TypeError, ValueError, AttributeError, OverflowError, UserError)
MAX_ACTOR = 1 << 53
CHUNK_BYTES = 8 << 20  # rows parsed at once: bounds the memory that Python objects take


def read_header(stream: IO[bytes], path: Path) -> tuple[dict, dict[int | str, int], list[str]]:
    """The first line of a file: see `parsed_header`."""
    return parsed_header(stream.readline(), f"{path}, line 1")


def parsed_header(line: bytes, where: str) -> tuple[dict, dict[int | str, int], list[str]]:
    """A header, the place of each category's id in it, and the categories' names.

    UserError, which names the place `where`, for a line that is no header.
    """
    try:
        header = json.loads(line)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or header.get("schema") != SCHEMA:
        raise UserError(
            f'{where}: expected a header {{"schema": "{SCHEMA}", "categories": ..}}, '
            f"found {line[:60].decode(errors='replace').strip()!r}; is it a detections file?"
        )
    categories = header.get("categories")
    try:
        ids = {category["id"]: index for index, category in enumerate(categories)}
        names = [safe_label(c["name"], f"{where}: categories") for c in categories]
    except (TypeError, KeyError):
        raise UserError(
            f'{where}: expected "categories" as a list of {{"id": .., "name": ..}}, '
            f"found {shown(categories)}; write ids and names"
        ) from None
    for what, count in (("ids", len(ids)), ("names", len(set(names)))):
        if count != len(categories):
            raise UserError(f"{where}: expected unique category {what}, found repeated ones")
    return header, ids, names


def read_rows(stream: IO[bytes], column_of: dict[str, int], findings: Findings) -> DetectionColumns:
    """The rows after a header in columns; column_of: category id, as text, -> class.

    Rows that cannot be used are left out and counted in `findings`.
    """
    video_codes: dict[str, int] = {}
    parts: list[tuple[np.ndarray, ...]] = []
    ranges: list[ProcessedRange] = []
    boxes_before = 0
    for numbers, rows in _parsed_chunks(stream, findings):
        try:
            part = _columns_of(numbers, rows, column_of, video_codes, ranges)
        except _FAULTY:  # find the rows at fault
            for number, row in zip(numbers.tolist(), rows, strict=True):
                if isinstance(row, dict) and isinstance(row.get("video"), str):
                    safe_name(row["video"], f"{findings.source}, line {number}")  # not left out
            faults = [_fault(row) for row in rows]
            findings.add(
                "rows that are no detection and no range",
                sum(map(bool, faults)),
                (f"line {n}: {f}" for n, f in zip(numbers, faults, strict=True) if f),
                "left out",
            )
            sound = [i for i, fault in enumerate(faults) if not fault]
            part = _columns_of(
                numbers[sound], [rows[i] for i in sound], column_of, video_codes, ranges
            )
        *columns, unknown = part
        findings.add(
            "scores of categories that the header does not list",
            len(unknown),
            (f"category {key}" for key in unknown),
            "left out",
        )
        columns[5] = columns[5] + boxes_before
        boxes_before += len(columns[0])
        parts.append(tuple(columns))
    if not parts:
        parts.append(
            _columns_of(np.zeros(0, dtype=np.int64), [], column_of, video_codes, ranges)[:-1]
        )
    videos, frames, boxes, objectness, lines, rows, classes, scores, actors = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    return DetectionColumns(
        list(video_codes),
        videos,
        frames,
        boxes,
        objectness,
        lines,
        rows,
        classes,
        scores,
        ranges,
        actors if (actors != NO_TRACK).any() else None,
    )


def _parsed_chunks(stream: IO[bytes], findings: Findings) -> Iterator[tuple[np.ndarray, list[Any]]]:
    """Line numbers and parsed rows, some megabytes at a time; unreadable lines are counted.

    One `json.loads` over many lines joined to a list is some three times faster than one a line;
    only a chunk that does not parse so is taken line by line.
    """
    number = 2  # after the header
    while lines := stream.readlines(CHUNK_BYTES):
        numbers = np.arange(number, number + len(lines))
        number += len(lines)
        try:
            rows = json.loads(b"[" + b",".join(lines) + b"]")
        except (ValueError, RecursionError):
            rows = []
        if len(rows) != len(lines):
            numbers, rows = _parse_one_by_one(numbers, lines, findings)
        yield numbers, rows


def _parse_one_by_one(
    numbers: np.ndarray, lines: list[bytes], findings: Findings
) -> tuple[np.ndarray, list[Any]]:
    kept, rows = [], []
    for number, line in zip(numbers.tolist(), lines, strict=True):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
            kept.append(number)
        except (ValueError, RecursionError):
            found = line[:60].decode(errors="replace").strip()
            if line.endswith(b"\n"):
                what, done = "lines that are not JSON", "left out"
            else:
                what = "last line cut off in the middle"
                done = "left out; the rest of the file counts"
            findings.add(what, 1, [f"line {number}: {found!r}"], done)
    return np.array(kept, dtype=np.int64), rows


def _columns_of(
    numbers: np.ndarray,
    rows: list[Any],
    column_of: dict[str, int],
    video_codes: dict[str, int],
    ranges: list[ProcessedRange],
) -> tuple:
    """Columns of sound rows; raises one of `_FAULTY` otherwise.

    Nothing is added to `video_codes` and `ranges` before every row has been found sound.
    """
    is_box = np.array(["bbox" in row for row in rows], dtype=bool)
    found = [row for row in rows if "bbox" in row]
    names = [row["video"] for row in found]
    frames = _numbers([row["frame"] for row in found], "iu").astype(np.int64)
    boxes = _numbers([row["bbox"] for row in found], "iuf", (4,)).astype(np.float64)
    objectness = np.array(
        [
            np.nan if (o := row.get("objectness")) is None else finite_number(o, "objectness")
            for row in found
        ],
        dtype=np.float64,
    )
    given = [row.get("actor") for row in found]
    actors = _numbers([NO_TRACK if actor is None else actor for actor in given], "iu")
    listed = [row["scores"] for row in found]
    counts = [len(scores) for scores in listed]
    values = [scores.values() for scores in listed]
    scores = _numbers(list(chain.from_iterable(values)), "iuf").astype(np.float64)
    keys = list(chain.from_iterable(listed))
    new_ranges = [parsed_range(row) for row in rows if "bbox" not in row]
    for name in dict.fromkeys([*names, *(new.video for new in new_ranges)]):
        safe_name(name, "video")
    if (frames > MAX_FRAME).any() or (frames < -MAX_FRAME).any():
        raise ValueError("a frame past every video")
    if not all(actor is None or _is_actor(actor) for actor in given):
        raise ValueError("expected an actor's id from 0 on")

    ranges.extend(new_ranges)
    for name in dict.fromkeys(names):
        video_codes.setdefault(name, len(video_codes))
    classes = np.array([column_of.get(key, -2) for key in keys], dtype=np.int64)
    unknown = [keys[i] for i in np.flatnonzero(classes == -2)] if (classes == -2).any() else []
    return (
        np.array([video_codes[name] for name in names], dtype=np.int64),
        frames,
        boxes,
        objectness,
        numbers[is_box],
        np.repeat(np.arange(len(found)), counts),
        classes.clip(-1),
        scores,
        actors.astype(np.int64),
        unknown,
    )


def _numbers(values: list, kinds: str, sides: tuple[int, ...] = ()) -> np.ndarray:
    array = np.array(values) if values else np.zeros((0, *sides), dtype=np.int64)
    if array.dtype.kind not in kinds:
        raise TypeError(f"expected numbers, found {array.dtype}")
    if array.shape != (len(values), *sides):
        raise ValueError(f"expected {sides or 'single'} numbers, found shape {array.shape}")
    return array


def _is_actor(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MAX_ACTOR


def parsed_range(row: dict[str, Any]) -> ProcessedRange:
    """A range row; an error of `_FAULTY` for one that is none."""
    first, last = row["processed"]
    if type(first) is not int or type(last) is not int or not 0 <= first <= last <= MAX_FRAME:
        raise ValueError("expected [first, last] with 0 <= first <= last")
    fps, times = row.get("fps"), row.get("times")
    if fps is not None and not 0 < float(_numbers([fps], "iuf")[0]) < np.inf:
        raise ValueError("expected an fps above 0")
    if times is not None:
        times = _numbers(list(times), "iuf").astype(np.float64)
        if len(times) != last - first + 1 or last > MAX_FRAMES or not np.isfinite(times).all():
            raise ValueError("expected one finite time for each frame")
    return ProcessedRange(row["video"], first, last, None if fps is None else float(fps), times)


def range_row(part: ProcessedRange) -> dict[str, Any]:
    """The row that `parsed_range` reads."""
    row: dict[str, Any] = {"video": part.video, "processed": [part.first, part.last]}
    if part.fps is not None:
        row["fps"] = part.fps
    if part.times is not None:
        row["times"] = part.times.tolist()
    return row


def _fault(row: Any) -> str:
    """Reason why a row cannot be used; empty without one."""
    if not isinstance(row, dict):
        return f"expected an object, found {shown(row)}"
    try:
        safe_name(row.get("video"), "video")
    except UserError as error:
        return str(error)
    try:
        _columns_of(np.zeros(1, dtype=np.int64), [row], {}, {}, [])
    except _FAULTY:
        if "bbox" not in row and "processed" in row:
            return (
                'expected "processed" [first, last], an "fps" above 0 and "times", one a frame, if '
                f"any; found {shown(row, 80)}"
            )
        if row.get("actor") is not None and not _is_actor(row["actor"]):
            return f'expected "actor" as a whole number from 0 on, found {shown(row["actor"])}'
        return f'expected "frame", "bbox" [x, y, w, h] and "scores", found {shown(row)}'
    return ""
