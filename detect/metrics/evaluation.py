"""Everything a report says, from truth and detections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from stadet.detect.boxes import area
from stadet.detect.detections.detection_set import DetectionSet
from stadet.detect.metrics.ava_map import ava_figures
from stadet.detect.metrics.bootstrap import REPLICATES, FrameMAPIntervals, frame_map_intervals
from stadet.detect.metrics.calibration import Calibration, calibration
from stadet.detect.metrics.coco import coco_summary
from stadet.detect.metrics.columns import EvaluationColumns, gather
from stadet.detect.metrics.confusion import confusion_matrix
from stadet.detect.metrics.diagnosis import Diagnosis, diagnose
from stadet.detect.metrics.direction import (
    DirectionAccuracy,
    direction_accuracies,
    direction_by_age,
    images_inside,
)
from stadet.detect.metrics.frame_map import FrameMAPResult, frame_map_of_columns, nan_mean
from stadet.detect.metrics.happened import Happened, happened
from stadet.detect.metrics.localization import Localization, localization
from stadet.detect.metrics.operating_point import (
    Counts,
    best_f1_threshold,
    best_f1_thresholds,
    counts_at,
)
from stadet.detect.metrics.processed import Unprocessed, unprocessed_frames
from stadet.detect.metrics.protocols import IOU_THRESHOLDS, Protocol, get_protocol
from stadet.detect.metrics.ranking import Matcher, Ranking
from stadet.detect.metrics.strata import Stratum, ap_by_value
from stadet.detect.metrics.truth_runs import box_seconds, box_speed, truth_runs
from stadet.detect.metrics.unit_ranking import UnitRanking, unit_ranking
from stadet.detect.structures import AnnotationSet

IN_SAMPLE = "best F1 on these same frames (in-sample)"
DEFAULT_THRESHOLD = 0.5  # where nothing is right at any threshold


@dataclass(frozen=True, eq=False)
class Thresholds:
    """overall: the score from which detections count; per_class (C,); source: where it came from.

    A class without a threshold of its own (NaN) takes the overall one.
    """

    overall: float
    per_class: np.ndarray
    source: str


@dataclass(frozen=True)
class TopClasses:
    """The k classes with most clips: their names and means over them."""

    classes: tuple[str, ...]
    frame_map_50: float
    precision: float
    recall: float


@dataclass(frozen=True)
class Direction:
    """Balanced direction accuracy of reversed pairs: everywhere, on the motionless spans, and there
    by frames since the stop (empty without spans). motionless_ap: AP@0.5 of each class of a pair
    over the motionless frames alone."""

    everywhere: dict[tuple[str, str], DirectionAccuracy]
    motionless: dict[tuple[str, str], DirectionAccuracy]
    by_age: dict[tuple[int, int], float]
    motionless_ap: dict[str, float]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Evaluation of a detections file on an annotation set under a protocol.

    All figures at IoU 0.5 unless they say otherwise.

    Attributes:
        counts: at the overall threshold.
        own_counts: at each class's own.
        clips: (C,) runs of truth of each class.
        top: by k.
        happened: events and ids against the truth's, where tubes were asked for.
        strata: by "size" (root of area, pixels), "duration" (s), "motion" (box sizes a second).
    """

    protocol: Protocol
    columns: EvaluationColumns
    matcher: Matcher
    ranking: Ranking
    frame_map: FrameMAPResult
    thresholds: Thresholds
    counts: Counts
    own_counts: Counts
    clips: np.ndarray
    top: dict[int, TopClasses]
    localization: Localization
    confusion: np.ndarray
    calibration: Calibration
    strata: dict[str, list[Stratum]]
    diagnosis: Diagnosis
    units: UnitRanking
    intervals: FrameMAPIntervals
    unprocessed: Unprocessed
    direction: Direction | None = None
    coco: dict[str, float] | None = None
    ava: dict | None = None
    video_map: dict[str, float] | None = None
    happened: Happened | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def names(self) -> tuple[str, ...]:
        return self.columns.names


