"""AVA's csv files row by row, for figures that agree with its evaluation script to the last digit.

`read_ava` and `read_ava_detections` make annotations and detections of the same files. They join
the rows of a box and sort by frame; where scores are equal the script's figure depends on the order
of the rows, so its evaluation reads them as they are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stadet.datasets.formats.ava import ZERO
from stadet.detect.detections.detection_set import DetectionSet, VideoDetections, frames_to_ranges
from stadet.detect.metrics.columns import EvaluationColumns
from stadet.detect.metrics.protocols import AVA_ACTIONS
from stadet.detect.metrics.tie_order import heap_list
from stadet.detect.structures import NO_TRACK, AnnotationSet, VideoAnnotations
from stadet.engine.errors import UserError
from stadet.engine.reading import (
    MAX_FRAMES,
    csv_rows,
    guarded,
    parse_number,
    parse_whole,
    safe_name,
    shown,
)

Key = tuple[str, int]  # video, second


class _Row(NamedTuple):
    key: Key
    box: tuple[float, float, float, float]
    label: int
    last: float  # score of a detection, person of a truth


@guarded("AVA's csv files")
def read_ava_columns(
    truth: str | Path,
    detections: str | Path,
    labels: Mapping[int, str] | None = None,
    excluded: Collection[Key] = (),
) -> EvaluationColumns:
    """Truth csv and detections csv as columns, every row of detections an entry, in file order.

    labels: action id to name, by rising id, as by `read_label_map`; by default ids 1 to 80. Rows of
    other actions are left out, as are the (video, second) in `excluded`. Every frame that either
    file names is an image. Boxes are normalised.

    UserError, naming file and line, for a row that is none.
    """
    labels = labels or {number: f"action {number}" for number in range(1, AVA_ACTIONS + 1)}
    column = {number: place for place, number in enumerate(labels)}
    found = list(_rows(Path(detections), column, excluded, scored=True))
    wanted = list(_rows(Path(truth), column, excluded, scored=False))
    images = {key: place for place, key in enumerate(dict.fromkeys(r.key for r in found + wanted))}
    videos = {name: place for place, name in enumerate(dict.fromkeys(name for name, _ in images))}

    image, boxes, classes, scores = _columns(found, images)
    order = np.argsort(image, kind="stable")
    truth_image, truth_boxes, truth_classes, people = _columns(wanted, images)
    truth_order = _listed(truth_image, truth_boxes, truth_classes, people)
    one_hot = np.zeros((len(wanted), len(column)), dtype=bool)
    one_hot[np.arange(len(wanted)), truth_classes[truth_order]] = True
    return EvaluationColumns(
        names=tuple(labels.values()),
        video_names=tuple(videos),
        image_video=np.array([videos[name] for name, _ in images], dtype=np.int64),
        image_frame=np.array([second for _, second in images], dtype=np.int64),
        truth_image=truth_image[truth_order],
        truth_boxes=truth_boxes[truth_order],
        truth_labels=one_hot,
        truth_tracks=people[truth_order].astype(np.int64),
        region_image=np.zeros(0, dtype=np.int64),
        region_boxes=np.zeros((0, 4)),
        region_labels=np.zeros((0, len(column)), dtype=bool),
        detection_image=image[order],
        detection_boxes=boxes[order],
        objectness=np.full(len(order), np.nan),
        entry_detection=np.arange(len(order)),
        entry_class=classes[order],
        entry_score=np.where(scores == 0, ZERO, scores)[order],
    )


def sets_of_columns(columns: EvaluationColumns) -> tuple[AnnotationSet, DetectionSet]:
    """The columns of `read_ava_columns` as annotations and detections: videos of 1 x 1 "pixel" at
    one frame a second, whose looked-at frames are the images; rows of one box become one box."""
    annotations, detections = {}, {}
    for video, name in enumerate(columns.video_names):
        seconds = columns.image_frame[columns.image_video == video]
        looked_at = np.zeros(int(seconds.max(initial=0)) + 1, dtype=bool)
        looked_at[seconds] = True
        own = columns.image_video[columns.truth_image] == video
        frames = columns.image_frame[columns.truth_image[own]]
        labels = columns.truth_labels[own].argmax(axis=1)
        rows, place = _joined(frames, columns.truth_boxes[own], labels)
        one_hot = np.zeros((len(rows), columns.num_classes), dtype=bool)
        one_hot[place, labels] = True
        annotations[name] = VideoAnnotations.build(
            name,
            (1, 1),
            1.0,
            looked_at,
            frames[rows],
            columns.truth_boxes[own][rows],
            one_hot,
            columns.truth_tracks[own][rows],
        )
        own = columns.image_video[columns.detection_image] == video
        frames = columns.image_frame[columns.detection_image[own]]
        labels = columns.entry_class[own]
        rows, place = _joined(frames, columns.detection_boxes[own], labels)
        scores = np.zeros((len(rows), columns.num_classes))
        scores[place, labels] = columns.entry_score[own]
        order = np.argsort(frames[rows], kind="stable")
        detections[name] = VideoDetections(
            name,
            frames[rows][order],
            columns.detection_boxes[own][rows][order],
            np.full(len(rows), np.nan),
            scores[order],
            frames_to_ranges(np.unique(frames)),
        )
    return (
        AnnotationSet(columns.names, annotations),
        DetectionSet(columns.names, 0.0, detections),
    )


def _joined(
    frames: np.ndarray, boxes: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """First row of each box (R,) and the box of each row (M,); a box that has a label twice is two
    boxes."""
    key = np.column_stack([frames, boxes, labels])
    _, same = np.unique(key, axis=0, return_inverse=True)
    order = np.argsort(same, kind="stable")
    starts = np.flatnonzero(np.diff(same[order], prepend=-1))
    repeat = np.empty(len(same), dtype=np.int64)
    repeat[order] = np.arange(len(same)) - np.repeat(starts, np.diff(np.append(starts, len(same))))
    key = np.column_stack([frames, boxes, repeat])
    _, first, place = np.unique(key, axis=0, return_index=True, return_inverse=True)
    return first, place


def _columns(rows: list[_Row], images: Mapping[Key, int]) -> tuple[np.ndarray, ...]:
    return (
        np.array([images[row.key] for row in rows], dtype=np.int64),
        np.array([row.box for row in rows], dtype=np.float64).reshape(-1, 4),
        np.array([row.label for row in rows], dtype=np.int64),
        np.array([row.last for row in rows], dtype=np.float64),
    )


def _listed(
    image: np.ndarray, boxes: np.ndarray, classes: np.ndarray, people: np.ndarray
) -> np.ndarray:
    """Rows of truth by image, within it as the script lists them: persons take the scores' part,
    which decides between truths of equal IoU. Rows without a person have score 1 there."""
    order = np.argsort(image, kind="stable")
    scores = np.where(people == NO_TRACK, 1.0, people)
    parts = np.split(order, np.flatnonzero(np.diff(image[order])) + 1)
    listed = [part[heap_list(scores[part], classes[part], boxes[part])] for part in parts]
    return np.concatenate([np.zeros(0, dtype=np.int64), *listed])


def _rows(
    path: Path, column: Mapping[int, int], excluded: Collection[Key], *, scored: bool
) -> Iterator[_Row]:
    last = "score" if scored else "person (may be missing)"
    excluded = set(excluded)
    for number, row in csv_rows(path, "one of AVA's csv files"):
        if not any(row) or (not scored and not any(row[2:])):
            continue  # a key frame with nothing in it
        try:
            item = _row(row, scored)
        except (ValueError, IndexError, UserError):
            raise UserError(
                f"{path}, line {number}: expected video, second, x1, y1, x2, y2, action "
                f"and {last}, found {shown(','.join(row), 80)}; correct the row"
            ) from None
        if item.label in column and item.key not in excluded:
            yield item._replace(label=column[item.label])


@guarded("AVA's excluded timestamps")
def read_ava_seconds(path: str | Path) -> set[Key]:
    """The excluded timestamps: a csv of video, second. UserError for anything else."""
    path = Path(path)
    seconds = set()
    for number, row in csv_rows(path, "AVA's excluded timestamps"):
        if not any(row):
            continue
        try:
            video, second = row
            seconds.add((video, parse_whole(second, "second")))
        except (ValueError, UserError):
            raise UserError(
                f"{path}, line {number}: expected video, second, found {shown(','.join(row), 80)}"
            ) from None
    return seconds


def _row(row: list[str], scored: bool) -> _Row:
    if len(row) != 8 and (scored or len(row) != 7):
        raise ValueError
    box = tuple(parse_number(cell, "box") for cell in row[2:6])
    last = parse_number(row[7], "last") if len(row) == 8 and row[7] else float(NO_TRACK)
    second = parse_whole(row[1], "second", least=0, most=MAX_FRAMES - 1)
    if scored and last < 0:
        raise ValueError
    return _Row((safe_name(row[0], "video"), second), box, parse_whole(row[6], "action"), last)
