"""Tracks of an annotation as runs of one label, and what a check finds on one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stadet.detect.structures import NO_TRACK, VideoAnnotations
from stadet.detect.tubes.truth import truth_tubes


@dataclass(frozen=True, eq=False)
class Run:
    """A track as long as it has one label without a break.

    Attributes:
        track: its id, `NO_TRACK` for boxes that were linked by overlap.
        label: class index.
        others: (C,) bool, the classes that its boxes also have.
        start: first frame.
        boxes: (L, 4) xyxy of consecutive frames.
        seen: (L,) bool, frames that were looked at (the boxes of the others are interpolated).
    """

    track: int
    label: int
    others: np.ndarray
    start: int
    boxes: np.ndarray
    seen: np.ndarray

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def stop(self) -> int:
        """One past the last frame."""
        return self.start + len(self.boxes)

    @property
    def size(self) -> float:
        """Median side of its boxes (root of the area), pixels."""
        sides = self.boxes[:, 2:] - self.boxes[:, :2]
        return float(max(np.median(np.sqrt(sides.prod(axis=1))), 1e-9))


@dataclass(frozen=True, eq=False)
class Finding:
    """What a check found; fields as of `stadet.detect.suspects.suspect.Suspect`."""

    kind: str
    score: float
    video: str
    track: int
    first: int
    last: int
    frame: int
    box: np.ndarray
    label: int
    suggestion: str
    other: int | None = None  # a class that the suggestion is about


def runs_of(video: VideoAnnotations) -> list[Run]:
    """The runs of a video, by start and class; ignored regions are none."""
    video = video.objects()
    runs = []
    for tube in truth_tubes(video):
        rows = np.arange(*np.searchsorted(video.frames, [tube.start, tube.start + 1]))
        same = (video.boxes[rows] == tube.boxes[0]).all(axis=1) & video.labels[rows, tube.label]
        row = rows[same.argmax()]
        others = video.labels[row].copy()
        others[tube.label] = False
        seen = video.looked_at[tube.start : tube.stop]
        track = int(video.track_ids[row]) if same.any() else NO_TRACK
        runs.append(Run(track, tube.label, others, tube.start, tube.boxes, seen))
    return runs
