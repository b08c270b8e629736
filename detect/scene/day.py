"""Hours and shifts of what was counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

HOUR = 3600.0
DAY = 24 * HOUR
NO_SHIFT = "no shift"


@dataclass(frozen=True)
class Period:
    """An hour or a shift. by: hour or shift; order: sorts the periods of a kind."""

    by: str
    order: float
    name: str


@dataclass(frozen=True)
class Day:
    """The clock of one video.

    Attributes:
        begins: seconds after midnight at which the video begins; None = not known: hours are
            counted from its beginning, and there are no shifts.
        shifts: (begin, end) by name, in seconds after midnight.
    """

    begins: float | None
    shifts: Mapping[str, tuple[float, float]]

    def periods(self, seconds: float) -> list[Period]:
        """The hour and, where shifts are known, the shift of a time of the video."""
        at = seconds + (self.begins or 0.0)
        number = int(at // HOUR)
        name = f"hour {number + 1}" if self.begins is None else f"{number % 24}:00"
        hour = Period("hour", number, name)
        if self.begins is None or not self.shifts:
            return [hour]
        of_day = at % DAY
        for shift, (begin, end) in self.shifts.items():
            if begin <= of_day < end or (end < begin and not end <= of_day < begin):
                return [hour, Period("shift", begin, shift)]
        return [hour, Period("shift", DAY, NO_SHIFT)]

    def shift(self, seconds: float) -> str:
        """Name of the shift of a time of the video; "" where shifts are not known."""
        return "".join(p.name for p in self.periods(seconds) if p.by == "shift")

    def pieces(self, start: float, stop: float) -> Iterator[tuple[Period, float]]:
        """A stretch of time cut at hours and shifts: each period with the seconds in it."""
        at = self.begins or 0.0
        for a, b in self._cut(start + at, stop + at):
            for period in self.periods((a + b) / 2 - at):
                yield period, b - a

    def _cut(self, start: float, stop: float) -> Iterator[tuple[float, float]]:
        edges = self._edges
        days = np.arange(np.floor(start / DAY), np.floor(stop / DAY) + 1)
        every = (days[:, None] * DAY + edges).ravel()
        cuts = [start, *every[(every > start) & (every < stop)].tolist(), stop]
        yield from ((a, b) for a, b in pairwise(cuts) if b > a)

    @cached_property
    def _edges(self) -> np.ndarray:
        ends = [end for pair in self.shifts.values() for end in pair]
        return np.unique([*np.arange(0, DAY, HOUR), *(end % DAY for end in ends)])
