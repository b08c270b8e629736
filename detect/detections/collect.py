"""Detections frame by frame, put together into a detection set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from stadet.detect.clock import Clock
from stadet.detect.detections.detection_set import (
    DetectionSet,
    VideoDetections,
    frames_to_ranges,
)
from stadet.detect.structures import Detections
from stadet.engine.signatures import checked, expect_kind

_EVEN = 1e-3  # of a frame: times this close to an even rate are taken as even


@checked
def collect_detections(
    detections: Iterable[Detections], names: Sequence[str] | None = None
) -> DetectionSet:
    """Put the detections of many frames together, as tubes and metrics take them.

    Memory grows with the number of boxes: for long footage choose a threshold, or write a file with
    `DetectionsWriter`.

    Args:
        detections: with `frame`, in any order of frames and videos; a frame without boxes counts as
            looked at.
        names: class names (default: those that the detections bring).

    Returns:
        A `DetectionSet` of the videos, with their times where `seconds` of the detections tell.

    Raises:
        ValueError: for detections without a frame or of different classes, a frame that comes
            twice, and where the names of the classes are unknown.

    Example:
        >>> found = stadet.collect_detections(detector("kitchen.mp4"))      # doctest: +SKIP
        >>> tubes = stadet.link_video(found.videos["kitchen"])              # doctest: +SKIP
    """
    known = None if names is None else tuple(names)
    videos: dict[str, list[Detections]] = {}
    for part in detections:
        expect_kind("collect_detections: each of detections", part, "Detections")
        known = part.names if known is None else known
        if part.frame is None:
            raise ValueError(f"expected detections with a frame, found {part!r}")
        if known is None or part.num_classes != len(known) or part.names not in (None, known):
            raise ValueError(f"expected detections of the classes {known}, found {part!r}")
        videos.setdefault(part.video or "video", []).append(part)
    if known is None:
        raise ValueError("expected names of the classes, found neither them nor detections")
    return DetectionSet(
        known, 0.0, {name: _video(name, parts, len(known)) for name, parts in videos.items()}
    )


def _video(name: str, parts: list[Detections], num_classes: int) -> VideoDetections:
    parts = sorted(parts, key=lambda part: part.frame or 0)
    frames = np.array([part.frame for part in parts], dtype=np.int64)
    if (np.diff(frames) == 0).any():
        twice = int(frames[:-1][np.diff(frames) == 0][0])
        raise ValueError(f"{name}: expected each frame once, found frame {twice} twice")
    together = Detections.merge([Detections.empty(num_classes), *parts])
    return VideoDetections(
        name,
        frames.repeat([len(part) for part in parts]),
        together.boxes,
        together.objectness,
        together.scores,
        frames_to_ranges(frames),
        _clock(frames, [part.seconds for part in parts]),
        together.actor_ids,
    )


def _clock(frames: np.ndarray, seconds: list[float | None]) -> Clock | None:
    """Times of the frames; None where they are not known, as of one frame alone."""
    known = [time for time in seconds if time is not None]
    if len(known) < max(2, len(frames)):
        return None
    times = np.array(known) - known[0]
    passed = frames - frames[0]
    if not (np.diff(times) > 0).all():
        return None
    fps = float(passed[-1] / times[-1])
    if np.abs(times * fps - passed).max() < _EVEN:
        return Clock(fps)
    return Clock(fps, times) if passed[-1] == len(frames) - 1 and frames[0] == 0 else None
