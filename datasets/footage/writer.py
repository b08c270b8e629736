"""Writes H.264 mp4 files that browsers play."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.video.reformatter import Colorspace, VideoReformatter

from stadet.detect.clock import exact_rate
from stadet.engine.errors import UserError
from stadet.engine.files import atomic_path
from stadet.engine.signatures import checked

TICKS = Fraction(1, 90_000)  # seconds, for variable rates
BT709 = 1  # the colour matrix that players assume for HD; written into the file


class VideoWriter:
    """H.264, yuv420p, faststart mp4 of `size` (height, width) at `fps`, visible once complete.

    Use as a context manager: on an error inside the block nothing is left and an older file of
    that name stays as it was. H.264 in yuv420p needs even sides: an odd frame gets its last column
    or row twice (no pixel moves, so boxes stay right), which `notes` says.

    fps: a fraction is kept exactly (30000/1001). variable_rate: frames are shown at the `time` they
    are written with; `fps` is then only a hint to players.
    preset, crf: x264's speed and quality; `veryfast` writes over twice real time at 720p on a core.
    Raises `UserError` for a full disk, a folder that cannot be written and for no frame at all.
    """

    @checked
    def __init__(
        self,
        path: str | os.PathLike,
        size: tuple[int, int],
        fps: float | Fraction,
        *,
        variable_rate: bool = False,
        preset: str = "veryfast",
        crf: int = 23,
    ):
        self.path = Path(path)
        self.size = (int(size[0]), int(size[1]))
        self.rate = exact_rate(fps)
        if self.path.suffix.lower() not in {".mp4", ".m4v", ".mov"}:
            raise UserError(
                f"{self.path}: expected the name of an mp4 to write, found the suffix "
                f"{self.path.suffix!r}; name it {self.path.with_suffix('.mp4').name}"
            )
        if min(self.size) < 1 or self.rate <= 0:
            raise ValueError(f"{self.path}: expected a positive size and fps, found {size}, {fps}")
        self.notes: tuple[str, ...] = ()
        self._padding = (self.size[0] % 2, self.size[1] % 2)
        if any(self._padding):
            height, width = self._even_size
            self.notes = (
                f"H.264 needs even sides, so {self.size[1]}x{self.size[0]} is "
                f"written as {width}x{height}, the last column or row twice",
            )
        self._time_base = TICKS if variable_rate else 1 / self.rate
        self._variable_rate = variable_rate
        self._options = {"preset": preset, "crf": str(crf)}
        self._reformatter = VideoReformatter()
        self._count = 0
        self._last_tick = -1

    @property
    def _even_size(self) -> tuple[int, int]:
        return (self.size[0] + self._padding[0], self.size[1] + self._padding[1])

    def __len__(self) -> int:
        """Frames written so far."""
        return self._count

    def __enter__(self) -> VideoWriter:
        self._session = self._open()
        self._session.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        return self._session.__exit__(kind, error, trace)

    @contextlib.contextmanager
    def _open(self) -> Iterator[None]:
        with (
            atomic_path(self.path) as temporary,
            av.open(str(temporary), "w", format="mp4", options={"movflags": "faststart"}) as output,
        ):
            stream = output.add_stream("libx264", rate=self.rate, options=self._options)
            stream.height, stream.width = self._even_size
            stream.pix_fmt = "yuv420p"
            context = stream.codec_context
            context.time_base = self._time_base
            context.colorspace = context.color_primaries = context.color_trc = BT709
            self._output, self._stream = output, stream
            yield
            if not self._count:
                raise UserError(f"{self.path}: expected frames to write, found none")
            output.mux(stream.encode(None))

    def write(self, image: np.ndarray, time: float | None = None) -> None:
        """Append a frame (H, W, 3) uint8 RGB; `time` in seconds, rising, under a variable rate."""
        if image.shape != (*self.size, 3) or image.dtype != np.uint8:
            raise ValueError(
                f"{self.path}: expected a frame ({self.size[0]}, {self.size[1]}, 3) uint8, found "
                f"{image.shape} {image.dtype}"
            )
        if (time is not None) != self._variable_rate:
            raise ValueError(f"{self.path}: times belong to variable_rate=True, and only there")
        if any(self._padding):
            image = np.pad(image, ((0, self._padding[0]), (0, self._padding[1]), (0, 0)), "edge")
        frame = self._reformatter.reformat(
            av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
        )
        tick = self._count if time is None else round(time / TICKS)
        if tick <= self._last_tick:
            raise ValueError(f"{self.path}: expected rising times, found {time} s again or earlier")
        frame.pts, frame.time_base = tick, self._time_base
        self._last_tick = tick
        self._output.mux(self._stream.encode(frame))
        self._count += 1
