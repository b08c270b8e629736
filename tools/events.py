"""stad events: a tube file as a log of what happened, counts over time, and a plot."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from stadet.tools.cli import make_parser

if TYPE_CHECKING:
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
        help="pause over which tubes of one class at one place are one event (%(default)s)",
    )
    add("--bin-seconds", type=float, default=60.0, help="width of a count (%(default)s)")
    add("--clock", default="0:00:00", help="time of day when the videos begin, h:mm:ss")
    add("--no-plot", action="store_true", help="only the csv files")
    return parser


def run(args: argparse.Namespace) -> None:
    from stadet.detect.tubes.event_plot import plot_events
    from stadet.detect.tubes.events import (
        EventOptions,
        count_over_time,
        find_events,
        time_text,
        write_counts,
        write_events,
    )
    from stadet.detect.tubes.file import read_tubes

    clock = _seconds_of_day(args.clock)
    tubes = read_tubes(args.tubes)
    if args.fps is not None:
        tubes = _at_rate(tubes, args.fps)
    options = EventOptions(args.min_score, args.min_seconds, args.join_seconds)
    events = find_events(tubes, options)
    counts, lengths = {}, {}
    for video in tubes:
        own = [event for event in events if event.video == video.name]
        last = max([video.num_frames or 0, *(tube.stop for tube in video.tubes)])
        seconds = lengths[video.name] = float(video.clock.seconds(last))
        counts[video.name] = count_over_time(own, len(tubes.names), args.bin_seconds, seconds)
    out = Path(args.out)
    write_events(out / "events.csv", events, tubes.names, clock)
    write_counts(out / "counts.csv", counts, tubes.names, clock)
    if not args.no_plot:
        for (name, table), picture in zip(counts.items(), file_names(counts), strict=True):
            own = [event for event in events if event.video == name]
            plot_events(out / f"{picture}.png", name, own, table, tubes.names, clock, lengths[name])

    weak = sum(tube.score < args.min_score for video in tubes for tube in video.tubes)
    print(f"{out}: {len(events):,} events from {len(tubes):,} tubes ({weak:,} under --min-score)")
    totals = [sum(event.label == label for event in events) for label in range(len(tubes.names))]
    seconds = [0.0] * len(tubes.names)
    for event in events:
        seconds[event.label] += event.duration
    for label in sorted(range(len(totals)), key=lambda c: -totals[c]):
        if totals[label]:
            print(f"{totals[label]:6,} x {tubes.names[label]}, {time_text(seconds[label])} in all")


def file_names(videos: Iterable[str]) -> list[str]:
    """A name without folders for each video, no two alike."""
    names: list[str] = []
    for video in videos:
        name = stem = re.sub(r"[^\w.-]+", "_", video).lstrip(".")
        number = 2
        while name in names:
            name, number = f"{stem}-{number}", number + 1
        names.append(name)
    return names


def _at_rate(tubes: TubeSet, fps: float) -> TubeSet:
    from dataclasses import replace

    from stadet.engine.errors import UserError

    if fps <= 0:
        raise UserError(f"--fps: expected a rate above 0, found {fps}")
    return replace(
        tubes, videos={video.name: replace(video, fps=fps, times=None) for video in tubes}
    )


def _seconds_of_day(text: str) -> float:
    from stadet.engine.errors import UserError

    match = re.fullmatch(r"(\d{1,2}):([0-5]\d)(?::([0-5]\d))?", text)
    if match is None:
        raise UserError(f"--clock: expected h:mm or h:mm:ss, found {text!r}")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
