"""Recordings of a live stream's pictures."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

from stadet.datasets.footage.writer import VideoWriter
from stadet.datasets.live.reader import LiveFrame
from stadet.tools.streams.session import LiveAnswer

KEEP_SECONDS = 2.0  # of pictures after the last action, of recordings that hold evidence only


class Recorder:
    """H.264 of a stream's pictures; a new stream and a change of size begin another file.

    Args:
        path: the first file; the next ones are numbered, and files that exist are kept.
        evidence_only: write only while an action goes on, and 2 s after it.
    """

    def __init__(self, path: Path, evidence_only: bool):
        self._path, self._evidence_only = path, evidence_only
        self._writer: VideoWriter | None = None
        self._stack = contextlib.ExitStack()
        self._number = 0
        self._began = 0.0
        self._last = -math.inf
        self._until = -math.inf
        self._size: tuple[int, ...] = ()

    def write(self, answer: LiveAnswer, frame: LiveFrame) -> None:
        if answer.happening:
            self._until = frame.seconds + KEEP_SECONDS
        if self._evidence_only and frame.seconds > self._until:
            self.close()
            return
        if self._writer is None or answer.image.shape[:2] != self._size or frame.starts_stream:
            self.close()
            self._open(answer.image.shape[:2], frame.seconds)
        assert self._writer is not None
        if frame.seconds <= self._last:
            return
        self._last = frame.seconds
        self._writer.write(answer.image, time=frame.seconds - self._began)

    def _open(self, size: tuple[int, ...], seconds: float) -> None:
        place = self._path
        while place.exists():
            self._number += 1
            place = self._path.with_stem(f"{self._path.stem}_{self._number:04d}")
        self._size, self._began, self._last = size, seconds, -math.inf
        self._stack = contextlib.ExitStack()
        self._writer = self._stack.enter_context(
            VideoWriter(place, (size[0], size[1]), 25, variable_rate=True)
        )

    def close(self) -> None:
        if self._writer is None:
            return
        self._writer = None
        self._stack.close()
