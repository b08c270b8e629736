"""Direction accuracy on pairs of actions that are each other's time reversal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stadet.detect.metrics.columns import EvaluationColumns
from stadet.detect.metrics.frame_map import nan_mean

AGES = ((0, 3), (4, 7), (8, 11), (12, 15))  # frames since the stop, both ends included


@dataclass(frozen=True)
class DirectionAccuracy:
    """accuracy: balanced over the two classes of the pair, 0.5 = chance; matched: truth boxes with
    a detection on them; truths: truth boxes of the pair. NaN where a class has no matched box."""

    accuracy: float
    matched: int
    truths: int


def direction_accuracies(
    columns: EvaluationColumns,
    reverses: Mapping[str, str],
    spans: Mapping[str, Sequence[tuple[int, int]]] | None = None,
    ages: tuple[int, int] | None = None,
    iou: float = 0.5,
) -> dict[tuple[str, str], DirectionAccuracy]:
    """Balanced direction accuracy of each reversed pair, keyed by its two names in class order.

    For each truth box of one of the two classes, the class with the higher score decides, over the
    detections that overlap it by `iou` or more: non-maximum suppression by class may leave the two
    classes' best scores on different boxes. Equal scores are half right. Boxes with both labels
    are left out. spans: only frames inside these inclusive ranges of each video (motionless
    stretches); ages: only frames first..last frames after the start of their span.
    """
    pairs_of_names = sorted(
        {tuple(sorted((a, b), key=columns.names.index)) for a, b in reverses.items() if a != b},
        key=lambda pair: columns.names.index(pair[0]),
    )
    inside = images_inside(columns, spans, ages)[columns.truth_image]
    near = columns.pairs.select(columns.pairs.iou >= iou)
    matched = np.isin(np.arange(len(columns.truth_boxes)), near.truth)
    result = {}
    for names in pairs_of_names:
        labels = [columns.names.index(name) for name in names]
        best = np.zeros((2, len(columns.truth_boxes)))
        for row, label in enumerate(labels):
            entries = columns.entry_class == label
            scores = np.zeros(len(columns.detection_boxes))
            scores[columns.entry_detection[entries]] = columns.entry_score[entries]
            np.maximum.at(best[row], near.truth, scores[near.detection])
        is_class = columns.truth_labels[:, labels].T  # (2, T)
        wanted = (is_class.sum(axis=0) == 1) & inside
        per_class = []
        for row in range(2):
            boxes = np.flatnonzero(is_class[row] & wanted & matched)
            margin = best[row, boxes] - best[1 - row, boxes]
            credit = (margin > 0) + 0.5 * (margin == 0)
            per_class.append(credit.mean() if len(boxes) else np.nan)
        result[names] = DirectionAccuracy(
            float(np.mean(per_class)), int((wanted & matched).sum()), int(wanted.sum())
        )
    return result


def direction_by_age(
    columns: EvaluationColumns,
    reverses: Mapping[str, str],
    spans: Mapping[str, Sequence[tuple[int, int]]],
    ages: Sequence[tuple[int, int]] = AGES,
) -> dict[tuple[int, int], float]:
    """Mean direction accuracy over all pairs by frames since the start of a motionless span."""
    return {
        age: nan_mean(
            np.array(
                [
                    pair.accuracy
                    for pair in direction_accuracies(columns, reverses, spans, age).values()
                ]
            )
        )
        for age in ages
    }


def images_inside(
    columns: EvaluationColumns,
    spans: Mapping[str, Sequence[tuple[int, int]]] | None,
    ages: tuple[int, int] | None = None,
) -> np.ndarray:
    """(I,) bool: the image lies in a span, at an age within `ages`; all do where spans is None."""
    if spans is None:
        return np.ones(columns.num_images, dtype=bool)
    inside = np.zeros(columns.num_images, dtype=bool)
    for index, name in enumerate(columns.video_names):
        for first, last in spans.get(name, ()):
            start = first if ages is None else first + ages[0]
            stop = last if ages is None else min(last, first + ages[1])
            frame = columns.image_frame
            inside |= (columns.image_video == index) & (frame >= start) & (frame <= stop)
    return inside
