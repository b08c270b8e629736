"""One pass over a video file with PyAV: frames in order, damage counted, turned upright."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import av.error
import numpy as np
from av.video.reformatter import VideoReformatter

from stadet.engine.errors import UserError

MAX_PIXELS = 1 << 26  # of a frame: more is a damaged header, and memory for nothing
MAX_RATE = 100_000  # frames a second that a file may declare
TURN_ERROR = 0.02  # sine of the angle by which a quarter turn may be off


@dataclass(frozen=True)
class DecodeLimits:
    """What decoding may come to.

    Attributes:
        frame_pixels: most pixels of a frame; larger ones count as damaged packets, undecoded.
        pass_pixels: most pixels of all frames of a pass over a file; None: no limit.
    """

    frame_pixels: int = MAX_PIXELS
    pass_pixels: int | None = None


_limits = DecodeLimits()


@contextlib.contextmanager
def decode_limits(limits: DecodeLimits) -> Iterator[None]:
    """Decode within `limits` in the block, in all threads: for files of strangers."""
    global _limits
    before, _limits = _limits, limits
    try:
        yield
    finally:
        _limits = before


def current_limits() -> DecodeLimits:
    """What a decoder that is opened now keeps to."""
    return _limits


# one thread, as in decoding; before PyAV 17 the scaler never took more
SCALER: dict[str, Any] = {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}


class Decoder:
    """A video file opened for decoding; iterate over it for its frames in presentation order.

    Damaged packets are left out and counted in `damaged`, the same ones in every pass, so that
    the index of a frame is its place in a pass from the start.

    Decoding takes one thread: at 720p that is some thirty times real time, costs half the CPU
    time of frame threads and keeps parallel workers out of each other's way. So does conversion to
    RGB, whose threads would be missing in a forked process, which then waits for them.
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
            # its tags may be in any encoding
            self._container = av.open(f"file:{self.path}", metadata_errors="replace")
        except av.error.FFmpegError as error:
            raise UserError(
                f"{self.path}: expected a video, found a file that FFmpeg cannot open "
                f"({error.strerror}); it is no video or was cut off before its header was written"
            ) from error
        self._limits = _limits
        try:
            self._stream = self._video_stream()
        except BaseException:
            self._container.close()
            raise
        self._stream.codec_context.thread_count = 1
        # a stream may grow in its middle, whatever its header says
        self._stream.codec_context.options = {"max_pixels": str(self._limits.frame_pixels)}
        self._reformatter = VideoReformatter()
        self.damaged = 0

    def _video_stream(self) -> av.VideoStream:
        """The best stream of moving pictures that can be decoded; UserError where there is none."""
        covers = av.stream.Disposition.attached_pic
        moving = [s for s in self._container.streams.video if not s.disposition & covers]
        if not moving:
            found = "only a cover picture" if self._container.streams.video else "no video stream"
            raise UserError(f"{self.path}: expected a video, found {found} in the file")
        best = self._container.streams.best("video")
        stream = best if best in moving else moving[0]
        if stream.codec_context is None:
            raise UserError(
                f"{self.path}: expected a video, found a codec that this FFmpeg cannot decode; "
                "re-encode it, e.g. as H.264"
            )
        height, width = stream.codec_context.height, stream.codec_context.width
        most = self._limits.frame_pixels
        if height * width > most:
            raise UserError(
                f"{self.path}: expected frames of at most {most:,} pixels, found "
                f"{width}x{height}; the file is damaged, or scale it down"
            )
        return stream

    @property
    def time_base(self) -> Fraction:
        """Seconds a tick of `frame.pts`."""
        return self._stream.time_base or Fraction(0)

    @property
    def declared_frames(self) -> int:
        """As in the container, often wrong; 0 where it says nothing."""
        return max(0, self._stream.frames)

    @property
    def declared_rates(self) -> list[Fraction]:
        """Frames a second as the file declares them, the most trusted first."""
        stream = self._stream
        rates = [stream.guessed_rate, stream.codec_context.framerate, stream.average_rate]
        return [Fraction(rate) for rate in rates if rate and 0 < rate < MAX_RATE]

    def __iter__(self) -> Iterator[av.VideoFrame]:
        packets, most, pixels = self._container.demux(self._stream), self._limits.pass_pixels, 0
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
            pixels += sum(frame.width * frame.height for frame in frames)
            if most is not None and pixels > most:
                raise UserError(
                    f"{self.path}: expected at most {most / 1e9:g} gigapixels in all frames, found "
                    "more; cut the video or scale it down"
                )
            yield from frames
            if packet is None:
                return

    def packet_times(self) -> np.ndarray | None:
        """(F,) int64 presentation times of all packets that are to be shown, in ascending order,
        without decoding them; None where one has no time or is damaged. Then nothing is left to
        iterate over."""
        times = []
        for packet in self._container.demux(self._stream):
            if not packet.size or packet.is_discard:  # the end; or cut away by an edit list
                continue
            if packet.pts is None or packet.is_corrupt:
                return None
            times.append(packet.pts)
        return np.sort(np.array(times, dtype=np.int64)) if times else None

    def seek(self, pts: int) -> bool:
        """Move to a key frame at or before `pts`, as far as the container can; False: it cannot."""
        try:
            self._container.seek(pts, stream=self._stream, backward=True)
        except av.error.FFmpegError:
            return False
        return True

    def rgb(self, frame: av.VideoFrame) -> np.ndarray:
        """(H, W, 3) uint8 RGB of a frame, turned and mirrored as the file says."""
        try:
            image = self._reformatter.reformat(frame, format="rgb24", **SCALER).to_ndarray()
        except (av.error.FFmpegError, ValueError) as error:
            raise UserError(
                f"{self.path}: expected frames that convert to RGB, found {frame.format.name} of "
                f"{frame.width}x{frame.height} ({error}); re-encode it"
            ) from error
        return upright(frame, self.path).apply(image)

    def close(self) -> None:
        self._container.close()

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class Upright:
    """Operations that make a stored image upright: transposed first, then mirrored left to right
    and top to bottom."""

    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    def apply(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) as stored to the upright image."""
        turned = image.transpose(1, 0, 2) if self.transpose else image
        if self.mirror_x:
            turned = turned[:, ::-1]
        if self.mirror_y:
            turned = turned[::-1]
        return np.ascontiguousarray(turned)


def upright(frame: av.VideoFrame, path: Path | str) -> Upright:
    """From a frame's display matrix (libavutil/display.h): a stored pixel (x, y) is shown at
    (a x + c y, b x + d y), rows a, b and c, d of the matrix.

    UserError for turns by other angles than quarters.
    """
    try:
        data = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV 18.1 refuses all of it where FFmpeg adds Exif data, as of Motion JPEG
        turn = np.radians(frame.rotation)
        numbers = np.array([np.cos(turn), -np.sin(turn), 0, np.sin(turn), np.cos(turn), 0, 0, 0, 1])
    else:
        if data is None:
            return Upright()
        numbers = np.frombuffer(bytes(cast(Any, data)), dtype=np.int32)[:9].astype(np.float64)
    if len(numbers) == 9:
        a, b, _, c, d = numbers[:5]
        along, across = min(abs(a), abs(d)), min(abs(b), abs(c))
        if across <= TURN_ERROR * along and max(abs(b), abs(c)) <= TURN_ERROR * along:
            if along > 0:
                return Upright(False, bool(a < 0), bool(d < 0))
        elif max(abs(a), abs(d)) <= TURN_ERROR * across:
            return Upright(True, bool(c < 0), bool(b < 0))
    raise UserError(
        f"{path}: expected a rotation by quarter turns, found {frame.rotation} degrees; "
        "re-encode it"
    )


def upright_size(frame: av.VideoFrame, path: Path) -> tuple[int, int]:
    """(height, width) of a frame once it is upright."""
    size = (frame.height, frame.width)
    return size[::-1] if upright(frame, path).transpose else size
