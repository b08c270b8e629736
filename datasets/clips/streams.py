"""Streams: which frames a detector with memory runs through to answer for the looked-at ones.

Streams run through time, not through annotations: a frame that nobody looked at is shown like any
other (it has no loss and is not judged), so that memory sees what it would see in `stad predict`.
A stream ends only at the video's end and at a frame of another side of the split.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stadet.datasets.splits.ranges import mask_to_ranges
from stadet.detect.structures import AnnotationSet, VideoAnnotations


def stream_spans(
    video: VideoAnnotations, visible: np.ndarray, lead_in: float | None = None
) -> list[tuple[int, int]]:
    """(start, stop) of the streams through one video, in order; each ends with a looked-at frame.

    visible: (F,) bool, frames that may be shown (no other side's). lead_in: seconds before a
    looked-at frame that are shown at least, where there is footage; None = all from the video's
    beginning or the split's border on, as `stad predict` does.
    """
    shown = visible | video.looked_at
    if lead_in is not None:
        shown = shown & _shortly_before(video, lead_in)
    spans = []
    for first, last in mask_to_ranges(shown):
        looked_at = np.flatnonzero(video.looked_at[first : last + 1])
        if len(looked_at):
            spans.append((first, first + int(looked_at[-1]) + 1))
    return spans


def _shortly_before(video: VideoAnnotations, seconds: float) -> np.ndarray:
    """(F,) bool: frames at most so many seconds before a looked-at frame, and these themselves."""
    frames, looked_at = np.arange(video.num_frames), np.flatnonzero(video.looked_at)
    if not len(looked_at):
        return np.zeros(video.num_frames, dtype=bool)
    place = np.searchsorted(looked_at, frames)
    following = looked_at[np.minimum(place, len(looked_at) - 1)]
    wait = video.clock.seconds(following) - video.clock.seconds(frames)
    return (place < len(looked_at)) & (wait <= seconds + 1e-6)


@dataclass(frozen=True)
class Coverage:
    """Share of a side's footage that is looked at, and the frames its streams run through.

    Attributes:
        frames: frames that may be shown, in the videos with looked-at frames.
        looked_at: how many of them somebody looked at.
        stretches: lengths in frames of the runs of looked-at frames.
        streams: lengths in frames of the streams through them.
    """

    frames: int
    looked_at: int
    stretches: tuple[int, ...]
    streams: tuple[int, ...]

    @property
    def share(self) -> float:
        """Share of the frames that are looked at, in [0, 1]."""
        return self.looked_at / self.frames

    def __str__(self) -> str:
        return (
            f"{self.looked_at} of {self.frames} frames looked at ({100 * self.share:.0f} %) in "
            f"{_lengths(self.stretches, 'stretch', 'stretches')}; detectors with memory run "
            f"through {sum(self.streams)} frames in {_lengths(self.streams, 'stream', 'streams')}"
        )


def coverage(
    annotations: AnnotationSet, visible: Mapping[str, np.ndarray], lead_in: float | None = None
) -> Coverage:
    """Count a side. annotations: narrowed to it; visible, lead_in: as in `stream_spans`, by video
    name."""
    frames, looked_at = 0, 0
    stretches: list[int] = []
    streams: list[int] = []
    for video in annotations:
        frames += int((visible[video.name] | video.looked_at).sum())
        looked_at += int(video.looked_at.sum())
        stretches += [last - first + 1 for first, last in mask_to_ranges(video.looked_at)]
        spans = stream_spans(video, visible[video.name], lead_in)
        streams += [stop - start for start, stop in spans]
    return Coverage(frames, looked_at, tuple(stretches), tuple(streams))


def _lengths(lengths: tuple[int, ...], one: str, several: str) -> str:
    if not lengths:
        return f"no {one}"
    return f"{len(lengths)} {one if len(lengths) == 1 else several} of {_spread(lengths)}"


def _spread(lengths: tuple[int, ...]) -> str:
    least, most = min(lengths), max(lengths)
    if least == most:
        return f"{least} frames"
    return f"{least} to {most} frames (median {np.median(lengths):.0f})"
