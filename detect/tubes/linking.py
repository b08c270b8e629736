"""Tubes from the detections of whole videos: linking, trimming, suppression.

The same input gives the same tubes, whatever the order of the boxes within a frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

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
    """

    min_score: float = 0.01
    min_overlap: float = 0.2
    overlap_weight: float = 1.0
    max_gap: int = 5
    switch_cost: float | None = 3.0
    max_tube_overlap: float = 0.5
    min_length: int = 8


def link_video(video: VideoDetections, options: LinkOptions | None = None) -> list[Tube]:
    """Tubes of one video, sorted by start, then class, then score (highest first).

    A tube's score is the mean score over its frames; an interpolated box counts 0, so that boxes
    strung together over gaps rank below an unbroken tube.
    """
    options = options or LinkOptions()
    order = np.lexsort((*video.boxes.T[::-1], video.frames))  # whatever the order in a frame
    frames, boxes = video.frames[order], video.boxes[order]
    links = link_boxes(frames, boxes, min_overlap=options.min_overlap, max_gap=options.max_gap)
    classes = (
        (label, _taking_part(video.scores[order, label], options.min_score))
        for label in range(video.num_classes)
    )
    tubes = []
    for label, rows, lengths in best_paths(frames, links, classes, options.overlap_weight):
        scores = video.scores[order[rows], label]
        found = [
            make_tube(frames[rows[part]], boxes[rows[part]], label, score)
            for part, score in _stretches(frames[rows], scores, lengths, options)
        ]
        # of equal scores the longer is better, then the earlier
        found.sort(key=lambda tube: (-len(tube), tube.start, *tube.boxes[0]))
        tubes += suppress_tubes(found, options.max_tube_overlap)
    return in_order(tubes)


def _taking_part(scores: np.ndarray, min_score: float) -> np.ndarray:
    """Scores (M,) of a class, 0 where a box takes no part in it."""
    return np.where(scores >= min_score, scores, 0.0)


def _stretches(
    frames: np.ndarray, scores: np.ndarray, lengths: np.ndarray, options: LinkOptions
) -> Iterator[tuple[slice, float]]:
    """The remainder of each path after trimming, if it is long enough: (rows, score of the tube).

    frames, scores (K,): path after path; lengths (P,).
    """
    stops = np.cumsum(lengths)
    spans = frames[stops - 1] - frames[stops - lengths] + 1
    long = np.flatnonzero(spans >= options.min_length)
    for start, stop in zip((stops - lengths)[long].tolist(), stops[long].tolist(), strict=True):
        for first, last in _parts(scores[start:stop], options.switch_cost):
            part = slice(start + first, start + last)
            length = int(frames[part.stop - 1] - frames[part.start]) + 1
            if length >= options.min_length:
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
