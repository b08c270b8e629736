"""Detections of many videos in columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from stadet.detect.clock import Clock
from stadet.detect.structures import Detections
from stadet.engine.signatures import expect_kind


@dataclass(frozen=True, eq=False)
class VideoDetections:
    """Detections of one video, in columns sorted by frame.

    Attributes:
        name: the video's name.
        frames: (M,) int64, the 0-based frame of each box.
        boxes: (M, 4) float64 xyxy, pixels of the video.
        objectness: (M,) in [0, 1]; NaN where the model has none.
        scores: (M, C) in [0, 1]; 0 = not detected as that class.
        processed: (R, 2) int64, inclusive ranges of frames that the model has seen, sorted and
            disjoint.
        clock: times of the frames; None where the file does not say.
        actor_ids: (M,) int64, the actor of each box, `NO_TRACK` where it is not known; None where
            nobody has looked for actors (`stadet.detect.actors`).
    """

    name: str
    frames: np.ndarray
    boxes: np.ndarray
    objectness: np.ndarray
    scores: np.ndarray
    processed: np.ndarray
    clock: Clock | None = None
    actor_ids: np.ndarray | None = None

    def __post_init__(self) -> None:
        for what in ("frames", "boxes", "objectness", "scores", "processed"):
            expect_kind(f"{self.name}: {what}", getattr(self, what), "np.ndarray")
        count = len(self.frames)
        for what, array, shape in (
            ("boxes", self.boxes, (count, 4)),
            ("objectness", self.objectness, (count,)),
            ("scores", self.scores, (count, self.scores.shape[-1])),
            ("processed", self.processed, (len(self.processed), 2)),
        ):
            if array.shape != shape:
                raise ValueError(f"{self.name}: {what}: expected {shape}, found {array.shape}")
        if self.actor_ids is not None and self.actor_ids.shape != (count,):
            raise ValueError(
                f"{self.name}: actor_ids: expected {(count,)}, found {self.actor_ids.shape}"
            )
        if count and (np.diff(self.frames) < 0).any():
            raise ValueError(f"{self.name}: detections must be sorted by frame")

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def num_classes(self) -> int:
        return self.scores.shape[1]

    def __getitem__(self, frame: int) -> Detections | None:
        """Detections of one frame; `None` where the model has never seen the frame."""
        first, last = np.searchsorted(self.frames, [frame, frame + 1])
        if first == last and not self.is_processed(np.array([frame]))[0]:
            return None
        rows = slice(first, last)
        actors = None if self.actor_ids is None else self.actor_ids[rows]
        return Detections(
            self.boxes[rows], self.objectness[rows], self.scores[rows], actor_ids=actors
        )

    def is_processed(self, frames: np.ndarray) -> np.ndarray:
        """(K,) frame indices -> (K,) bool: has the model seen the frame?"""
        frames = np.asarray(frames)
        if not len(self.processed):
            return np.zeros(frames.shape, dtype=bool)
        place = np.searchsorted(self.processed[:, 0], frames, side="right") - 1
        return (place >= 0) & (frames <= self.processed[place.clip(0), 1])


@dataclass(frozen=True, eq=False)
class DetectionSet:
    """Detections of a set of videos under one order of classes.

    Attributes:
        names: class names; column c of every scores array is names[c].
        score_floor: scores below it were not written.
        videos: detections by the name of the video.
        notes: faults of the file, one line per kind.
    """

    names: tuple[str, ...]
    score_floor: float
    videos: Mapping[str, VideoDetections] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        expect_kind("DetectionSet: names", self.names, "Sequence[str]")

    def __iter__(self) -> Iterator[VideoDetections]:
        return iter(self.videos.values())

    def __len__(self) -> int:
        """Number of boxes."""
        return sum(len(video) for video in self.videos.values())


def merge_ranges(ranges: Iterable[tuple[int, int]] | np.ndarray) -> np.ndarray:
    """Inclusive ranges in any order -> (R, 2) int64, sorted, disjoint, neighbours joined."""
    ranges = np.array(list(ranges), dtype=np.int64).reshape(-1, 2)
    if not len(ranges):
        return ranges
    ranges = ranges[np.argsort(ranges[:, 0], kind="stable")]
    reach = np.maximum.accumulate(ranges[:, 1])
    starts = np.flatnonzero(np.r_[True, ranges[1:, 0] > reach[:-1] + 1])
    return np.stack([ranges[starts, 0], reach[np.r_[starts[1:] - 1, len(ranges) - 1]]], axis=1)


def frames_to_ranges(frames: np.ndarray) -> np.ndarray:
    """Frame indices in any order -> the inclusive ranges (R, 2) that they fill."""
    frames = np.unique(frames)
    return merge_ranges(np.stack([frames, frames], axis=1))
