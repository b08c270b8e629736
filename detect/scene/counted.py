"""Counts of all videos of a scene: stock over time, and sums by hour and shift."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np

from stadet.detect.scene.counting import Move, VideoCounts
from stadet.detect.scene.counts import Bin, CountRules
from stadet.detect.scene.day import Day, Period
from stadet.detect.scene.scene import Scene
from stadet.detect.tubes.events import time_text
from stadet.engine.errors import UserError


@dataclass(frozen=True)
class StockOfVideo:
    """One bin in one video.

    Attributes:
        video: whose name.
        bin: name.
        initial: pieces when the video begins.
        moves: in order.
    """

    video: VideoCounts
    bin: str
    initial: int
    moves: tuple[Move, ...]

    @property
    def final(self) -> int:
        """Pieces at the video's end."""
        return self.initial + sum(move.change for move in self.moves)

    def levels(self) -> list[int]:
        """Pieces before the first move and after each."""
        return np.cumsum([self.initial, *(move.change for move in self.moves)]).tolist()

    def at(self, seconds: np.ndarray) -> np.ndarray:
        """(F,) pieces at these times of the video."""
        times = np.array([move.seconds for move in self.moves])
        return np.array(self.levels())[np.searchsorted(times, seconds, side="right")]


@dataclass(frozen=True, eq=False)
class SceneCounts:
    """What was counted.

    Attributes:
        scene: with counts.
        videos: by camera, then in order of their beginnings.
        left: pieces by (camera, bin) with which the first video of the camera begins; others begin
            with the initial stock.
    """

    scene: Scene
    videos: list[VideoCounts]
    left: Mapping[tuple[str, str], int] = field(default_factory=dict)

    @property
    def rules(self) -> CountRules:
        """The scene's section `counts`."""
        assert self.scene.counts is not None
        return self.scene.counts

    @property
    def timed(self) -> bool:
        """Is the time of day known?"""
        return bool(self.videos) and all(video.begins is not None for video in self.videos)

    def day(self, video: VideoCounts) -> Day:
        """The clock of a video."""
        return Day(video.begins, self.rules.shifts)

    @cached_property
    def stock(self) -> list[StockOfVideo]:
        """Every bin in every video of its camera. Where the time of day is known, a video begins
        with what the one before it of the same camera left."""
        left = dict(self.left)
        found = []
        for video in self.videos:
            for box in self.bins_of(video.camera):
                initial = left.get((video.camera, box.name), box.initial)
                moves = tuple(move for move in video.moves if move.bin == box.name)
                stock = StockOfVideo(video, box.name, initial, moves)
                if self.timed:
                    left[video.camera, box.name] = stock.final
                found.append(stock)
        return found

    def bins_of(self, camera: str) -> list[Bin]:
        """Bins that a camera shows: it has their zones."""
        zones = self.scene.cameras[camera].zones
        return [box for box in self.rules.bins if box.zone is None or box.zone in zones]

    @cached_property
    def totals(self) -> dict[tuple[str, Period], dict[tuple[str, str], float]]:
        """By camera and hour or shift, in order: by (what, name) the sum.

        what: watched (seconds), meals (by their end), items (left in these meals), taken and put
        back (of a bin), uses (by their beginning) and seconds (of a tool).
        """
        sums: dict[tuple[str, Period], dict[tuple[str, str], float]] = {}
        for camera, period, key, value in self._parts():
            sums.setdefault((camera, period), defaultdict(float))[key] += value
        order = sorted(sums, key=lambda key: (key[0], key[1].by, key[1].order))
        return {key: dict(sums[key]) for key in order}

    def _parts(self) -> Iterator[tuple[str, Period, tuple[str, str], float]]:
        for video in self.videos:
            day = self.day(video)
            for start, stop in _runs(video):
                for period, seconds in day.pieces(start, stop):
                    yield video.camera, period, ("watched", ""), seconds
            points = [(meal.stop, ("meals", ""), 1.0) for meal in video.meals]
            points += [(meal.stop, ("items", ""), float(meal.items)) for meal in video.meals]
            points += [
                (move.seconds, ("taken" if move.change < 0 else "put back", move.bin), 1.0)
                for move in video.moves
            ]
            points += [(use.start, ("uses", use.tool), 1.0) for use in video.uses]
            for at, key, value in points:
                for period in day.periods(at):
                    yield video.camera, period, key, value
            for use in video.uses:
                for period, seconds in day.pieces(use.start, use.stop):
                    yield video.camera, period, ("seconds", use.tool), seconds

    def total(self, what: str, name: str = "") -> float:
        """Sum over all cameras and hours, as of `totals`."""
        return sum(
            sums.get((what, name), 0.0)
            for (_, period), sums in self.totals.items()
            if period.by == "hour"
        )

    def notes(self) -> list[str]:
        """What a reader should know or doubt."""
        notes = []
        if not self.timed:
            words = "; there are no shifts" if self.rules.shifts else ""
            notes.append(
                "The time of day is not known (--start): hours are counted from each video's "
                f"beginning, and every video begins with the initial stock{words}."
            )
        pairs = (
            ("items taken back while there was no meal", [v.loose_backs for v in self.videos]),
            ("checkouts without a meal", [v.empty_checkouts for v in self.videos]),
        )
        notes += [f"{sum(n):,} {words} (not counted)." for words, n in pairs if sum(n)]
        for stock in self.stock:
            if min(stock.levels()) < 0:
                notes.append(
                    f"{stock.video.name}: the stock of {stock.bin} falls to "
                    f"{min(stock.levels())}: its initial stock is too low, or actions were missed."
                )
        return notes


def in_order(videos: Iterable[VideoCounts], cameras: Sequence[str]) -> list[VideoCounts]:
    """By camera, then by beginning where it is known; otherwise as they come.

    Raises:
        UserError: where videos of one camera overlap in time.
    """
    found = sorted(videos, key=lambda v: (cameras.index(v.camera), v.begins or 0.0))
    for one, other in pairwise(found):
        if one.camera != other.camera or one.begins is None or other.begins is None:
            continue
        if len(one.frames) and one.begins + one.frames[-1] > other.begins:
            raise UserError(
                f"expected videos of one camera one after the other, found that {one.name!r} "
                f"lasts until {time_text(one.begins + float(one.frames[-1]))} and {other.name!r} "
                f"of camera {one.camera!r} begins at {time_text(other.begins)}; give each its own "
                "--start VIDEO=TIME"
            )
    return found


def _runs(video: VideoCounts) -> Iterator[tuple[float, float]]:
    """Stretches of frames that follow each other."""
    if not len(video.frames):
        return
    ends = video.frames + video.lasts
    breaks = np.flatnonzero(video.frames[1:] - ends[:-1] > 1e-6)
    starts = video.frames[np.concatenate([[0], breaks + 1])]
    stops = ends[np.concatenate([breaks, [len(ends) - 1]])]
    yield from zip(starts.tolist(), stops.tolist(), strict=True)
