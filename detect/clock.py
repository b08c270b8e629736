"""Frame indices and seconds: the one place that converts between them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from stadet.engine.errors import UserError

_TICK = 1e-6  # seconds: a time this close before a frame counts as that frame's


def exact_rate(fps: float | Fraction) -> Fraction:
    """Frames per second as the fraction that a video file holds, as 30000/1001 for 29.97."""
    if not math.isfinite(fps):
        raise UserError(f"fps: expected a number above 0, found {fps}")
    exact = fps if isinstance(fps, Fraction) else Fraction(float(fps))  # numpy's numbers, too
    return exact.limit_denominator(1001)


@dataclass(frozen=True, eq=False)
class Clock:
    """Times of the frames of a video, in seconds from its first frame.

    fps: frames a second, the mean where the rate varies.
    times: (F,) float64 seconds, strictly increasing, of a video whose frames are not evenly spaced;
        None: frame f is shown at f / fps.

    A frame is shown until the next one; the last frame of a variable rate for the median distance.
    """

    fps: float
    times: np.ndarray | None = None

    def __post_init__(self) -> None:
        if not (np.isfinite(self.fps) and self.fps > 0):
            raise ValueError(f"expected a frame rate above 0, found {self.fps}")
        if self.times is None:
            return
        if self.times.ndim != 1 or not len(self.times) or not np.isfinite(self.times).all():
            raise ValueError("expected finite times (F,), one for each frame")
        if (np.diff(self.times) <= 0).any():
            raise ValueError("expected strictly increasing times")

    @property
    def constant(self) -> bool:
        """Are all frames evenly spaced?"""
        return self.times is None

    def __getitem__(self, frames: slice) -> Clock:
        """The clock of a stretch of consecutive frames, which begins at second 0."""
        if self.times is None:
            return self
        times = self.times[frames]
        return Clock(self.fps, times - times[0] if len(times) else None)

    def seconds(self, frames: np.ndarray | int) -> np.ndarray:
        """Start of each frame, float64 of the shape of `frames`; frame F is the video's end."""
        frames = np.asarray(frames)
        if self.times is None:
            return frames / self.fps
        inside = np.clip(frames, 0, len(self.times) - 1)
        found = self.times[inside]
        return found if (frames == inside).all() else found + (frames - inside) * self._typical

    def duration(self, start: int, stop: int) -> float:
        """Seconds that frames start..stop - 1 are shown."""
        return float(self.seconds(stop) - self.seconds(start))

    def frame_at(self, seconds: np.ndarray | float) -> np.ndarray:
        """The frame shown at each time, int64; at least 0, at most F - 1 where F is known."""
        seconds = np.asarray(seconds, dtype=np.float64) + _TICK
        if self.times is None:
            return np.maximum(np.floor(seconds * self.fps), 0).astype(np.int64)
        return np.maximum(np.searchsorted(self.times, seconds, side="right") - 1, 0)

    def first_frame_from(self, seconds: np.ndarray | float) -> np.ndarray:
        """The first frame that begins at or after each time, int64; F past the last where F is
        known."""
        seconds = np.asarray(seconds, dtype=np.float64) - _TICK
        if self.times is None:
            return np.ceil(seconds * self.fps).astype(np.int64)
        return np.searchsorted(self.times, seconds, side="left")

    def nearest_frame(self, seconds: np.ndarray | float) -> np.ndarray:
        """The frame that begins nearest to each time, int64, negative before the first frame and
        F or more past the last; the earlier of two (under a constant rate the even one)."""
        seconds = np.asarray(seconds, dtype=np.float64)
        if self.times is None:
            return np.rint(seconds * self.fps).astype(np.int64)
        middles = (self.times[1:] + self.times[:-1]) / 2
        within = np.searchsorted(middles, seconds - _TICK, side="right")
        beyond = np.rint((seconds - np.clip(seconds, 0, self.times[-1])) / self._typical)
        return within + beyond.astype(np.int64)

    @cached_property
    def _typical(self) -> float:
        """Median distance between frames, seconds."""
        assert self.times is not None
        return float(np.median(np.diff(self.times))) if len(self.times) > 1 else 1 / self.fps


def seconds_in_videos(clocks: Sequence[Clock], video: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """(N,) start of frames (N,) of the videos `video` (N,), which index `clocks`."""
    seconds = np.zeros(len(frames))
    for number in np.unique(video):
        rows = video == number
        seconds[rows] = clocks[number].seconds(frames[rows])
    return seconds


def time_of_day(text: Any, where: str) -> float:
    """Seconds after midnight of h:mm or h:mm:ss; `UserError` otherwise."""
    match = re.fullmatch(r"(\d{1,2}):([0-5]\d)(?::([0-5]\d))?", text if type(text) is str else "")
    if match is None:
        raise UserError(f"{where}: expected h:mm or h:mm:ss, found {text!r}")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds
