"""Confusion between classes, with background for missed truths and false alarms."""

from __future__ import annotations

import numpy as np

from stadet.detect.metrics.columns import EvaluationColumns
from stadet.detect.metrics.matching import NONE, match_best_free, pair_up, score_rank


def confusion_matrix(
    columns: EvaluationColumns, threshold: float | np.ndarray, iou: float = 0.5
) -> np.ndarray:
    """(C + 1, C + 1) counts: rows true class, columns predicted class, the last of each background.

    Detections at or above `threshold` (one, or one a class) first take truths of their own class,
    then what is left of both sides meets whatever the class; each truth label and each detection
    counts once. The last column holds missed truths, the last row false detections on background
    (duplicates too; not those inside an ignored region). Where every truth has a single label a box
    counts for its best class only; otherwise for every class above the threshold.
    """
    classes = columns.num_classes
    limits = np.broadcast_to(np.asarray(threshold, dtype=np.float64), (classes,))
    kept = columns.entry_score >= limits[columns.entry_class]
    if not (columns.truth_labels.sum(axis=1) > 1).any():
        kept &= best_class_only(columns)
    columns = columns.select_entries(kept)
    truth_box, truth_class = np.nonzero(columns.truth_labels)
    truth_image, entry_image = columns.truth_image[truth_box], columns.entry_image
    boxes = columns.detection_boxes[columns.entry_detection]
    rank = score_rank(columns.entry_score)
    matrix = np.zeros((classes + 1, classes + 1), dtype=np.int64)

    def meet(entries: np.ndarray, truths: np.ndarray, entry_group, truth_group) -> tuple:
        pairs = pair_up(
            entry_group[entries],
            boxes[entries],
            truth_group[truths],
            columns.truth_boxes[truth_box[truths]],
        )
        found = match_best_free(pairs, rank[entries], iou).truth
        hit = found != NONE
        np.add.at(matrix, (truth_class[truths[found[hit]]], columns.entry_class[entries[hit]]), 1)
        return entries[~hit], np.delete(truths, found[hit])

    entries, truths = np.arange(len(boxes)), np.arange(len(truth_box))
    entries, truths = meet(
        entries,
        truths,
        entry_image * classes + columns.entry_class,
        truth_image * classes + truth_class,
    )
    entries, truths = meet(entries, truths, entry_image, truth_image)
    entries = entries[~columns.excused(iou)[entries]]
    matrix[:classes, classes] = np.bincount(truth_class[truths], minlength=classes)
    matrix[classes, :classes] = np.bincount(columns.entry_class[entries], minlength=classes)
    return matrix


def best_class_only(columns: EvaluationColumns) -> np.ndarray:
    """(E,) bool: the entry is the highest of its box (the first of equals)."""
    best = np.zeros(len(columns.entry_score), dtype=bool)
    if len(best):
        new = np.r_[True, np.diff(columns.entry_detection) > 0]
        box = np.cumsum(new) - 1
        highest = np.maximum.reduceat(columns.entry_score, np.flatnonzero(new))
        at_highest = np.flatnonzero(columns.entry_score == highest[box])
        _, first = np.unique(box[at_highest], return_index=True)
        best[at_highest[first]] = True
    return best
