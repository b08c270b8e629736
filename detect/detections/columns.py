"""Rows of any detections file in columns, checked together and distributed over videos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from stadet.detect.boxes import xywh_to_xyxy
from stadet.detect.clock import Clock
from stadet.detect.detections.detection_set import (
    DetectionSet,
    VideoDetections,
    frames_to_ranges,
    merge_ranges,
)
from stadet.detect.structures import AnnotationSet
from stadet.engine.findings import Findings

SUSPICIOUS_SHARE = 0.2  # of boxes far outside the frame: a convention, not bad predictions


@dataclass(frozen=True, eq=False)
class ProcessedRange:
    """Frames first..last (inclusive) of a video that the model has seen; fps: the video's frames a
    second; times (last - first + 1,): seconds of these frames where the rate varies."""

    video: str
    first: int
    last: int
    fps: float | None = None
    times: np.ndarray | None = None


@dataclass
class DetectionColumns:
    """Raw columns of a file of M boxes and E (box, class, score) entries, in the file's order.

    video_names: the videos met; videos (M,) index into them; frames (M,); boxes (M, 4) xywh;
    objectness (M,); lines (M,) 1-based place in the file; rows (E,) the box of each entry;
    classes (E,), -1 where the class is unknown; scores (E,); ranges: of the range rows, none where
    the file says nothing about what was processed; actors (M,), `NO_TRACK` where there is none, or
    None where the file has none at all.
    """

    video_names: list[str]
    videos: np.ndarray
    frames: np.ndarray
    boxes: np.ndarray
    objectness: np.ndarray
    lines: np.ndarray
    rows: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    ranges: list[ProcessedRange]
    actors: np.ndarray | None = None

    def keep_boxes(self, keep: np.ndarray) -> None:
        """Leave out the boxes (and their entries) where `keep` (M,) is False."""
        if keep.all():
            return
        new_row = np.cumsum(keep) - 1
        for name in ("videos", "frames", "boxes", "objectness", "lines"):
            setattr(self, name, getattr(self, name)[keep])
        if self.actors is not None:
            self.actors = self.actors[keep]
        self.keep_entries(keep[self.rows])
        self.rows = new_row[self.rows]

    def keep_entries(self, keep: np.ndarray) -> None:
        """Leave out the entries where `keep` (E,) is False."""
        if not keep.all():
            self.rows, self.classes, self.scores = (
                self.rows[keep],
                self.classes[keep],
                self.scores[keep],
            )


def assemble(
    columns: DetectionColumns,
    names: Sequence[str],
    score_floor: float,
    truth: AnnotationSet | None,
    findings: Findings,
) -> DetectionSet:
    """Check the columns, leave out what cannot be used, and distribute the rest over videos.

    With `truth`, boxes of videos it does not hold and of frames past a video's end are left out,
    and a file without range rows counts as complete. Everything left out is in `findings`.
    """
    _drop_unusable(columns, findings)
    lengths = None
    if truth is not None:
        lengths = {name: video.num_frames for name, video in truth.videos.items()}
        _drop_unknown_places(columns, lengths, findings)
    _report_oddities(columns, truth, findings)

    order = np.lexsort((columns.frames, columns.videos))
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    scores = np.zeros((len(order), len(names)))
    # 0 means "not listed" in the matrix, so a listed 0 becomes the smallest number above it
    scores[place[columns.rows], columns.classes] = np.where(
        columns.scores == 0, np.nextafter(0.0, 1.0), columns.scores
    )
    boxes = xywh_to_xyxy(columns.boxes[order])
    frames, objectness = columns.frames[order], columns.objectness[order]
    actors = None if columns.actors is None else columns.actors[order]
    bounds = np.searchsorted(columns.videos[order], np.arange(len(columns.video_names) + 1))
    spans = dict(zip(columns.video_names, pairwise(bounds), strict=True))

    ranges: dict[str, list[ProcessedRange]] = {}
    for row in columns.ranges:
        ranges.setdefault(row.video, []).append(row)
    lost = [name for name in ranges if lengths is not None and name not in lengths]
    findings.add(
        "processed videos that are not in the ground truth", len(lost), map(repr, lost), "left out"
    )
    videos = {}
    for name in dict.fromkeys([*(lengths or ()), *columns.video_names, *ranges]):
        if lengths is not None and name not in lengths:
            continue
        rows = slice(*spans.get(name, (0, 0)))
        if columns.ranges:
            known = [(row.first, row.last) for row in ranges.get(name, [])]
            seen = [*known, *frames_to_ranges(frames[rows])]
        elif lengths is not None:
            seen = [(0, lengths[name] - 1)]
        else:
            seen = [(0, int(frames[rows].max()))] if rows.stop > rows.start else []
        videos[name] = VideoDetections(
            name,
            frames[rows],
            boxes[rows],
            objectness[rows],
            scores[rows],
            merge_ranges(seen),
            _clock(ranges.get(name, []), findings),
            None if actors is None else actors[rows],
        )
    return DetectionSet(tuple(names), score_floor, videos, tuple(findings.notes()))


def _clock(ranges: Sequence[ProcessedRange], findings: Findings) -> Clock | None:
    """Times of a video's frames from its range rows; None where they have none."""
    rates = [row.fps for row in ranges if row.fps is not None]
    timed = [row for row in ranges if row.times is not None]
    if not timed:
        return Clock(rates[-1]) if rates else None
    seconds = dict(
        pair
        for row in timed
        for pair in zip(range(row.first, row.last + 1), row.times.tolist(), strict=True)
    )
    frames = np.array(sorted(seconds))
    times = np.array([seconds[frame] for frame in frames.tolist()])
    if (np.diff(times) <= 0).any():
        name, place = timed[0].video, int((np.diff(times) <= 0).argmax())
        findings.add(
            "videos whose times do not rise",
            1,
            [f"{name!r}: {times[place + 1]} s of frame {frames[place + 1]} after {times[place]} s"],
            "taken as not timed",
        )
        return Clock(rates[-1]) if rates else None
    span = len(frames) > 1
    fps = float((frames[-1] - frames[0]) / (times[-1] - times[0])) if span else (rates or [1.0])[-1]
    every = np.arange(frames[-1] + 1)
    before = np.minimum(every - frames[0], 0) / fps  # frames that were never reached
    return Clock(fps, np.interp(every, frames, times) + before)


