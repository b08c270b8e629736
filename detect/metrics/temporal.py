"""Labelled stretches of time against each other: temporal IoU, segment mAP, F1@k, edit score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from stadet.detect.metrics.average_precision import average_precision, precision_recall
from stadet.detect.metrics.frame_map import nan_mean
from stadet.detect.metrics.matching import Match, Pairs, match_best_free, pair_up, score_rank
from stadet.detect.metrics.protocols import IOU_THRESHOLDS


@dataclass(frozen=True, eq=False)
class Spans:
    """N stretches of time in videos.

    Attributes:
        videos: (N,) int64, index of the video.
        labels: (N,) int64, class index.
        times: (N, 2) seconds, start and stop.
        scores: (N,).
    """

    videos: np.ndarray
    labels: np.ndarray
    times: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def build(cls, rows: Sequence[tuple[int, int, float, float, float]]) -> Spans:
        """From rows (video, label, start, stop, score)."""
        table = np.array(rows, dtype=np.float64).reshape(-1, 5)
        return cls(
            table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2:4], table[:, 4]
        )


def temporal_iou(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(P,) shared over joint length of times (P, 2), row by row; 0 where nothing is shared."""
    shared = np.minimum(one[:, 1], other[:, 1]) - np.maximum(one[:, 0], other[:, 0])
    shared = np.maximum(shared, 0.0)
    joint = (one[:, 1] - one[:, 0]) + (other[:, 1] - other[:, 0]) - shared
    return np.divide(shared, joint, out=np.zeros(len(joint)), where=joint > 0)


def onset_closeness(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(P,) 1 / (1 + seconds between the starts) of times (P, 2), row by row."""
    return 1 / (1 + np.abs(one[:, 0] - other[:, 0]))


def span_pairs(
    found: Spans,
    truth: Spans,
    overlap: Callable[[np.ndarray, np.ndarray], np.ndarray] = temporal_iou,
) -> Pairs:
    """All pairs of one video and class, with their temporal IoU (or another overlap)."""
    classes = 1 + max(found.labels.max(initial=0), truth.labels.max(initial=0))
    return pair_up(
        found.videos * classes + found.labels,
        found.times,
        truth.videos * classes + truth.labels,
        truth.times,
        overlap=overlap,
    )


def match_spans(found: Spans, truth: Spans, iou: float) -> Match:
    """By falling score, each found span takes the truth of highest temporal IoU that is still free,
    if that reaches `iou`."""
    return match_best_free(span_pairs(found, truth), score_rank(found.scores), iou)


def match_onsets(found: Spans, truth: Spans, seconds: float) -> Match:
    """By falling score, each found span takes the truth of nearest start that is still free, at
    most `seconds` away."""
    pairs = span_pairs(found, truth, onset_closeness)
    return match_best_free(pairs, score_rank(found.scores), 1 / (1 + seconds + 1e-6))


def segment_map(
    found: Spans, truth: Spans, num_classes: int, thresholds: Sequence[float] = IOU_THRESHOLDS
) -> dict[float, float]:
    """Temporal mAP by threshold as in ActivityNet's evaluation of action localization.

    By falling score, each found segment takes the best truth that is still free; all-point AP; mean
    over classes with truth. NaN without truth.
    """
    wanted = np.bincount(truth.labels, minlength=num_classes)
    rank = score_rank(found.scores)
    pairs = span_pairs(found, truth)
    means = {}
    for threshold in thresholds:
        right = match_best_free(pairs, rank, threshold).true_positive
        ap = np.full(num_classes, np.nan)
        for label in np.flatnonzero(wanted):
            rows = np.flatnonzero(found.labels == label)
            rows = rows[np.argsort(rank[rows])]
            ap[label] = average_precision(*precision_recall(right[rows], wanted[label]))
        means[threshold] = nan_mean(ap)
    return means


def segmental_f1(
    found: Sequence[tuple[int, float, float]],
    truth: Sequence[tuple[int, float, float]],
    iou: float,
) -> tuple[int, int, int]:
    """F1@k's counts of one timeline, (true positives, false positives, false negatives).

    As Lea et al. 2017, "Temporal Convolutional Networks for Action Segmentation and Detection"
    (CVPR): in order of time, a found segment takes the truth of its class with the highest temporal
    IoU; it is right if that reaches `iou` and the truth is not taken yet. Sum the counts over
    timelines before computing F1 (`f1_of_counts`).

    Args:
        found: (label, start, stop) in order of time, without the background.
        truth: the same.
        iou: 0.1, 0.25 or 0.5.
    """
    taken = np.zeros(len(truth), dtype=bool)
    labels = np.array([segment[0] for segment in truth])
    times = np.array([segment[1:] for segment in truth], dtype=np.float64).reshape(-1, 2)
    right = 0
    for label, start, stop in found:
        if not len(truth):
            break
        here = np.tile(np.array([start, stop], dtype=np.float64), (len(truth), 1))
        overlaps = temporal_iou(here, times) * (labels == label)
        best = int(overlaps.argmax())
        if overlaps[best] >= iou and not taken[best]:
            taken[best] = True
            right += 1
    return right, len(found) - right, len(truth) - right


def f1_of_counts(right: int, wrong: int, missed: int) -> float:
    """2 TP / (2 TP + FP + FN); NaN where there is nothing."""
    total = 2 * right + wrong + missed
    return 2 * right / total if total else float("nan")


def edit_score(found: Sequence[int], truth: Sequence[int]) -> float:
    """Segmental edit score in [0, 1]: 1 - Levenshtein distance / length of the longer.

    As Lea et al. 2016, "Segmental Spatiotemporal CNNs for Fine-grained Action Segmentation" (ECCV).
    found, truth: the labels of the segments in order of time, without the background. 1 where both
    are empty.
    """
    row = list(range(len(truth) + 1))
    for i, label in enumerate(found, start=1):
        diagonal, row[0] = row[0], i
        for j, wanted in enumerate(truth, start=1):
            change = diagonal + (label != wanted)
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, change)
    longest = max(len(found), len(truth))
    return 1 - row[-1] / longest if longest else 1.0
