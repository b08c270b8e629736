"""Latency from a frame's capture to its picture, over the last seconds."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LatencyFigures:
    """Figures of the frames drawn within the meter's window.

    Attributes:
        p50: median latency in milliseconds; NaN before the first frame.
        p95: 95th percentile of the latency in milliseconds; NaN before the first frame.
        fps: frames drawn a second.
    """

    p50: float
    p95: float
    fps: float


class LatencyMeter:
    """Latency and rate over a sliding window; constant memory at a bounded frame rate.

    Args:
        window: length of the window in seconds.
    """

    def __init__(self, window: float = 10.0):
        self._window = window
        self._drawn: deque[tuple[float, float]] = deque()  # (time drawn, latency in seconds)

    def add(self, captured: float, drawn: float) -> None:
        """Count a frame. Both times are `time.monotonic` seconds."""
        self._drawn.append((drawn, drawn - captured))
        while self._drawn[0][0] < drawn - self._window:
            self._drawn.popleft()

    def figures(self) -> LatencyFigures:
        """Figures of the present window."""
        if not self._drawn:
            return LatencyFigures(float("nan"), float("nan"), 0.0)
        p50, p95 = np.percentile([latency for _, latency in self._drawn], [50, 95]) * 1000
        span = self._drawn[-1][0] - self._drawn[0][0]
        fps = (len(self._drawn) - 1) / span if span > 0 else 0.0
        return LatencyFigures(float(p50), float(p95), fps)
