"""A data set's videos at a model's rate: which are shown tick by tick, and how they are read."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from stadet.datasets.clips.clip_dataset import ReadFrame
from stadet.datasets.clips.resample import (
    ResampledVideo,
    resample,
    resampled_annotations,
    same_rate,
)
from stadet.detect.structures import AnnotationSet, VideoAnnotations


def at_rate(
    annotations: AnnotationSet, fps: float | None, *, prefer_truth: bool = False
) -> AnnotationSet:
    """The same truth, videos of another rate than `fps` tick by tick; None: all as they are.

    prefer_truth: a tick shows a looked-at frame where it has one.
    """
    if fps is None or all(same_rate(video.clock, fps) for video in annotations):
        return annotations
    videos: dict[str, VideoAnnotations] = {}
    for video in annotations:
        videos[video.name] = video
        if not same_rate(video.clock, fps):
            prefer = video.looked_at if prefer_truth else None
            stream = resample(video.clock, video.num_frames, fps, prefer=prefer)
            videos[video.name] = resampled_annotations(video, stream)
    return AnnotationSet(annotations.names, videos)


def ticks_of(annotations: AnnotationSet) -> dict[str, np.ndarray]:
    """Of the videos that are shown tick by tick: the frame of each tick."""
    return {v.name: v.stream.shown for v in annotations if isinstance(v, ResampledVideo)}


def read_tick(
    read: ReadFrame, shown: Mapping[str, np.ndarray], video: str, place: int
) -> np.ndarray:
    """Frame `place` of a video, or the one that its tick `place` shows."""
    return read(video, int(shown[video][place]) if video in shown else place)


def shown_of(mask: np.ndarray, video: VideoAnnotations) -> np.ndarray:
    """(F,) values of the frames of the video itself, as its ticks show them."""
    return mask[video.stream.shown] if isinstance(video, ResampledVideo) else mask


def source_length(video: VideoAnnotations) -> int:
    """Frames of the video itself."""
    return len(video.stream.ticks) if isinstance(video, ResampledVideo) else video.num_frames


def times_in_frames(annotations: AnnotationSet, fps: float | None) -> dict[str, np.ndarray]:
    """Of videos at another rate: when each frame is shown, counted in frames at `fps`."""
    if fps is None:
        return {}
    return {
        video.name: video.clock.seconds(np.arange(video.num_frames)) * fps
        for video in annotations
        if not same_rate(video.clock, fps)
    }


def frames_within_reach(
    annotations: AnnotationSet, before: int, after: int = 0, *, fps: float | None = None
) -> dict[str, np.ndarray]:
    """For each video the sorted indices of its looked-at frames and of so many frames before and
    after each: a small part of a video with a key frame a second (AVA).

    fps: the rate of those frames, for videos of another one; None: each video's own.
    """
    needed = {}
    for video in annotations:
        key_frames = np.flatnonzero(video.looked_at)
        first, stop = key_frames - before, key_frames + after + 1
        if fps is not None and not same_rate(video.clock, fps):
            times = video.clock.seconds(np.arange(video.num_frames))
            # one frame more on either side: the nearest to a moment may lie beyond it
            first = np.searchsorted(times, times[key_frames] - before / fps, side="right") - 2
            stop = np.searchsorted(times, times[key_frames] + after / fps) + 2
        change = np.zeros(video.num_frames + 1, dtype=np.int64)
        np.add.at(change, np.maximum(first, 0), 1)
        np.add.at(change, np.minimum(stop, video.num_frames), -1)
        needed[video.name] = np.flatnonzero(change.cumsum()[:-1] > 0)
    return needed
