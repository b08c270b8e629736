"""Was what happened caught? Events and ids of tubes against those of the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from stadet.detect.metrics.frame_map import nan_mean
from stadet.detect.metrics.matching import NONE
from stadet.detect.metrics.protocols import IOU_THRESHOLDS
from stadet.detect.metrics.temporal import (
    Spans,
    f1_of_counts,
    match_onsets,
    match_spans,
    segment_map,
)
from stadet.detect.metrics.tracking import TrackingMetric, TrackingResult, Trajectories
from stadet.detect.structures import AnnotationSet, Tube, VideoAnnotations
from stadet.detect.tubes.events import Event, EventOptions, find_events
from stadet.detect.tubes.linking import LinkOptions
from stadet.detect.tubes.truth import truth_tubes
from stadet.detect.tubes.tube_set import TubeSet, VideoTubes

EVENT_IOUS = (0.1, 0.3, 0.5)
ONSET_SECONDS = (0.5, 1.0, 2.0)
MAIN_IOU = 0.5  # of the figures of each class


@dataclass(frozen=True)
class EventFigures:
    """Precision, recall and F1 of events under one rule; NaN where nothing is asked or answered."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class ClassEvents:
    """Events of one class.

    Attributes:
        truths: events of the truth.
        events: events found.
        at_iou: at temporal IoU 0.5.
        delay: median seconds from a true beginning to the found one (negative: earlier), over the
            events matched at temporal IoU 0.1; NaN without one.
        count_error: mean over videos of the difference of the numbers, without its sign.
    """

    truths: int
    events: int
    at_iou: EventFigures
    delay: float
    count_error: float


@dataclass(frozen=True, eq=False)
class Happened:
    """Events and ids against the truth.

    Attributes:
        options: how tubes became events, the same for both sides but for `min_score`.
        at_iou: of all classes together, by temporal IoU.
        within: the same, by the seconds that the beginnings may differ.
        segment_map: ActivityNet's mAP by temporal IoU, "0.5:0.95" its mean. Of all events of any
            score, joined anew.
        delay: median seconds from true to found beginnings, as of `ClassEvents`.
        delay_spread: the mean of the same without signs.
        count_error: mean over videos and classes with truth.
        classes: by name, those with truth or events.
        tracking: HOTA and IDF1 by name of the class, of tubes of at least `min_score`.
    """

    options: EventOptions
    at_iou: dict[float, EventFigures]
    within: dict[float, EventFigures]
    segment_map: dict[str, float]
    delay: float
    delay_spread: float
    count_error: float
    classes: dict[str, ClassEvents]
    tracking: dict[str, TrackingResult]

    @property
    def truths(self) -> int:
        """Number of true events."""
        return sum(row.truths for row in self.classes.values())

    @property
    def events(self) -> int:
        """Number of found events."""
        return sum(row.events for row in self.classes.values())

    def tracking_mean(self, figure: str) -> float:
        """Mean of "hota", "idf1" or another figure over the classes with truth."""
        rows = [row for row in self.tracking.values() if row.truth_boxes]
        return nan_mean(np.array([getattr(row, figure) for row in rows], dtype=np.float64))

    def as_dict(self) -> dict[str, Any]:
        """Nested plain values; NaN where a figure is not defined."""
        return {
            "options": asdict(self.options),
            "truths": self.truths,
            "events": self.events,
            "at_temporal_iou": {f"{k:g}": asdict(v) for k, v in self.at_iou.items()},
            "beginning_within_seconds": {f"{k:g}": asdict(v) for k, v in self.within.items()},
            "segment_map": self.segment_map,
            "delay_seconds": {"median": self.delay, "mean_absolute": self.delay_spread},
            "count_error": self.count_error,
            "per_class": {name: asdict(row) for name, row in self.classes.items()},
            "tracking": {
                "hota": self.tracking_mean("hota"),
                "idf1": self.tracking_mean("idf1"),
                "per_class": {name: asdict(row) for name, row in self.tracking.items()},
            },
        }


