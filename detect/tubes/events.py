"""Tubes as a log of events: what, when, where, how long; and how many of each over time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from stadet.detect.boxes import pairwise_iou
from stadet.detect.tubes.tube_set import TubeSet, VideoTubes
from stadet.engine.csv_files import CsvWriter
from stadet.engine.errors import UserError
from stadet.engine.files import atomic_write
from stadet.engine.signatures import checked

EVENT_COLUMNS = (
    "video",
    "action",
    "time",
    "start_s",
    "end_s",
    "duration_s",
    "score",
    "x1",
    "y1",
    "x2",
    "y2",
    "tubes",
    "actor",
)
_TICK = 1e-6  # seconds: a pause of exactly `join_seconds` is joined
JOIN_OVERLAP = 0.2  # IoU of last and first box from which two tubes may be one event


@dataclass(frozen=True, eq=False)
class Event:
    """One action in a video.

    Attributes:
        video: name of the video.
        label: class index.
        start: seconds from the video's beginning.
        stop: seconds from the video's beginning.
        score: mean score of its tubes, weighted by their lengths.
        box: (4,) mean box, xyxy video pixels.
        tubes: ids of its tubes.
        actor: id of who does it; None where no tube says it.
    """

    video: str
    label: int
    start: float
    stop: float
    score: float
    box: np.ndarray
    tubes: tuple[int, ...]
    actor: int | None = None

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.stop - self.start


@dataclass(frozen=True)
class EventOptions:
    """Options for joining tubes and keeping events.

    Attributes:
        min_score: tubes of a lower score are left out.
        min_seconds: shorter events are left out.
        join_seconds: tubes of one class and actor with at most this pause between them are one
            event (where an actor is not known: of one class and place); 0 = none are joined.
    """

    min_score: float = 0.3
    min_seconds: float = 0.2
    join_seconds: float = 0.5


@checked
def find_events(tubes: TubeSet, options: EventOptions | None = None) -> list[Event]:
    """Events of all videos, sorted by video (in the set's order), start and class.

    Args:
        tubes: the tubes; those below `min_score` are left out first, so that they join nothing.
        options: default `EventOptions()`.

    Raises:
        UserError: for a video whose frame rate is not known.
    """
    options = options or EventOptions()
    return [event for video in tubes for event in _events_of(video, options)]


def _events_of(video: VideoTubes, options: EventOptions) -> list[Event]:
    if not video.fps:
        raise UserError(
            f"{video.name}: expected its frames a second, found none in the tube file; "
            "give --fps, or make the tubes with --data or --ground-truth"
        )
    chains: list[list[int]] = []
    strong = [i for i, tube in enumerate(video.tubes) if tube.score >= options.min_score]
    for number in sorted(strong, key=lambda i: (video.tubes[i].start, i)):
        chain = _chain_to_join(video, chains, number, options.join_seconds)
        if chain is None:
            chains.append([number])
        else:
            chain.append(number)
    events = [_event(video, chain) for chain in chains]
    events = [event for event in events if event.duration >= options.min_seconds]
    return sorted(events, key=lambda event: (event.start, event.label, event.tubes))


def _chain_to_join(
    video: VideoTubes, chains: list[list[int]], number: int, join_seconds: float
) -> list[int] | None:
    """The chain whose last tube ended nearest before this one, where it may be joined."""
    tube, best = video.tubes[number], None
    for chain in chains:
        last = video.tubes[chain[-1]]
        if last.label != tube.label or tube.start < last.stop:
            continue
        if video.clock.duration(last.stop, tube.start) <= join_seconds + _TICK:
            actor = _actor(video, chain)
            if None in (actor, tube.actor):
                near = pairwise_iou(last.boxes[-1:], tube.boxes[:1])[0, 0] >= JOIN_OVERLAP
            else:
                near = actor == tube.actor
            if near and (best is None or last.stop > video.tubes[best[-1]].stop):
                best = chain
    return best if join_seconds > 0 else None


def _actor(video: VideoTubes, chain: list[int]) -> int | None:
    actors = [video.tubes[number].actor for number in chain]
    return next((actor for actor in actors if actor is not None), None)


def _event(video: VideoTubes, chain: list[int]) -> Event:
    tubes = [video.tubes[number] for number in chain]
    lengths = np.array([len(tube) for tube in tubes])
    return Event(
        video.name,
        tubes[0].label,
        float(video.clock.seconds(tubes[0].start)),
        float(video.clock.seconds(tubes[-1].stop)),
        float(np.dot(lengths, [tube.score for tube in tubes]) / lengths.sum()),
        np.concatenate([tube.boxes for tube in tubes]).mean(axis=0),
        tuple(chain),
        _actor(video, chain),
    )


def count_over_time(
    events: Sequence[Event], num_classes: int, bin_seconds: float, seconds: float
) -> tuple[np.ndarray, np.ndarray]:
    """Events of one video that begin in each bin: (edges (B + 1,) s, counts (B, num_classes)).

    The bins cover `seconds` and every event's start; the last may reach beyond the video's end.
    """
    if not 0 < bin_seconds < float("inf"):
        raise UserError(f"expected bins longer than 0 s, found {bin_seconds}; correct it")
    starts = np.array([event.start for event in events])
    bins = max(
        1, int(np.ceil(seconds / bin_seconds)), int(starts.max(initial=0) // bin_seconds) + 1
    )
    counts = np.zeros((bins, num_classes), dtype=np.int64)
    rows = (starts // bin_seconds).astype(np.int64)
    np.add.at(counts, (rows, [event.label for event in events]), 1)
    return np.arange(bins + 1) * bin_seconds, counts


def write_events(
    path: str | os.PathLike, events: Sequence[Event], names: Sequence[str], clock: float = 0.0
) -> None:
    """csv, one event a row. clock: time of day at the videos' beginning, in seconds."""
    with atomic_write(path) as stream:
        rows = CsvWriter(stream)
        rows.writerow(EVENT_COLUMNS)
        for event in events:
            rows.writerow(
                [
                    event.video,
                    names[event.label],
                    time_text(event.start + clock),
                    f"{event.start:.2f}",
                    f"{event.stop:.2f}",
                    f"{event.duration:.2f}",
                    f"{event.score:.3f}",
                    *(f"{side:.1f}" for side in event.box),
                    " ".join(map(str, event.tubes)),
                    "" if event.actor is None else event.actor,
                ]
            )


def write_counts(
    path: str | os.PathLike,
    counts: dict[str, tuple[np.ndarray, np.ndarray]],
    names: Sequence[str],
    clock: float = 0.0,
) -> None:
    """csv, one bin of one video a row and one column a class; `counts` as by `count_over_time`."""
    with atomic_write(path) as stream:
        rows = CsvWriter(stream)
        rows.writerow(["video", "time", "start_s", "end_s", *names, "all"])
        for video, (edges, table) in counts.items():
            for (start, stop), row in zip(pairwise(edges), table, strict=True):
                rows.writerow(
                    [video, time_text(start + clock), f"{start:g}", f"{stop:g}", *row, row.sum()]
                )


def time_text(seconds: float) -> str:
    """h:mm:ss.s"""
    tenths = round(seconds * 10)
    minutes, tenths = divmod(tenths, 600)
    return f"{minutes // 60}:{minutes % 60:02d}:{tenths // 10:02d}.{tenths % 10}"
