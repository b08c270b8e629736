"""Tubes from the detections of whole videos: linking, trimming, suppression.

The same input gives the same tubes, whatever the order of the boxes within a frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from stadet.detect.clock import Clock
from stadet.detect.detections.detection_set import VideoDetections
from stadet.detect.structures import Tube
from stadet.detect.tubes.graph import best_paths, link_boxes
from stadet.detect.tubes.overlap import suppress_tubes
from stadet.detect.tubes.trimming import trim


@dataclass(frozen=True)
class LinkOptions:
    """Linking of detections into tubes.

    Attributes:
        min_score: boxes of a lower score take no part in a class.
        min_overlap: IoU below which two boxes are never linked.
        overlap_weight: weight of a link's IoU against the scores, lambda of Saha et al. 2016.
        max_gap: frames without a box that a tube may bridge; its boxes there are interpolated.
        switch_cost: cost of a change between action and background in trimming; None = no
            trimming.
        max_tube_overlap: a tube that overlaps a better one of its class by more is dropped.
        min_length: tubes of fewer frames are dropped, since single-frame errors of high score
            would otherwise lead the ranking (the public evaluation of ACT drops those under 15).
        max_gap_seconds, min_seconds: the same in seconds, by the times of the video's frames; they
            take the place of `max_gap` and `min_length`.
    """

    min_score: float = 0.01
    min_overlap: float = 0.2
    overlap_weight: float = 1.0
    max_gap: int = 5
    switch_cost: float | None = 3.0
    max_tube_overlap: float = 0.5
    min_length: int = 8
    max_gap_seconds: float | None = None
    min_seconds: float | None = None


@dataclass(frozen=True)
class LinkBounds:
    """Which gaps and lengths the options allow in one video.

    clock: of the video. ValueError where the options are in seconds and there is none.
    """

    options: LinkOptions
    clock: Clock | None = None

    def __post_init__(self) -> None:
        seconds = (self.options.max_gap_seconds, self.options.min_seconds)
        if self.clock is None and any(value is not None for value in seconds):
            raise ValueError("expected the clock of the video, as gaps or lengths are in seconds")

    def earliest(self, frames: np.ndarray) -> np.ndarray:
        """Of boxes on frames (M,): the earliest frame whose boxes they may follow."""
        if self.clock is None or self.options.max_gap_seconds is None:
            return frames - (self.options.max_gap + 1)
        # the frame before the first one that begins within the gap
        limits = self.clock.seconds(frames) - self.options.max_gap_seconds
        return np.minimum(self.clock.first_frame_from(limits), frames) - 1

    def long_enough(self, first: np.ndarray, last: np.ndarray) -> np.ndarray:
        """Whether tubes from frames `first` to `last`, both (N,) and inclusive, may stay."""
        if self.clock is None or self.options.min_seconds is None:
            return last - first + 1 >= self.options.min_length
        lasting = self.clock.seconds(last + 1) - self.clock.seconds(first)
        return lasting >= self.options.min_seconds - 1e-6


def link_video(
    video: VideoDetections, options: LinkOptions | None = None, clock: Clock | None = None
) -> list[Tube]:
    """Tubes of one video, sorted by start, then class, then score (highest first).

    A tube's score is the mean score over its frames; an interpolated box counts 0, so that boxes
    strung together over gaps rank below an unbroken tube. clock: of options in seconds (default:
    the detections').
    """
    options = options or LinkOptions()
    bounds = LinkBounds(options, clock or video.clock)
    order = np.lexsort((*video.boxes.T[::-1], video.frames))  # whatever the order in a frame
    frames, boxes = video.frames[order], video.boxes[order]
    links = link_boxes(frames, boxes, bounds.earliest(frames), min_overlap=options.min_overlap)
    classes = (
        (label, _taking_part(video.scores[order, label], options.min_score))
        for label in range(video.num_classes)
    )
    tubes = []
    for label, rows, lengths in best_paths(frames, links, classes, options.overlap_weight):
        scores = video.scores[order[rows], label]
        found = [
            make_tube(frames[rows[part]], boxes[rows[part]], label, score)
            for part, score in _stretches(frames[rows], scores, lengths, bounds)
        ]
        # of equal scores the longer is better, then the earlier
        found.sort(key=lambda tube: (-len(tube), tube.start, *tube.boxes[0]))
        tubes += suppress_tubes(found, options.max_tube_overlap)
    return in_order(tubes)


def _taking_part(scores: np.ndarray, min_score: float) -> np.ndarray:
    """Scores (M,) of a class, 0 where a box takes no part in it."""
    return np.where(scores >= min_score, scores, 0.0)


def _stretches(
    frames: np.ndarray, scores: np.ndarray, lengths: np.ndarray, bounds: LinkBounds
) -> Iterator[tuple[slice, float]]:
    """The remainder of each path after trimming, if it is long enough: (rows, score of the tube).

    frames, scores (K,): path after path; lengths (P,).
    """
    stops = np.cumsum(lengths)
    long = np.flatnonzero(bounds.long_enough(frames[stops - lengths], frames[stops - 1]))
    for start, stop in zip((stops - lengths)[long].tolist(), stops[long].tolist(), strict=True):
        for first, last in _parts(scores[start:stop], bounds.options.switch_cost):
            part = slice(start + first, start + last)
            ends = frames[part.start], frames[part.stop - 1]
            if bounds.long_enough(*ends):
                length = int(ends[1] - ends[0]) + 1
                yield part, float(scores[part].sum()) / length


def in_order(tubes: Iterable[Tube]) -> list[Tube]:
    """Sorted by start, then class, then score (highest first), then place."""
    return sorted(tubes, key=lambda tube: (tube.start, tube.label, -tube.score, *tube.boxes[0]))


def _parts(scores: np.ndarray, switch_cost: float | None) -> list[tuple[int, int]]:
    if switch_cost is None or len(scores) == 1:
        return [(0, len(scores))]
    return trim(scores, switch_cost)


def make_tube(frames: np.ndarray, boxes: np.ndarray, label: int, score: float = 1.0) -> Tube:
    """A tube through boxes (L, 4) on increasing frames (L,), with linear boxes on those between."""
    start, stop = int(frames[0]), int(frames[-1]) + 1
    if stop - start > len(frames):
        every = np.arange(start, stop)
        boxes = np.stack([np.interp(every, frames, column) for column in boxes.T], axis=1)
    return Tube(start, boxes, label, score)
