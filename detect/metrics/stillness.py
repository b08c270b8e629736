"""Where hands rest, measured from the truth's tracks."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from stadet.detect.structures import NO_TRACK, AnnotationSet, VideoAnnotations

MOTION = 0.08  # share of a box's size (root of its area) by which its edges may move at rest
SHORTEST = 0.25  # seconds that a rest lasts at least
GAP = 1.0  # seconds between two annotated boxes of a track above which nothing is known


def motionless_spans(
    truth: AnnotationSet,
    labels: Iterable[str],
    *,
    motion: float = MOTION,
    shortest: float = SHORTEST,
) -> dict[str, list[tuple[int, int]]]:
    """For each video the frames first..last, inclusive, on which a track of one of `labels` rests.

    A track rests from a box on for as long as no edge of its later boxes is further than `motion`
    of that box's size from it, if that is at least `shortest` seconds. Boxes without a track, and
    stretches of which no box is annotated for a second, are nowhere at rest.
    """
    wanted = [truth.names.index(name) for name in labels]
    return {video.name: _spans(video, wanted, motion, shortest) for video in truth}


def _spans(
    video: VideoAnnotations, labels: list[int], motion: float, shortest: float
) -> list[tuple[int, int]]:
    of_interest = video.labels[:, labels].any(axis=1) & ~video.ignored
    found = []
    for track in np.unique(video.track_ids[of_interest]):
        if track == NO_TRACK:
            continue
        rows = np.flatnonzero(of_interest & (video.track_ids == track))
        frames, boxes = video.frames[rows], video.boxes[rows]
        times = video.clock.seconds(frames)
        start = 0
        while start < len(rows):
            stop = _end_of_rest(boxes, times, start, motion)
            if times[stop - 1] - times[start] >= shortest:
                found.append((int(frames[start]), int(frames[stop - 1])))
                start = stop
            else:
                start += 1
    return sorted(found)


def _end_of_rest(boxes: np.ndarray, times: np.ndarray, start: int, motion: float) -> int:
    """One past the last row of a track that is where row `start` is."""
    sides = boxes[start, 2:] - boxes[start, :2]
    limit = motion * np.sqrt(sides.prod())
    stop = start + 1
    while (
        stop < len(boxes)
        and np.abs(boxes[stop] - boxes[start]).max() <= limit
        and times[stop] - times[stop - 1] <= GAP
    ):
        stop += 1
    return stop
