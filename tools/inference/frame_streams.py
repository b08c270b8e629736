"""Frames of one size in order, with their times: from videos, cameras, arrays and iterators."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from stadet.datasets.clips.live_batches import camera_frames
from stadet.datasets.footage.video import Video, open_video
from stadet.detect.clock import Clock
from stadet.engine.errors import UserError
from stadet.tools.inference.sources import CAMERA, expand_sources

Channels = Literal["rgb", "bgr"]
_END = object()


@dataclass(frozen=True)
class FrameStream:
    """One video as frames in order.

    Attributes:
        name: of the video.
        size: (height, width) in pixels.
        frames: from a first frame on, (index, (H, W, 3) uint8 RGB); a source that cannot be read
            twice begins where it is.
        seconds: time of a frame that has been handed out not long ago (`RecentTimes.KEPT` frames);
            None where it is not known.
        length: number of frames; None where it is not known.
        known: when every frame is shown, where that is known beforehand.
        notes: what a user should know of the video, one line each.
    """

    name: str
    size: tuple[int, int]
    frames: Callable[[int], Iterator[tuple[int, np.ndarray]]]
    seconds: Callable[[int], float | None]
    length: int | None = None
    notes: tuple[str, ...] = ()
    known: Clock | None = None

    @property
    def clock(self) -> Clock | Callable[[int], float | None] | None:
        """Times of frames: known beforehand, or of a frame that has been handed out; None: not
        known at all."""
        if self.known is not None:
            return self.known
        return self.seconds if isinstance(self.seconds, RecentTimes) else None


class RecentTimes:
    """Times of the last frames of a stream: those on their way through the network."""

    KEPT = 4096

    def __init__(self) -> None:
        self._times: dict[int, float] = {}

    def __call__(self, frame: int) -> float:
        return self._times[frame]

    def add(self, frame: int, seconds: float) -> None:
        """The time of the next frame."""
        self._times[frame] = seconds
        self._times.pop(frame - self.KEPT, None)

    def arriving(
        self, frames: Iterable[tuple[int, np.ndarray]]
    ) -> Iterator[tuple[int, np.ndarray]]:
        """The frames of a camera, each timed as it arrives, from the first one on."""
        began = None
        for index, image in frames:
            now = time.monotonic()
            began = now if began is None else began
            self.add(index, now - began)
            yield index, image


def path_streams(sources: list[str], *, fps: float | None = None) -> Iterator[FrameStream]:
    """Every video that paths name (as on a command line), each opened when it is reached.

    fps: of frame folders. UserError at once for what is not there.
    """
    places = expand_sources(sources)
    return (open_stream(name, place, fps=fps) for name, place in places.items())


def open_stream(name: str, place: str | Path, *, fps: float | None = None) -> FrameStream:
    """A video file, a frame folder or a camera (`camera:N`).

    fps: of a frame folder or a camera. UserError where there is nothing to read, and for an fps of
    a file.
    """
    if str(place).startswith(CAMERA):
        frames, size = camera_frames(int(str(place).removeprefix(CAMERA)))
        if fps is not None:
            return FrameStream(
                name, size, lambda _: iter(frames), _divided_by(fps), known=_even(fps)
            )
        times = RecentTimes()
        return FrameStream(name, size, lambda _: times.arriving(frames), times)
    if fps is not None and not Path(place).is_dir():
        raise UserError(f"{place}: expected no fps with a video file, which has its own times")
    return video_stream(open_video(place, name=name, fps=fps))


def open_first_pass_stream(name: str, place: str | Path) -> FrameStream | None:
    """A video file that has no index yet, to be read once and as a whole, which makes the index;
    None for every other source. See `stadet.datasets.footage.first_pass`."""
    from stadet.datasets.footage.first_pass import open_first_pass

    if str(place).startswith(CAMERA):
        return None
    video = open_first_pass(place, name=name)
    return None if video is None else video_stream(video)


def video_stream(video: Video) -> FrameStream:
    """An opened video."""
    times = video.timestamps
    return FrameStream(
        video.name,
        video.size,
        video.frames,
        lambda frame: float(times[frame]),
        len(video),
        video.notes,
        video.clock,
    )


def array_stream(
    frames: Iterable[np.ndarray],
    *,
    fps: float | None = None,
    timestamps: Iterable[float] | None = None,
    channels: Channels = "rgb",
    name: str = "frames",
) -> Iterator[FrameStream]:
    """Given frames as one stream; none where there is no frame. The first frame sets the size.

    UserError, when they are reached, for frames of another size and for times that do not increase
    or end before the frames do.
    """
    times = RecentTimes()
    given = None if timestamps is None else iter(timestamps)

    def checked(first: np.ndarray, rest: Iterator[object]) -> Iterator[tuple[int, np.ndarray]]:
        before = float("-inf")
        index, frame = 0, first
        while True:
            if given is not None:
                given_time = next(given, None)
                if given_time is None:
                    raise UserError(f"timestamps: expected one for each frame, found only {index}")
                if not given_time > before:
                    raise UserError(
                        f"timestamps: expected increasing seconds, found {given_time} for frame "
                        f"{index} after {before}"
                    )
                before = float(given_time)
                times.add(index, before)
            yield index, frame
            following = next(rest, _END)
            if following is _END:
                return
            index += 1
            frame = check_frame(following, channels, size, index)

    rest: Iterator[object] = iter(frames)
    beginning = next(rest, _END)
    if beginning is _END:
        return
    first = check_frame(beginning, channels, None, 0)
    size = (first.shape[0], first.shape[1])
    seconds = times if given is not None else _divided_by(fps)
    known = None if given is not None else _even(fps)
    yield FrameStream(name, size, lambda _: checked(first, rest), seconds, known=known)


def check_frame(
    frame: object, channels: Channels, size: tuple[int, int] | None, index: int
) -> np.ndarray:
    """A frame as (H, W, 3) uint8 RGB, of an array or what numpy takes for one (a PIL image, a
    tensor). UserError for another shape, type or size."""
    if hasattr(frame, "__array__") or hasattr(frame, "__array_interface__"):
        frame = np.asarray(frame)
    if not (
        isinstance(frame, np.ndarray)
        and frame.dtype == np.uint8
        and frame.ndim == 3
        and frame.shape[2] == 3
        and frame.size
    ):
        raise UserError(
            f"frame {index}: expected an array (H, W, 3) of uint8, found {_found(frame)}"
        )
    if size is not None and frame.shape[:2] != size:
        raise UserError(
            f"frame {index}: expected {size[1]}x{size[0]} pixels as before, found "
            f"{frame.shape[1]}x{frame.shape[0]}; frames of another size are another stream"
        )
    return np.ascontiguousarray(frame[..., ::-1]) if channels == "bgr" else frame


def _found(frame: object) -> str:
    """What was given instead of a frame, and for the usual slips how it becomes one."""
    if not isinstance(frame, np.ndarray):
        return type(frame).__name__
    found = f"{frame.dtype} {frame.shape}"
    if frame.ndim == 3 and frame.shape[0] == 3 and frame.shape[2] != 3:
        return f"{found}; image.transpose(1, 2, 0) puts the colours last"
    if frame.ndim == 3 and frame.shape[2] == 3 and frame.dtype.kind == "f":
        return f"{found}; of values from 0 to 1 (image * 255).round().astype(np.uint8) makes it"
    return found


def _even(fps: float | None) -> Clock | None:
    return None if fps is None else Clock(fps)


def _divided_by(fps: float | None) -> Callable[[int], float | None]:
    return lambda frame: None if fps is None else frame / fps
