"""Tubes of many videos, and what of them is on one frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from stadet.detect.clock import Clock
from stadet.detect.structures import Tube
from stadet.detect.tubes.overlap import TubeColumns
from stadet.engine.signatures import expect_kind


@dataclass(frozen=True, eq=False)
class VideoTubes:
    """Tubes of one video; a tube's id is its index in `tubes`.

    Attributes:
        name: the video's name.
        tubes: the tubes.
        fps: frames per second, the mean where the rate varies; None = not known.
        num_frames: the video's length as far as it was seen; None = not known.
        times: seconds of each frame from the first where the rate varies; None = frame / fps.
    """

    name: str
    tubes: Sequence[Tube]
    fps: float | None = None
    num_frames: int | None = None
    times: np.ndarray | None = None

    @cached_property
    def clock(self) -> Clock | None:
        """Converts between frames and seconds; None where the rate is not known."""
        return Clock(self.fps, self.times) if self.fps else None

    @property
    def length(self) -> int:
        """Frames from the first to the end of the video, as far as it and its tubes tell."""
        return max([self.num_frames or 0, *(tube.stop for tube in self.tubes)])

    @cached_property
    def _columns(self) -> TubeColumns:
        return TubeColumns(self.tubes)

    def at(self, frame: int) -> list[tuple[int, Tube]]:
        """(id, tube) of every tube that passes a frame, the best last, as `Canvas.tubes` draws."""
        columns = self._columns
        ids = np.flatnonzero((columns.starts <= frame) & (frame < columns.stops))
        ids = ids[np.argsort(columns.scores[ids], kind="stable")]
        return [(number, self.tubes[number]) for number in ids.tolist()]


@dataclass(frozen=True, eq=False)
class TubeSet:
    """Tubes of many videos under one order of classes.

    Attributes:
        names: class names.
        videos: tubes by the name of the video.
        linking: the options that the tubes were linked with.
    """

    names: tuple[str, ...]
    videos: Mapping[str, VideoTubes] = field(default_factory=dict)
    linking: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        expect_kind("TubeSet: names", self.names, "Sequence[str]")

    def __iter__(self) -> Iterator[VideoTubes]:
        return iter(self.videos.values())

    def __len__(self) -> int:
        """Number of tubes."""
        return sum(len(video.tubes) for video in self)
