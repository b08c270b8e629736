"""Tubes from the detections of whole videos: linking, trimming, suppression.

The same input gives the same tubes, whatever the order of the boxes within a frame.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from stadet.detect.detections.detection_set import VideoDetections
from stadet.detect.structures import Tube
from stadet.detect.tubes.graph import build_graph, extract_paths
from stadet.detect.tubes.overlap import suppress_tubes
from stadet.detect.tubes.trimming import trim


@dataclass(frozen=True)
class LinkOptions:
    """Linking of detections into tubes.

    min_score: a box takes no part in a class below it.
    min_overlap: IoU below which two boxes are never linked.
    overlap_weight: weight of a link's IoU against the scores, lambda of Saha et al. 2016.
    max_gap: frames without a box that a tube may bridge; its boxes there are interpolated.
    switch_cost: of a change between action and background in trimming; `None`: no trimming.
    max_tube_overlap: a tube that overlaps a better one of its class by more is dropped.
    min_length: tubes of fewer frames are dropped: one-frame blunders of high score would otherwise
        are at the top of the ranking (the public evaluation of ACT drops those under 15).
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
    frames, boxes, scores = video.frames[order], video.boxes[order], video.scores[order]
    graph = build_graph(
        frames,
        boxes,
        scores,
        min_score=options.min_score,
        min_overlap=options.min_overlap,
        max_gap=options.max_gap,
    )
    nodes, lengths = extract_paths(graph, options.overlap_weight)
    rows, node_scores = graph.rows[nodes], graph.scores[nodes]
    frames, boxes = frames[rows], boxes[rows]  # path after path
    stops = np.cumsum(lengths)
    starts = stops - lengths
    tubes = []
    for start, stop, label in zip(
        starts.tolist(), stops.tolist(), graph.classes[nodes[starts]].tolist(), strict=True
    ):
        for first, last in _parts(node_scores[start:stop], options.switch_cost):
            part = slice(start + first, start + last)
            length = int(frames[part.stop - 1] - frames[part.start]) + 1
            if length >= options.min_length:
                score = float(node_scores[part].sum()) / length
                tubes.append(make_tube(frames[part], boxes[part], label, score))
    tubes = suppress_tubes(tubes, options.max_tube_overlap)
    return in_order(tubes)


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
