"""stad events: a tube file as a log of what happened, counts over time, and a plot."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stadet.engine.signatures import checked
from stadet.tools.cli import add_overwrite, make_parser

if TYPE_CHECKING:
    import numpy as np

    from stadet.detect.tubes.events import Event, EventOptions
    from stadet.detect.tubes.tube_set import TubeSet

SUMMARY = "what happened, when, where and how long: event log, counts over time, plot"
EXAMPLES = """\
examples:
  stad events --tubes tubes.json --out log/
  stad events --tubes tubes.json --out log/ --bin-seconds 300 --clock 11:30:00 --min-score 0.5
  stad events --tubes tubes.json --out log/ --fps 30    # where the tube file names no frame rate

Writes log/events.csv (one row an event), log/counts.csv (one row a bin and video, one column an
action) and log/VIDEO.png (when each action happened, and how often).
"""


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("events", SUMMARY, EXAMPLES)
    add = parser.add_argument
    add("--tubes", required=True, help="a tube file (.json, from stad tubes)")
    add("--out", required=True, help="folder for the log")
    add("--fps", type=float, help="frames a second of every video; overrules the tube file")
    add("--min-score", type=float, default=0.3, help="weaker tubes are left out (%(default)s)")
    add("--min-seconds", type=float, default=0.2, help="shorter events go (%(default)s)")
    add(
        "--join-seconds",
        type=float,
        default=0.5,
        help="pause over which tubes of one class and actor (or place) are one event (%(default)s)",
    )
    add("--bin-seconds", type=float, default=60.0, help="width of a count (%(default)s)")
    add("--clock", default="0:00:00", help="time of day when the videos begin, h:mm:ss")
    add("--no-plot", action="store_true", help="only the csv files")
    add_overwrite(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    from stadet.detect.tubes.events import EventOptions, time_text
    from stadet.engine.files import expect_absent

    files = ("events.csv", "counts.csv")
    expect_absent(*(Path(args.out) / name for name in files), overwrite=args.overwrite)
    log = log_events(
        args.tubes,
        out=args.out,
        fps=args.fps,
        options=EventOptions(args.min_score, args.min_seconds, args.join_seconds),
        bin_seconds=args.bin_seconds,
        clock=seconds_of_day(args.clock),
        plot=not args.no_plot,
    )
    events, names = log.events, log.tubes.names
    weak = sum(tube.score < args.min_score for video in log.tubes for tube in video.tubes)
    print(
        f"{args.out}: {len(events):,} events from {len(log.tubes):,} tubes ({weak:,} under "
        "--min-score)"
    )
    totals = [sum(event.label == label for event in events) for label in range(len(names))]
    seconds = [0.0] * len(names)
    for event in events:
        seconds[event.label] += event.duration
    for label in sorted(range(len(totals)), key=lambda c: -totals[c]):
        if totals[label]:
            print(f"{totals[label]:6,} x {names[label]}, {time_text(seconds[label])} in all")


@dataclass(frozen=True, eq=False)
class EventLog:
    """Events of a set of videos.

    Attributes:
        tubes: the tubes that the events were made of, with their class names.
        events: in order of video and time.
        counts: video name -> (edges of the bins (B + 1,) in seconds, events that begin in each
            bin (B, classes)).
    """

    tubes: TubeSet
    events: list[Event]
    counts: dict[str, tuple[np.ndarray, np.ndarray]]


@checked
def log_events(
    tubes: str | Path | TubeSet,
    *,
    out: str | Path | None = None,
    fps: float | None = None,
    options: EventOptions | None = None,
    bin_seconds: float = 60.0,
    clock: float = 0.0,
    plot: bool = True,
) -> EventLog:
    """Turn tubes into events and counts over time.

    Args:
        tubes: a tube set, or a tube file of `link_tubes`.
        out: folder for `events.csv`, `counts.csv` and a plot for each video (None: no files).
        fps: frames a second of every video; overrules the tubes'.
        options: least score, least duration and the pause that is bridged, in seconds.
        bin_seconds: width of a count.
        clock: time of day when the videos begin, in seconds after midnight.
        plot: draw the plots, which takes most of the time.

    Raises:
        UserError: for a file that is not one of tubes, and where no frame rate is known.
    """
    from stadet.detect.tubes.event_plot import plot_events
    from stadet.detect.tubes.events import (
        EventOptions,
        count_over_time,
        find_events,
        write_counts,
        write_events,
    )
    from stadet.detect.tubes.file import read_tubes
    from stadet.detect.tubes.tube_set import TubeSet
    from stadet.engine.files import file_names

    if not isinstance(tubes, TubeSet):
        tubes = read_tubes(tubes)
    if fps is not None:
        tubes = _at_rate(tubes, fps)
    events = find_events(tubes, options or EventOptions())
    counts, lengths = {}, {}
    for video in tubes:
        own = [event for event in events if event.video == video.name]
        seconds = lengths[video.name] = float(video.clock.seconds(video.length))
        counts[video.name] = count_over_time(own, len(tubes.names), bin_seconds, seconds)
    if out is not None:
        folder = Path(out)
        write_events(folder / "events.csv", events, tubes.names, clock)
        write_counts(folder / "counts.csv", counts, tubes.names, clock)
        if plot:
            for (name, table), picture in zip(counts.items(), file_names(counts), strict=True):
                own = [event for event in events if event.video == name]
                plot_events(
                    folder / f"{picture}.png", name, own, table, tubes.names, clock, lengths[name]
                )
    return EventLog(tubes, events, counts)


def _at_rate(tubes: TubeSet, fps: float) -> TubeSet:
    from dataclasses import replace

    from stadet.engine.errors import UserError

    if fps <= 0:
        raise UserError(f"--fps: expected a rate above 0, found {fps}")
    return replace(
        tubes, videos={video.name: replace(video, fps=fps, times=None) for video in tubes}
    )


def seconds_of_day(text: str) -> float:
    from stadet.detect.clock import time_of_day

    return time_of_day(text, "--clock")


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
