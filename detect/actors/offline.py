"""Actors of detections that are there already."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from stadet.detect.actors.tracker import ActorOptions, ActorTracker
from stadet.detect.clock import Clock
from stadet.detect.detections.detection_set import VideoDetections
from stadet.detect.structures import NO_TRACK
from stadet.engine.errors import UserError


def find_actors(
    video: VideoDetections,
    options: ActorOptions | None = None,
    *,
    clock: Clock | None = None,
    cuts: Collection[int] = (),
) -> VideoDetections:
    """The same detections with `actor_ids`: what `ActorTracker` says frame by frame.

    Frames that the model has seen without finding anything are shown, too; ids begin anew after a
    stretch that it has not seen of more than `max_gap` seconds.

    Args:
        video: detections of one video.
        options: of the actors.
        clock: times of the frames (default: the video's own).
        cuts: frames with which another scene begins, where ids begin anew.

    Raises:
        UserError: for a video whose frame rate is not known.
    """
    clock = clock or video.clock
    if clock is None:
        raise UserError(
            f"{video.name}: expected its frames a second, found none in the detections file; "
            "give --fps"
        )
    tracker = ActorTracker(options, fps=clock.fps)
    ids = np.full(len(video), NO_TRACK)
    spans = [np.arange(first, last + 1) for first, last in video.processed.tolist()]
    frames = np.unique(np.concatenate([video.frames, *spans]))
    starts = np.searchsorted(video.frames, frames)
    stops = np.searchsorted(video.frames, frames, side="right")
    for frame, seconds, start, stop in zip(
        frames.tolist(), clock.seconds(frames).tolist(), starts, stops, strict=True
    ):
        if frame in cuts:
            tracker.reset()
        found = video[frame]
        assert found is not None  # a processed frame
        ids[start:stop] = tracker.update(seconds, found)
    return replace(video, actor_ids=ids)