def evaluate(
    annotations: AnnotationSet,
    detections: DetectionSet,
    protocol: str | Protocol = "voc",
    *,
    thresholds: Thresholds | None = None,
    top: Sequence[int] = (5, 24),
    min_clips: int = 10,
    reverses: Mapping[str, str] | None = None,
    spans: Mapping[str, Sequence[tuple[int, int]]] | None = None,
    with_video_map: bool = False,
    replicates: int = REPLICATES,
    seed: int = 0,
    columns: EvaluationColumns | None = None,
) -> Evaluation:
    """Score detections.

    thresholds: learnt elsewhere; None = best F1 on these frames, marked in-sample. top, min_clips:
    means over the k classes with most clips, of those with at least `min_clips`. reverses: names of
    actions that are each other's time reversal; spans: motionless inclusive ranges by video.
    replicates: of the bootstrap, drawn with `seed`. columns: of both, where they are available in
    an order of rows of their own.
    """
    protocol = get_protocol(protocol)
    clocks = {video.name: video.clock for video in annotations}
    everything = gather(annotations, detections) if columns is None else columns
    matcher = Matcher(everything, protocol)
    columns = matcher.columns
    ranking = matcher.ranking(0.5)
    ap_by_iou = frame_map_of_columns(matcher, protocol, IOU_THRESHOLDS)
    thresholds = thresholds or learn_thresholds(ranking)
    own = np.where(np.isnan(thresholds.per_class), thresholds.overall, thresholds.per_class)
    counts = counts_at(ranking, thresholds.overall)
    runs = truth_runs(columns, clocks)
    clips = runs.clips_per_class(columns.num_classes)
    units = unit_ranking(columns, ranking, clocks)
    ap = ap_by_iou.at(0.5)
    video_map = events = None
    if with_video_map:
        from stadet.detect.metrics.video_map import link_for_scoring, video_map_of_tubes
        from stadet.detect.tubes.events import EventOptions

        tubes = link_for_scoring(annotations, detections)
        video_map = video_map_of_tubes(annotations, tubes, protocol=protocol).figures()
        events = happened(annotations, tubes, EventOptions(min_score=thresholds.overall))
    ava = ava_figures(everything, protocol) if protocol.ties == "ava" else None
    return Evaluation(
        protocol=protocol,
        columns=columns,
        matcher=matcher,
        ranking=ranking,
        frame_map=ap_by_iou,
        thresholds=thresholds,
        counts=counts,
        own_counts=counts_at(ranking, own),
        clips=clips,
        top={k: _top_classes(columns.names, k, min_clips, clips, ap, counts) for k in top},
        localization=localization(everything),
        confusion=confusion_matrix(columns, thresholds.overall),
        calibration=calibration(ranking),
        strata={
            "size": ap_by_value(matcher, np.sqrt(area(columns.truth_boxes))),
            "duration": ap_by_value(matcher, box_seconds(columns, runs)),
            "motion": ap_by_value(matcher, box_speed(columns, runs, clocks)),
        },
        diagnosis=diagnose(matcher, thresholds.overall),
        units=units,
        intervals=frame_map_intervals(units, ap, replicates, seed),
        unprocessed=unprocessed_frames(annotations, detections),
        direction=_direction(everything, protocol, reverses, spans) if reverses else None,
        coco=coco_summary(everything) if protocol.name == "coco" else None,
        ava=ava,
        video_map=video_map,
        happened=events,
        notes=(*detections.notes, *_ava_notes(ava)),
    )


def _ava_notes(ava: dict | None) -> tuple[str, ...]:
    if ava is None or not ava["detections_on_empty_key_frames"]:
        return ()
    return (
        f"{ava['detections_on_empty_key_frames']:,} detections on key frames without truth are "
        "left out; counted as false, as AVA's script does where its input has them, the mAP is "
        f"{ava['map_50_all_key_frames']:.4f} instead of {ava['map_50']:.4f}",
    )


def learn_thresholds(ranking: Ranking) -> Thresholds:
    """Thresholds of best F1 on the frames of `ranking`."""
    overall = best_f1_threshold(ranking)
    if np.isnan(overall):
        return Thresholds(
            DEFAULT_THRESHOLD,
            np.full(ranking.num_classes, np.nan),
            "default: nothing is right at any threshold",
        )
    return Thresholds(overall, best_f1_thresholds(ranking), IN_SAMPLE)


def _top_classes(
    names: Sequence[str], k: int, min_clips: int, clips: np.ndarray, ap: np.ndarray, counts: Counts
) -> TopClasses:
    order = np.argsort(-clips, kind="stable")
    chosen = order[clips[order] >= max(min_clips, 1)][:k]
    return TopClasses(
        tuple(names[c] for c in chosen),
        nan_mean(ap[chosen]),
        nan_mean(counts.precision[chosen]),
        nan_mean(counts.recall[chosen]),
    )


def _direction(
    columns: EvaluationColumns,
    protocol: Protocol,
    reverses: Mapping[str, str],
    spans: Mapping[str, Sequence[tuple[int, int]]] | None,
) -> Direction:
    everywhere = direction_accuracies(columns, reverses)
    if spans is None:
        return Direction(everywhere, {}, {}, {})
    still = columns.select_images(images_inside(columns, spans))
    ap = frame_map_of_columns(still, protocol, [0.5]).at(0.5)
    return Direction(
        everywhere,
        direction_accuracies(columns, reverses, spans),
        direction_by_age(columns, reverses, spans),
        {name: float(ap[columns.names.index(name)]) for pair in everywhere for name in pair},
    )
