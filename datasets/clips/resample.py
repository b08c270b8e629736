"""A stream of frames at another rate: which frame is shown at each even tick of time.

A model that carries a memory, or compares frames, knows motion as change from frame to frame, so it
must see frames as far apart in time as those it was trained on. Ticks are 1 / fps seconds apart,
counted from the first frame. A tick shows the first frame that falls into it (from 0.3 of a tick
before it to 0.7 after it); a tick without a frame shows the last one before it again, for at most
`HOLD_SECONDS`: a longer pause of a recording is shortened to that. Nothing is interpolated.

Every frame is answered for by its tick: a frame that is not shown has the answer of the shown frame
of its tick, at or before it and less than a tick away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from stadet.detect.clock import Clock
from stadet.detect.structures import VideoAnnotations

EARLY = 0.3  # of a tick: frames this much before a tick belong to it
HOLD_SECONDS = 2.0
SAME_RATE = 0.02  # rates that differ by less (29.97 and 30, 23.976 and 24) are the same

Answer = TypeVar("Answer")


def same_rate(clock: Clock, fps: float) -> bool:
    """Are the frames of `clock` evenly spaced and 1 / fps seconds apart, within 2 %?"""
    return clock.constant and abs(clock.fps / fps - 1) <= SAME_RATE


class TickCounter:
    """The tick of each frame of a stream, frame by frame."""

    def __init__(self, fps: float) -> None:
        self.fps = fps
        self._start = 0.0  # seconds of tick `_first`
        self._first = self._tick = 0
        self._last: float | None = None

    def __call__(self, seconds: float) -> int:
        """Tick of the next frame, which begins at `seconds` (rising from call to call)."""
        if self._last is None:
            self._start = seconds
        elif seconds - self._last > HOLD_SECONDS:
            self._first = self._tick + max(1, round(HOLD_SECONDS * self.fps))
            self._start = seconds
        self._last = seconds
        tick = self._first + int(np.floor((seconds - self._start) * self.fps + EARLY))
        self._tick = max(self._tick, tick)
        return self._tick


@dataclass(frozen=True, eq=False)
class Resampling:
    """A video of F frames as a stream of S ticks.

    fps: ticks a second.
    shown: (S,) int64, the frame that each tick shows.
    ticks: (F,) int64 not falling, the tick that answers for each frame.
    """

    fps: float
    shown: np.ndarray
    ticks: np.ndarray

    def __len__(self) -> int:
        return len(self.shown)

    def frames_of(self, tick: int) -> range:
        """The frames that a tick answers for; none where it shows an earlier one again."""
        first, stop = np.searchsorted(self.ticks, [tick, tick + 1])
        return range(int(first), int(stop))


def resample(
    clock: Clock, num_frames: int, fps: float, *, prefer: np.ndarray | None = None
) -> Resampling:
    """The ticks of a whole video.

    prefer: (F,) bool; a tick shows the first of its frames that is preferred (a frame with truth,
    in training), where there is one.
    """
    count = TickCounter(fps)
    seconds = clock.seconds(np.arange(num_frames)).tolist()
    ticks = np.array([count(second) for second in seconds], dtype=np.int64)
    every = np.arange(ticks[-1] + 1)
    shown = np.searchsorted(ticks, every)  # the first frame of each tick, or the next one's
    shown = np.where(ticks[shown] == every, shown, shown - 1)
    if prefer is not None and prefer.any():
        wanted = np.flatnonzero(prefer)
        place = np.searchsorted(ticks[wanted], every).clip(max=len(wanted) - 1)
        shown = np.where(ticks[wanted[place]] == every, wanted[place], shown)
    return Resampling(fps, shown, ticks)


@dataclass(frozen=True, eq=False)
class ResampledVideo(VideoAnnotations):
    """The truth of a video as its stream shows it: frame k is tick k.

    stream: which frame of the video each tick shows.
    """

    stream: Resampling = None  # type: ignore[assignment]  # always given


def resampled_annotations(video: VideoAnnotations, stream: Resampling) -> ResampledVideo:
    """The truth of a video as its stream shows it.

    A tick counts as looked at where one of its frames is; its boxes are those of the frame it
    shows. A frame shown again brings its boxes again.
    """
    first, stop = np.searchsorted(video.frames, [stream.shown, stream.shown + 1])
    counts = stop - first
    rows = np.repeat(first - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
    looked_at = video.looked_at[stream.shown]
    looked_at[stream.ticks[video.looked_at]] = True
    return ResampledVideo(
        name=video.name,
        size=video.size,
        fps=stream.fps,
        looked_at=looked_at,
        frames=np.repeat(np.arange(len(stream)), counts),
        boxes=video.boxes[rows],
        labels=video.labels[rows],
        track_ids=video.track_ids[rows],
        ignored=video.ignored[rows],
        stream=stream,
    )


class LiveResampler:
    """`resample` of a stream as it comes, for frames in and answers out, in constant memory.

    `shown` turns frames into ticks; `answers` brings the model's answers back to the frames, in
    order and each frame once. Both are consumed at the same time, `shown` ahead.
    """

    def __init__(self, fps: float) -> None:
        self.fps = fps
        self._frames_of: dict[int, list[int]] = {}

    def shown(
        self, frames: Iterable[tuple[int, float, np.ndarray]]
    ) -> Iterator[tuple[int, np.ndarray]]:
        """(index, seconds, image) of every frame to (tick, image) of every tick."""
        count, last = TickCounter(self.fps), -1
        before: np.ndarray | None = None
        for index, seconds, image in frames:
            tick = count(seconds)
            for empty in range(last + 1, tick):
                assert before is not None  # the first frame has tick 0
                yield empty, before
            self._frames_of.setdefault(tick, []).append(index)
            if tick > last:
                yield tick, image
            last, before = tick, image

    def answers(self, answers: Iterable[tuple[int, Answer]]) -> Iterator[tuple[int, Answer]]:
        """(tick, answer) to (frame index, answer).

        A tick's further frames come after the frame it shows, so they are answered for when the
        next tick is.
        """
        waiting: tuple[int, Answer] | None = None
        for tick, answer in answers:
            if waiting is not None:
                yield from self._rest(*waiting)
            first = self._frames_of.get(tick)
            if first:
                yield first[0], answer
            waiting = (tick, answer)
        if waiting is not None:
            yield from self._rest(*waiting)

    def _rest(self, tick: int, answer: Answer) -> Iterator[tuple[int, Answer]]:
        for index in self._frames_of.pop(tick, [])[1:]:
            yield index, answer


def clip_by_time(times: np.ndarray, clip_length: int, step: float) -> np.ndarray:
    """(T,) indices of the frames nearest to step * (T - 1), .., step, 0 before the last of `times`
    (F,), which rise; the first is repeated before the beginning. Any unit of time."""
    wanted = times[-1] - step * np.arange(clip_length - 1, -1, -1)
    middles = (times[1:] + times[:-1]) / 2
    return np.searchsorted(middles, wanted - 1e-6, side="right")
