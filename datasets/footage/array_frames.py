"""An array of frames read as a video."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np

from stadet.detect.clock import exact_rate
from stadet.engine.errors import UserError


class ArrayFrames:
    """A `FrameSource` over (T, H, W, 3) uint8 RGB frames in memory.

    fps: frames a second. UserError for another shape or type, no frames, or an fps that is not
    above 0.
    """

    def __init__(self, frames: np.ndarray, fps: float | Fraction) -> None:
        found = f"{getattr(frames, 'dtype', type(frames).__name__)} {np.shape(frames)}"
        if not (
            isinstance(frames, np.ndarray)
            and frames.dtype == np.uint8
            and frames.ndim == 4
            and frames.shape[3] == 3
            and frames.size
        ):
            raise UserError(f"expected an array (T, H, W, 3) of uint8, found {found}")
        if not fps > 0:
            raise UserError(f"fps: expected a number above 0, found {fps}")
        self._frames = frames
        self.size: tuple[int, int] = (frames.shape[1], frames.shape[2])
        self.rate = exact_rate(fps)
        self.timestamps = np.arange(len(frames)) / float(self.rate)
        self.constant_rate = True
        self.notes: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        content = np.ascontiguousarray(self._frames)
        return hashlib.sha256(repr(content.shape).encode() + content.tobytes()).hexdigest()

    def frame(self, index: int) -> np.ndarray:
        return self._frames[index].copy()

    def read(self, indices: Sequence[int] | np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        for index in indices:
            yield int(index), self.frame(int(index))

    def close(self) -> None:
        """Nothing is held open."""
