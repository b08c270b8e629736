"""Where the events of a video lie on the page's timeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

LEAST_SHARE = 0.03  # of the width: a shorter event still takes the room of a finger's target


@dataclass(frozen=True)
class Mark:
    """An event on the timeline.

    Attributes:
        event: its row: class, start, end, score.
        left: where it begins, in percent of the width.
        width: its length, in percent of the width.
        lane: 0, 1, .. within its class: marks of a lane do not touch.
    """

    event: dict[str, Any]
    left: float
    width: float
    lane: int


@dataclass(frozen=True)
class Row:
    """The marks of one class.

    Attributes:
        name: of the class.
        colour: of its boxes in the video, as ``#rrggbb``.
        marks: in order of time.
        lanes: number of lanes.
    """

    name: str
    colour: str
    marks: tuple[Mark, ...]
    lanes: int


def timeline_rows(
    events: Sequence[dict[str, Any]], seconds: float, classes: Sequence[str] = ()
) -> list[Row]:
    """A row a class, in which every event can be seen and reached.

    Args:
        events: rows with ``class``, ``start``, ``end``, ``score``.
        seconds: length of the video.
        classes: all classes of the model, which decide the colours.

    Returns:
        Rows of the classes that have events, by name.
    """
    from stadet.detect.drawing.colours import class_colours

    names = sorted({str(event["class"]) for event in events})
    known = list(classes) if set(names) <= set(classes) else names
    colours = dict(zip(known, class_colours(known).tolist(), strict=True))
    rows = []
    for name in names:
        free: list[float] = []  # by lane: where its last mark's room ends
        marks = []
        own = sorted(
            (e for e in events if e["class"] == name), key=lambda e: (e["start"], e["end"])
        )
        for event in own:
            left = min(max(event["start"] / seconds, 0.0), 1.0)
            width = min(max((event["end"] - event["start"]) / seconds, 0.0), 1.0 - left)
            # a mark at the very end is drawn leftwards: see .timeline in page.css
            begin = min(left, 1.0 - LEAST_SHARE)
            lane = next((n for n, end in enumerate(free) if end <= begin), len(free))
            if lane == len(free):
                free.append(0.0)
            free[lane] = max(left + width, begin + LEAST_SHARE)
            marks.append(Mark(event, round(100 * begin, 3), round(100 * width, 3), lane))
        red, green, blue = colours[name][:3]
        rows.append(Row(name, f"#{red:02x}{green:02x}{blue:02x}", tuple(marks), len(free)))
    return rows


def axis_ticks(seconds: float, most: int = 6) -> list[float]:
    """Round times from 0 to `seconds` for the axis, at most `most` + 1 of them."""
    steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200]
    step = next((step for step in steps if seconds / step <= most), seconds / most)
    return [round(step * n, 3) for n in range(int(seconds / step + 1e-9) + 1)]