def _drop_unusable(columns: DetectionColumns, findings: Findings) -> None:
    def where(bad: np.ndarray, value) -> list[str]:
        return [f"line {columns.lines[i]}: {value(i)}" for i in np.flatnonzero(bad)[:3]]

    bad = ~np.isfinite(columns.boxes).all(axis=1)
    findings.add(
        "boxes that are not finite",
        bad.sum(),
        where(bad, lambda i: columns.boxes[i].tolist()),
        "left out",
    )
    negative = (columns.boxes[:, 2:] < 0).any(axis=1) & ~bad
    findings.add(
        "boxes of negative width or height (expected x, y, width, height)",
        negative.sum(),
        where(negative, lambda i: columns.boxes[i].tolist()),
        "left out",
    )
    early = columns.frames < 0
    findings.add(
        "boxes on negative frames",
        early.sum(),
        where(early, lambda i: columns.frames[i]),
        "left out",
    )
    columns.keep_boxes(~(bad | negative | early))

    finite = np.isfinite(columns.scores) & (columns.scores >= 0)
    bad_entries = np.flatnonzero(~finite)
    findings.add(
        "scores that are NaN, infinite or negative",
        len(bad_entries),
        (f"line {columns.lines[columns.rows[e]]}: {columns.scores[e]}" for e in bad_entries[:3]),
        "left out",
    )
    columns.keep_entries(finite & (columns.classes >= 0))


