"""Charts of what was counted: meals, stock and use over time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from stadet.detect.drawing.short_names import shortened
from stadet.detect.report.svg import Chart, round_ticks
from stadet.detect.scene.counted import SceneCounts, StockOfVideo
from stadet.detect.scene.counting import VideoCounts
from stadet.detect.scene.day import Period
from stadet.detect.tubes.events import time_text

MOST = 36  # charts of a kind on the page
COLOURS = 6  # c0 to c5 of the page
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
RIGHT = 30  # drawing units beside the axes: half of a time in words
ROW_NAME = 18  # columns of text of a tool's name


@dataclass(frozen=True)
class NamedChart:
    """A chart under its heading."""

    heading: str
    svg: Markup


@dataclass(frozen=True)
class Axis:
    """Time of several videos of one camera, or of one video; heading: whose.

    places: of the videos in `SceneCounts.videos`.
    """

    heading: str
    places: tuple[int, ...]


def axes_of(counts: SceneCounts) -> list[Axis]:
    """One for each camera where the time of day is known, otherwise one for each video."""
    if not counts.timed:
        return [Axis(video.name, (number,)) for number, video in enumerate(counts.videos)]
    cameras = dict.fromkeys(video.camera for video in counts.videos)
    return [
        Axis(name, tuple(n for n, video in enumerate(counts.videos) if video.camera == name))
        for name in cameras
    ]


def stock_charts(counts: SceneCounts, truth: SceneCounts | None) -> Iterator[NamedChart]:
    """Pieces in each bin over time; dashed: the truth."""
    for axis in axes_of(counts):
        videos = [counts.videos[place] for place in axis.places]
        for box in counts.rules.bins:
            own = _stock(counts, axis, box.name)
            other = _stock(truth, axis, box.name) if truth else []
            if not own:
                continue
            levels = [level for stock in (*own, *other) for level in stock.levels()]
            low, high = min(levels), max(1, *levels)
            bottom = low - 1 if low > high / 2 else min(0, low)
            limits = bottom, high + 0.1 * (high - bottom)
            chart = _chart(videos, limits, "pieces", whole=True)
            for stock in own:
                chart.line(*_steps(stock), "line c0", f"{box.name}, {stock.video.name}")
            for stock in other:
                chart.line(*_steps(stock), "mark", f"truth: {box.name}, {stock.video.name}")
            words = f"Pieces in {box.name} over time, {axis.heading}"
            yield NamedChart(f"{box.name} ({axis.heading})", chart.render(words))


def meal_charts(counts: SceneCounts, truth: SceneCounts | None) -> Iterator[NamedChart]:
    """Items of each meal, as wide as it lasted; dots: the truth."""
    for axis in axes_of(counts):
        videos = [counts.videos[place] for place in axis.places]
        others = [truth.videos[place] for place in axis.places] if truth else []
        items = [meal.items for video in (*videos, *others) for meal in video.meals]
        if not items:
            continue
        chart = _chart(videos, (min(0, *items), max(1, *items) * 1.1), "items", whole=True)
        for video in videos:
            for number, meal in enumerate(video.meals, start=1):
                at = [video.clock_time(seconds) for seconds in (meal.start, meal.stop)]
                words = f"meal {number}, {time_text(at[1])}: {meal.content_text or 'empty'}"
                a, b = _ends(videos, *at)
                chart.bar((a, 0), (b, meal.items), "fill c0", words)
        for video in others:
            middles = [video.clock_time((meal.start + meal.stop) / 2) for meal in video.meals]
            chart.dots(middles, [float(meal.items) for meal in video.meals], "dot truth")
        words = f"Items of each meal over time, {axis.heading}"
        yield NamedChart(f"items of each meal ({axis.heading})", chart.render(words))


def use_charts(counts: SceneCounts, truth: SceneCounts | None) -> Iterator[NamedChart]:
    """When each tool was in use; the lower, narrow bars: the truth."""
    tools = list(counts.rules.use)
    for axis in axes_of(counts):
        videos = [counts.videos[place] for place in axis.places]
        others = [truth.videos[place] for place in axis.places] if truth else []
        chart = _chart(
            videos,
            (0, len(tools)),
            "",
            y_ticks=[],
            height=62 + 30 * len(tools),
            left=8 * max(len(shortened(tool, ROW_NAME)) for tool in tools) + 12,
        )
        first = _limits(videos)[0]
        for row, tool in enumerate(tools):
            y = len(tools) - row - 0.5
            chart.text(first, y, shortened(tool, ROW_NAME), "end", (-6, 4))
            for a, b, seconds in _uses(videos, videos, tool):
                words = f"{tool}, {time_text(a)}, {seconds:.1f} s"
                chart.bar((a, y - 0.1), (b, y + 0.35), f"fill c{row % COLOURS}", words)
            for a, b, _ in _uses(others, videos, tool):
                chart.bar((a, y - 0.32), (b, y - 0.16), "fill k0", f"truth: {tool}")
        words = f"When each tool was in use, {axis.heading}"
        yield NamedChart(f"when in use ({axis.heading})", chart.render(words))


def _uses(
    counted: Sequence[VideoCounts], shown: Sequence[VideoCounts], tool: str
) -> Iterator[tuple[float, float, float]]:
    """Ends of a bar, and seconds, of each use of a tool; the axis is that of `shown`."""
    for video in counted:
        for use in video.uses:
            if use.tool == tool:
                ends = video.clock_time(use.start), video.clock_time(use.stop)
                yield *_ends(shown, *ends), use.stop - use.start


def period_chart(
    counts: SceneCounts,
    truth: SceneCounts | None,
    by: str,
    series: Sequence[tuple[str, str, str]],
    label: str,
) -> Markup:
    """Sums by hour or shift over all cameras, side by side; dots: the truth.

    series: (what, name) of `SceneCounts.totals` and words.
    """
    periods = sorted({p for _, p in counts.totals if p.by == by}, key=lambda p: p.order)
    own, other = _sums(counts, by), _sums(truth, by) if truth else {}
    shown = [*own.values(), *other.values()]
    tops = [sums.get((what, name), 0.0) for sums in shown for what, name, _ in series]
    high = max([*tops, 1.0]) * 1.12
    every = -(-len(periods) // 8)
    ticks = [(n + 0.5, shortened(p.name, 12)) for n, p in enumerate(periods) if n % every == 0]
    chart = Chart((0, max(len(periods), 1)), (0, high), x_ticks=ticks, y_label=label)
    width = 0.84 / len(series)
    for number, period in enumerate(periods):
        for place, (what, name, words) in enumerate(series):
            left = number + 0.08 + place * width
            value = own.get(period, {}).get((what, name), 0.0)
            style, title = f"fill c{place % COLOURS}", f"{words}, {period.name}: {value:g}"
            chart.bar((left, 0), (left + 0.9 * width, value), style, title)
            if truth:
                right = other.get(period, {}).get((what, name), 0.0)
                chart.dots([left + 0.45 * width], [right], "dot truth")
    return chart.render(f"{label} by {by}")


def _sums(counts: SceneCounts, by: str) -> dict[Period, dict[tuple[str, str], float]]:
    """Over all cameras, by period."""
    found: dict[Period, dict[tuple[str, str], float]] = {}
    for (_, period), sums in counts.totals.items():
        if period.by == by:
            own = found.setdefault(period, {})
            for key, value in sums.items():
                own[key] = own.get(key, 0.0) + value
    return found


def _stock(counts: SceneCounts, axis: Axis, name: str) -> list[StockOfVideo]:
    videos = [counts.videos[place] for place in axis.places]
    return [stock for stock in counts.stock if stock.bin == name and stock.video in videos]


def _steps(stock: StockOfVideo) -> tuple[np.ndarray, np.ndarray]:
    """A line with a step at each move, from the video's first to its last watched moment."""
    video = stock.video
    ends = [video.frames[0], video.frames[-1] + video.lasts[-1]] if len(video.frames) else [0, 0]
    times = np.array([ends[0], *(move.seconds for move in stock.moves), ends[1]])
    levels = np.array(stock.levels(), dtype=np.float64)
    x = np.repeat(times, 2)[1:-1]
    return x + video.clock_time(0.0), np.repeat(levels, 2)


