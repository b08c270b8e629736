"""Files of what was counted: meals, stock and use as csv."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from stadet.detect.scene.counted import SceneCounts
from stadet.detect.tubes.events import time_text
from stadet.engine.csv_files import CsvWriter
from stadet.engine.files import atomic_write


def write_meals(path: str | os.PathLike, counts: SceneCounts) -> None:
    """csv, one meal a row, in the order in which they ended."""
    head = ["video", "camera", "meal", "time", "start_s", "end_s", "closed_by", "items", "served"]
    rows: list[list[Any]] = []
    for video in counts.videos:
        day = counts.day(video)
        for number, meal in enumerate(video.meals, start=1):
            place = [video.name, video.camera, number, time_text(video.clock_time(meal.stop))]
            times = [f"{meal.start:.2f}", f"{meal.stop:.2f}", meal.closed_by]
            number_of = [meal.items, len(meal.served), meal.taken_back]
            rows.append([*place, *times, *number_of, meal.content_text, day.shift(meal.stop)])
    _write(path, [*head, "taken_back", "content", "shift"], rows)


def write_stock(path: str | os.PathLike, counts: SceneCounts) -> None:
    """csv, by video and bin: a row for the initial stock and one for each change."""
    rows: list[list[Any]] = []
    for stock in counts.stock:
        video, day = stock.video, counts.day(stock.video)
        place = [video.name, video.camera, stock.bin]
        steps = [(0.0, "", "")]
        steps += [(move.seconds, f"{move.change:+d}", f"{move.score:.3f}") for move in stock.moves]
        for (seconds, change, score), level in zip(steps, stock.levels(), strict=True):
            when = [time_text(video.clock_time(seconds)), f"{seconds:.2f}"]
            rows.append([*place, *when, change, level, score, day.shift(seconds)])
    head = ["video", "camera", "bin", "time", "seconds", "change", "stock", "score", "shift"]
    _write(path, head, rows)


def write_use(path: str | os.PathLike, counts: SceneCounts) -> None:
    """csv, one tool in one hour or shift of one camera a row; share: of the time watched."""
    rows = [
        [
            camera,
            period.by,
            period.name,
            tool,
            f"{sums.get(('uses', tool), 0):.0f}",
            f"{(seconds := sums.get(('seconds', tool), 0.0)):.2f}",
            f"{seconds / sums['watched', '']:.4f}" if sums.get(("watched", "")) else "",
        ]
        for (camera, period), sums in counts.totals.items()
        for tool in counts.rules.use
    ]
    _write(path, ["camera", "by", "period", "tool", "uses", "seconds", "share"], rows)


def write_periods(path: str | os.PathLike, counts: SceneCounts) -> None:
    """csv, one sum (meals, items, pieces taken and put back) of one hour or shift of one camera a
    row, of the bins that the camera shows; watched: its seconds."""
    meals = [("meals", ""), ("items", "")] if counts.rules.meals else []
    rows = [
        [
            camera,
            period.by,
            period.name,
            f"{sums.get(('watched', ''), 0.0):.2f}",
            what,
            name,
            f"{sums.get((what, name), 0.0):.0f}",
        ]
        for (camera, period), sums in counts.totals.items()
        for what, name in (
            *meals,
            *((what, box.name) for box in counts.bins_of(camera) for what in ("taken", "put back")),
        )
    ]
    _write(path, ["camera", "by", "period", "watched_s", "what", "bin", "count"], rows)


def _write(path: str | os.PathLike, head: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    with atomic_write(path) as stream:
        table = CsvWriter(stream)
        table.writerow(head)
        for row in rows:
            table.writerow(row)
