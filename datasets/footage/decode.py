"""One pass over a video file with PyAV: frames in order, damage counted, turned upright."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
from av.video.reformatter import VideoReformatter

from stadet.engine.errors import UserError


class Decoder:
    """A video file opened for decoding; iterate over it for its frames in presentation order.

    Damaged packets are left out and counted in `damaged`, the same ones in every pass, so that
    the index of a frame is its place in a pass from the start.

    Decoding takes one thread: at 720p that is some thirty times real time, costs half the CPU
    time of frame threads and keeps parallel workers out of each other's way.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        if not self.path.is_file():
            raise UserError(f"{self.path}: expected a video file, found none; check the path")
        if self.path.stat().st_size == 0:
            raise UserError(
                f"{self.path}: expected a video, found an empty file (0 bytes); copy it again"
            )
        try:
            # the prefix keeps a colon in a name from being read as a protocol
            self._container = av.open(f"file:{self.path}")
        except av.error.FFmpegError as error:
            raise UserError(
                f"{self.path}: expected a video, found a file that FFmpeg cannot open "
                f"({error.strerror}); it is no video or was cut off before its header was written"
            ) from error
        self._stream = self._container.streams.best("video")
        if self._stream is None:
            self._container.close()
            raise UserError(f"{self.path}: expected a video, found a file without a video stream")
        self._stream.codec_context.thread_count = 1
        self._reformatter = VideoReformatter()
        self.damaged = 0

    @property
    def time_base(self) -> Fraction:
        """Seconds a tick of `frame.pts`."""
        return self._stream.time_base

    @property
    def declared_frames(self) -> int:
        """As in the container, often wrong; 0 where it says nothing."""
        return max(0, self._stream.frames)

    @property
    def declared_rates(self) -> list[Fraction]:
        """Frames a second as the file declares them, the most trusted first."""
        stream = self._stream
        rates = [stream.guessed_rate, stream.codec_context.framerate, stream.average_rate]
        return [Fraction(rate) for rate in rates if rate]

    def __iter__(self) -> Iterator[av.VideoFrame]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError:  # the container breaks off here
                self.damaged += 1
                packet = None
            try:
                # None: nothing more to read, so what the decoder still holds
                frames = self._stream.decode(packet)
            except av.error.EOFError:  # already drained by the last packet
                return
            except av.error.FFmpegError:
                self.damaged += 1
                frames = []
            yield from frames
            if packet is None:
                return

    def seek(self, pts: int) -> bool:
        """Move to a key frame at or before `pts`, as far as the container can; False: it cannot."""
        try:
            self._container.seek(pts, stream=self._stream, backward=True)
        except av.error.FFmpegError:
            return False
        return True

    def rgb(self, frame: av.VideoFrame) -> np.ndarray:
        """(H, W, 3) uint8 RGB of a frame, turned as the file's rotation says."""
        image = self._reformatter.reformat(frame, format="rgb24").to_ndarray()
        turns = quarter_turns(frame, self.path)
        return np.ascontiguousarray(np.rot90(image, turns)) if turns else image

    def close(self) -> None:
        self._container.close()

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def quarter_turns(frame: av.VideoFrame, path: Path) -> int:
    """Counter-clockwise quarter turns, 0 to 3, that put a frame upright."""
    turns = round(frame.rotation / 90)
    if abs(frame.rotation - 90 * turns) > 1:  # FFmpeg's degrees are rounded
        raise UserError(
            f"{path}: expected a rotation by quarter turns, found {frame.rotation} degrees; "
            "re-encode it"
        )
    return turns % 4


def upright_size(frame: av.VideoFrame, path: Path) -> tuple[int, int]:
    """(height, width) of a frame once it is upright."""
    size = (frame.height, frame.width)
    return size if quarter_turns(frame, path) % 2 == 0 else size[::-1]