def _ends(videos: Sequence[VideoCounts], start: float, stop: float) -> tuple[float, float]:
    """Ends of a bar: at least a 300th of the time that these videos show, so that it is seen."""
    low, high = _limits(videos)
    return start, max(stop, start + (high - low) / 300)


def _limits(videos: Sequence[VideoCounts]) -> tuple[float, float]:
    """From the first to the last moment that was watched."""
    seen = [video for video in videos if len(video.frames)]
    starts = [video.clock_time(float(video.frames[0])) for video in seen]
    stops = [video.clock_time(float(video.frames[-1] + video.lasts[-1])) for video in seen]
    return min(starts, default=0.0), max(stops, default=1.0)


def _chart(
    videos: Sequence[VideoCounts],
    limits: tuple[float, float],
    label: str,
    *,
    whole: bool = False,
    **more: object,
) -> Chart:
    """Axes over the time of these videos."""
    low, high = _limits(videos)
    if whole:
        more["y_ticks"] = [(v, words) for v, words in round_ticks(limits) if v == round(v)]
    known = videos[0].begins is not None
    return Chart(
        (low, high),
        limits,
        x_label="time of day" if known else "since the video's beginning",
        y_label=label,
        x_ticks=clock_ticks(low, high),
        right=RIGHT,
        **more,  # type: ignore[arg-type]
    )


def clock_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """At most six round times between two, in seconds after midnight or a video's beginning."""
    step = next((s for s in STEPS if (high - low) / s <= 5), STEPS[-1])
    first = int(np.ceil(low / step - 1e-9))
    last = int(np.floor(high / step + 1e-9))
    return [(float(n * step), _clock(n * step, step)) for n in range(first, last + 1)]


def _clock(seconds: int, step: int) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if step < 60:
        return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
    return f"{hours % 24 if hours < 48 else hours}:{minutes:02d}"
