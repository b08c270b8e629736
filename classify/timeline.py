"""Timelines of long videos: a classifier's windows, joined into segments."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from stadet.detect.clock import Clock
from stadet.engine.csv_files import CsvWriter
from stadet.engine.errors import UserError
from stadet.engine.files import atomic_path, atomic_write


@dataclass(frozen=True, eq=False)
class Timeline:
    """Answers to the W windows of one video.

    Attributes:
        video: name of the video.
        names: the C classes.
        starts: (W,) seconds.
        stops: (W,) seconds.
        probabilities: (W, C).
        none: (W,) bool, True where a window shows none of the classes.
    """

    video: str
    names: tuple[str, ...]
    starts: np.ndarray
    stops: np.ndarray
    probabilities: np.ndarray
    none: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)


@dataclass(frozen=True)
class Segment:
    """A class from `start` to `stop` (seconds); score: its mean probability in these windows."""

    label: int
    start: float
    stop: float
    score: float

    @property
    def duration(self) -> float:
        return self.stop - self.start


def window_spans(
    num_frames: int, clock: Clock | float, window_seconds: float, stride_seconds: float
) -> list[tuple[int, int]]:
    """[first, stop) frames of the windows over a video; the last one ends with the video.

    clock: of the video, or its frames a second. A video shorter than a window is one window.
    UserError for lengths that are not above 0.
    """
    if window_seconds <= 0 or stride_seconds <= 0:
        raise UserError(
            f"expected a window and a stride above 0 s, found {window_seconds} and {stride_seconds}"
        )
    if isinstance(clock, Clock) and clock.times is not None:
        return _spans_by_time(clock, window_seconds, stride_seconds)
    fps = clock.fps if isinstance(clock, Clock) else clock
    length = min(num_frames, max(1, round(window_seconds * fps)))
    stride = max(1, round(stride_seconds * fps))
    starts = list(range(0, num_frames - length + 1, stride))
    if starts[-1] + length < num_frames:
        starts.append(num_frames - length)
    return [(start, start + length) for start in starts]


def _spans_by_time(clock: Clock, window: float, stride: float) -> list[tuple[int, int]]:
    """`window_spans` where the rate varies: windows begin every `stride` seconds."""
    ends = clock.seconds(np.arange(len(clock.times) + 1))  # (F + 1,) start of each frame, and end
    last = max(0.0, float(ends[-1]) - window)
    starts = np.append(np.arange(0.0, last - 1e-6, stride), last)
    first = np.searchsorted(ends[:-1], starts - 1e-6)  # frames that begin in the window
    stop = np.searchsorted(ends[:-1], starts + window - 1e-6)
    spans = [(int(a), int(b)) for a, b in zip(first, stop, strict=True) if b > a]
    return list(dict.fromkeys(spans))


def segments(timeline: Timeline) -> list[Segment]:
    """Runs of windows with one answer; windows of none of the classes separate them.

    Windows overlap, so a run begins and ends halfway between its outer windows' middles and those
    of its neighbours.
    """
    answers = np.where(timeline.none, -1, timeline.probabilities.argmax(axis=1))
    if not len(answers):
        return []
    middles = (timeline.starts + timeline.stops) / 2
    edges = np.concatenate(
        [timeline.starts[:1], (middles[:-1] + middles[1:]) / 2, timeline.stops[-1:]]
    )
    cuts = np.flatnonzero(np.diff(answers)) + 1
    bounds = [0, *cuts.tolist(), len(answers)]
    return [
        Segment(
            int(answers[a]),
            float(edges[a]),
            float(edges[b]),
            float(timeline.probabilities[a:b, answers[a]].mean()),
        )
        for a, b in pairwise(bounds)
        if answers[a] >= 0
    ]


def write_timeline(path: str | os.PathLike, timelines: Sequence[Timeline]) -> None:
    """CSV, a row a window: video, seconds, answer, then each class's probability."""
    with atomic_write(path) as stream:
        writer = CsvWriter(stream)
        names = timelines[0].names if timelines else ()
        writer.writerow(["video", "start_s", "stop_s", "answer", *names])
        for line in timelines:
            for start, stop, row, none in zip(
                line.starts, line.stops, line.probabilities, line.none, strict=True
            ):
                answer = "" if none else line.names[int(row.argmax())]
                times = [f"{start:.3f}", f"{stop:.3f}"]
                writer.writerow([line.video, *times, answer, *(f"{p:.4f}" for p in row)])


def plot_timeline(path: str | os.PathLike, timeline: Timeline) -> None:
    """Image of one video (format by suffix): a bar for each segment, over the probabilities of
    the classes that occur."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from stadet.detect.drawing.colours import class_colours
    from stadet.detect.drawing.fonts import font_files
    from stadet.detect.drawing.short_names import shortened

    found = segments(timeline)
    shown = sorted({s.label for s in found}) or [int(timeline.probabilities.mean(0).argmax())]
    figure = Figure(figsize=(11, 2.6 + 0.3 * len(shown)), layout="constrained")
    FigureCanvasAgg(figure)
    lanes, curves = figure.subplots(2, 1, sharex=True, height_ratios=[max(1, 0.3 * len(shown)), 2])
    colours = class_colours(timeline.names) / 255
    middles = (timeline.starts + timeline.stops) / 2
    for lane, label in enumerate(shown):
        spans = [(s.start, s.duration) for s in found if s.label == label]
        lanes.broken_barh(spans, (lane - 0.38, 0.76), color=colours[label])
        curves.plot(middles, timeline.probabilities[:, label], color=colours[label], marker=".")
    lanes.set_yticks(range(len(shown)), [shortened(timeline.names[label], 40) for label in shown])
    lanes.set_ylim(len(shown) - 0.5, -0.5)
    title = lanes.set_title(f"{timeline.video}: {len(found)} segments", loc="left")
    for text in (title, *lanes.get_yticklabels()):
        text.set(parse_math=False, fontfamily=list(font_files()))
    curves.set_ylim(0, 1)
    curves.set_ylabel("probability")
    curves.set_xlabel("time (s)")
    curves.set_xlim(float(timeline.starts.min()), float(timeline.stops.max()))
    for axes in (lanes, curves):
        axes.grid(axis="x", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130)
