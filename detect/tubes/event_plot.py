"""The day at a glance: when each action happened, and how often."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from stadet.detect.drawing.colours import class_colours
from stadet.detect.drawing.fonts import font_files
from stadet.detect.drawing.short_names import shortened
from stadet.detect.tubes.events import Event, time_text
from stadet.engine.files import atomic_path

TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)  # seconds apart


def plot_events(
    path: str | os.PathLike,
    video: str,
    events: Sequence[Event],
    counts: tuple[np.ndarray, np.ndarray],
    names: Sequence[str],
    clock: float = 0.0,
    seconds: float | None = None,
) -> None:
    """Image of one video (format by suffix): a bar for each event by class above, events that begin
    in each bin below.

    counts: as by `count_over_time`.
    clock: time of day at the beginning, seconds.
    seconds: length of the video, where the axis ends (default: the end of the last bin).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MultipleLocator

    edges, table = counts
    shown = [label for label in range(len(names)) if table[:, label].any()]
    figure = Figure(figsize=(11, 3.5 + 0.3 * len(shown)), layout="constrained")
    FigureCanvasAgg(figure)
    lanes, bars = figure.subplots(
        2, 1, sharex=True, height_ratios=[max(1.0, 0.3 * len(shown)), 2.2]
    )
    colours = class_colours(names) / 255
    below = np.zeros(len(table))
    for lane, label in enumerate(shown):
        spans = [(e.start, e.duration) for e in events if e.label == label]
        lanes.broken_barh(spans, (lane - 0.38, 0.76), color=colours[label])
        bars.bar(
            edges[:-1],
            table[:, label],
            np.diff(edges) * 0.94,
            below,
            align="edge",
            color=colours[label],
            label=names[label],
        )
        below += table[:, label]
    lanes.set_yticks(range(len(shown)), [shortened(names[label], 40) for label in shown])
    lanes.set_ylim(max(1, len(shown)) - 0.5, -0.5)
    title = lanes.set_title(f"{video}: {len(events)} events", loc="left")
    for text in (title, *lanes.get_yticklabels()):
        text.set(parse_math=False, fontfamily=list(font_files()))
    lanes.grid(axis="x", alpha=0.3)
    bars.set_ylabel(f"events in {edges[1] - edges[0]:g} s")
    bars.yaxis.get_major_locator().set_params(integer=True)
    bars.xaxis.set_major_formatter(lambda value, _: time_text(value + clock)[:-2])
    end = edges[-1] if seconds is None else min(seconds, edges[-1])
    bars.set_xlim(0, end)
    bars.xaxis.set_major_locator(MultipleLocator(_tick_seconds(end)))
    bars.set_xlabel("time (h:mm:ss)")
    for axes in (lanes, bars):
        axes.spines[["top", "right"]].set_visible(False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130)


def _tick_seconds(seconds: float) -> float:
    """The finest of `TICKS` that gives at most ten over the whole."""
    return next((tick for tick in TICKS if seconds / tick <= 10), seconds / 10)
