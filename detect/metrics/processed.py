"""Looked-at frames that the model never reached."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stadet.detect.detections.detection_set import DetectionSet, frames_to_ranges
from stadet.detect.structures import AnnotationSet


@dataclass(frozen=True)
class Unprocessed:
    """frames: how many of `looked_at` frames were never processed; ranges: (video, first, last)."""

    frames: int
    looked_at: int
    ranges: list[tuple[str, int, int]]

    def sentence(self) -> str:
        """A sentence for the report; empty where every frame was processed."""
        if not self.frames:
            return ""
        shown = [f"{video!r} frames {first} to {last}" for video, first, last in self.ranges[:3]]
        more = f" and {len(self.ranges) - 3} more ranges" if len(self.ranges) > 3 else ""
        return (
            f"{self.frames:,} of {self.looked_at:,} looked-at frames were never processed "
            f"({', '.join(shown)}{more}); their truths count as missed"
        )


def unprocessed_frames(annotations: AnnotationSet, detections: DetectionSet) -> Unprocessed:
    """Compare the looked-at frames of every video with the processed ranges of the file.

    Ranges run over looked-at frames; frames in between that nobody looked at do not end them.
    """
    frames, looked_at, ranges = 0, 0, []
    for truth in annotations:
        seen = np.flatnonzero(truth.looked_at)
        looked_at += len(seen)
        found = detections.videos.get(truth.name)
        if found is None:
            left = np.arange(len(seen))
        else:
            processed = found.is_processed(seen) | np.isin(seen, found.frames)
            left = np.flatnonzero(~processed)
        frames += len(left)
        ranges += [
            (truth.name, int(seen[first]), int(seen[last]))
            for first, last in frames_to_ranges(left).tolist()
        ]
    return Unprocessed(frames, looked_at, ranges)


def only_processed(annotations: AnnotationSet, detections: DetectionSet) -> AnnotationSet:
    """The annotations narrowed to frames that were processed."""
    videos = {}
    for truth in annotations:
        found = detections.videos.get(truth.name)
        reached = np.zeros_like(truth.looked_at)
        if found is not None:
            reached = found.is_processed(np.arange(truth.num_frames))
            reached[found.frames] = True
        videos[truth.name] = truth.narrowed(reached)
    return AnnotationSet(annotations.names, videos)