def _drop_unknown_places(
    columns: DetectionColumns, lengths: dict[str, int], findings: Findings
) -> None:
    length = np.array([lengths.get(name, -1) for name in columns.video_names] or [0])
    limit = length[columns.videos]
    unknown = limit < 0
    findings.add(
        "boxes of videos that are not in the ground truth",
        unknown.sum(),
        (
            f"line {columns.lines[i]}: {columns.video_names[columns.videos[i]]!r}"
            for i in np.flatnonzero(unknown)[:3]
        ),
        "left out",
    )
    late = ~unknown & (columns.frames >= limit)
    findings.add(
        "boxes on frames past the end of the video",
        late.sum(),
        (
            f"line {columns.lines[i]}: frame {columns.frames[i]} of "
            f"{columns.video_names[columns.videos[i]]!r}, which has {limit[i]}"
            for i in np.flatnonzero(late)[:3]
        ),
        "left out",
    )
    columns.keep_boxes(~(unknown | late))


def _report_oddities(
    columns: DetectionColumns, truth: AnnotationSet | None, findings: Findings
) -> None:
    """Things that are probably mistakes but are used as they are."""
    twice = _repeated_entries(columns)
    findings.add(
        "repeated rows (same video, frame, box, class and score)",
        len(twice),
        (f"line {columns.lines[columns.rows[e]]}" for e in twice[:3]),
        "used as they are",
    )
    large = np.flatnonzero(columns.scores > 1)
    findings.add(
        "scores above 1 (percentages or logits?)",
        len(large),
        (f"line {columns.lines[columns.rows[e]]}: {columns.scores[e]}" for e in large[:3]),
        "used as they are",
    )
    if truth is None or not len(columns.boxes):
        return
    limits = np.array(
        [
            (truth.videos[name].size if name in truth.videos else (np.inf, np.inf))
            for name in columns.video_names
        ]
    )[columns.videos]  # (M, 2) height, width
    ends = columns.boxes[:, :2] + columns.boxes[:, 2:]
    outside = (ends > 1.1 * limits[:, ::-1]).any(axis=1)
    if outside.mean() > SUSPICIOUS_SHARE:
        findings.add(
            "boxes that reach far past the frame (corners instead of x, y, width, height? another "
            "resolution?)",
            outside.sum(),
            (
                f"line {columns.lines[i]}: {columns.boxes[i].tolist()} in a frame of "
                f"{limits[i, 1]:g}x{limits[i, 0]:g}"
                for i in np.flatnonzero(outside)[:3]
            ),
            "used as they are",
        )
    sizes = columns.boxes[:, 2:]
    if (sizes > 2).any():
        return
    truth_sizes = [video.boxes[:, 2:] - video.boxes[:, :2] for video in truth if len(video.boxes)]
    if truth_sizes and np.median(np.concatenate(truth_sizes)) > 2:
        findings.add(
            "boxes that look normalised (no side above 2), where the ground truth is in pixels",
            len(sizes),
            [f"line {columns.lines[0]}: {columns.boxes[0].tolist()}"],
            "used as they are",
        )


def _repeated_entries(columns: DetectionColumns) -> np.ndarray:
    """Entries that repeat an earlier one in video, frame, box, class and score."""
    words = np.column_stack(
        [columns.videos, columns.frames, columns.boxes.view(np.uint64).reshape(-1, 4)]
    ).astype(np.uint64)
    odd = np.random.default_rng(0).integers(1, 2**63, size=8, dtype=np.uint64) | np.uint64(1)
    row_hash = (words * odd[:6]).sum(axis=1, dtype=np.uint64)
    ordered = np.sort(row_hash)
    several = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(several):  # as in any sound file
        return np.zeros(0, dtype=np.int64)
    entries = np.flatnonzero(np.isin(row_hash, several)[columns.rows])
    key = row_hash[columns.rows[entries]] * odd[6]
    key += columns.classes[entries].astype(np.uint64) * odd[7]
    key ^= columns.scores[entries].view(np.uint64)
    repeats = np.ones(len(key), dtype=bool)
    repeats[np.unique(key, return_index=True)[1]] = False
    return entries[repeats]