def happened(
    annotations: AnnotationSet,
    tubes: TubeSet,
    options: EventOptions | None = None,
    *,
    max_gap: int = LinkOptions().max_gap,
) -> Happened:
    """Score the events and ids of tubes.

    Truth tubes (`truth_tubes`) become events as found tubes do (`find_events`), so that pauses are
    joined on both sides. Tubes wholly on frames that nobody looked at take no part, nor do such
    frames in HOTA and IDF1. Times are those of the annotations.

    Args:
        annotations: the truth.
        tubes: of the same classes; videos that `annotations` does not hold take no part.
        options: least score and length of events, and the pause that is joined.
        max_gap: frames that nobody looked at and that a truth tube bridges.

    Raises:
        ValueError: for other classes.
    """
    if annotations.names != tubes.names:
        raise ValueError(f"expected tubes of the classes {annotations.names}, found {tubes.names}")
    options = options or EventOptions()
    wanted, given = {}, {}
    tracking = [TrackingMetric() for _ in annotations.names]
    for truth in annotations:
        known = tubes.videos.get(truth.name)
        seen = np.concatenate([[0], np.cumsum(truth.looked_at)])
        found = [t for t in (known.tubes if known else ()) if seen[t.stop] > seen[t.start]]
        right = truth_tubes(truth, max_gap)
        wanted[truth.name] = _video(truth, right)
        given[truth.name] = _video(truth, found)
        strong = [tube for tube in found if tube.score >= options.min_score]
        for label, metric in enumerate(tracking):
            metric.update(
                _trajectories(right, label, truth.looked_at),
                _trajectories(strong, label, truth.looked_at),
            )
    names = annotations.names
    everything = TubeSet(names, given)
    truths = find_events(TubeSet(names, wanted), replace(options, min_score=0.0))
    events = find_events(everything, options)
    ranked = find_events(everything, replace(options, min_score=0.0))
    tracked = {
        name: row
        for name, metric in zip(names, tracking, strict=True)
        if (row := metric.compute()).truth_boxes or row.boxes
    }
    return _scores(annotations, truths, events, ranked, options, tracked)


def _scores(
    annotations: AnnotationSet,
    truths: Sequence[Event],
    events: Sequence[Event],
    ranked: Sequence[Event],
    options: EventOptions,
    tracking: dict[str, TrackingResult],
) -> Happened:
    names, videos = annotations.names, list(annotations.videos)
    wanted, found = _spans(truths, videos), _spans(events, videos)
    at_iou = {iou: match_spans(found, wanted, iou).truth for iou in EVENT_IOUS}
    within = {s: match_onsets(found, wanted, s).truth for s in ONSET_SECONDS}
    loose = at_iou[EVENT_IOUS[0]]
    caught = np.flatnonzero(loose != NONE)
    delays = found.times[caught, 0] - wanted.times[loose[caught], 0]
    off = np.abs(_numbers(found, names, videos) - _numbers(wanted, names, videos))  # (V, C)
    classes = {}
    for label, name in enumerate(names):
        mine, theirs = found.labels == label, wanted.labels == label
        if mine.any() or theirs.any():
            classes[name] = ClassEvents(
                int(theirs.sum()),
                int(mine.sum()),
                _figures(at_iou[MAIN_IOU][mine], int(theirs.sum())),
                _median(delays[found.labels[caught] == label]),
                float(off[:, label].mean()),
            )
    ap = segment_map(_spans(ranked, videos), wanted, len(names))
    with_truth = np.unique(wanted.labels)
    return Happened(
        options,
        {iou: _figures(match, len(wanted)) for iou, match in at_iou.items()},
        {seconds: _figures(match, len(wanted)) for seconds, match in within.items()},
        {f"{iou:g}": ap[iou] for iou in (0.5, 0.75, 0.95)}
        | {"0.5:0.95": float(np.mean([ap[iou] for iou in IOU_THRESHOLDS]))},
        _median(delays),
        float(np.abs(delays).mean()) if len(delays) else float("nan"),
        float(off[:, with_truth].mean()) if len(with_truth) else float("nan"),
        classes,
        tracking,
    )


def _figures(match: np.ndarray, truths: int) -> EventFigures:
    """match (E,): the truth of each event, or `NONE`."""
    right, nan = int((match != NONE).sum()), float("nan")
    return EventFigures(
        right / len(match) if len(match) else nan,
        right / truths if truths else nan,
        f1_of_counts(right, len(match) - right, truths - right),
    )


def _numbers(spans: Spans, names: Sequence[str], videos: Sequence[str]) -> np.ndarray:
    """(V, C) spans of each video and class."""
    counts = np.zeros((len(videos), len(names)), dtype=np.int64)
    np.add.at(counts, (spans.videos, spans.labels), 1)
    return counts


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def _spans(events: Sequence[Event], videos: Sequence[str]) -> Spans:
    place = {name: index for index, name in enumerate(videos)}
    return Spans.build([(place[e.video], e.label, e.start, e.stop, e.score) for e in events])


def _video(truth: VideoAnnotations, tubes: Sequence[Tube]) -> VideoTubes:
    return VideoTubes(truth.name, tubes, truth.fps, truth.num_frames, truth.times)


def _trajectories(tubes: Sequence[Tube], label: int, looked_at: np.ndarray) -> Trajectories:
    """The boxes of one class on frames that were looked at; an id is a tube's index."""
    own = [(number, tube) for number, tube in enumerate(tubes) if tube.label == label]
    none = np.zeros(0, dtype=np.int64)
    frames = np.concatenate([none, *(np.arange(tube.start, tube.stop) for _, tube in own)])
    ids = np.concatenate([none, *(np.full(len(tube), number) for number, tube in own)])
    boxes = np.concatenate([np.zeros((0, 4)), *(tube.boxes for _, tube in own)])
    keep = looked_at[frames]
    return Trajectories(frames[keep], ids[keep], boxes[keep])
