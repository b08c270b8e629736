"""Average precision of a ranked list."""

from __future__ import annotations

import numpy as np

RECALL_POINTS = np.linspace(0.0, 1.0, 101)


def precision_recall(
    true_positive: np.ndarray, num_truths: float, false_weight: float | np.ndarray = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Precision, recall (K,) after each detection; `true_positive` (K,) bool by falling score.

    A false detection counts `false_weight`, a number or (K,): less than one where only a part of
    the truth is asked for and a false detection cannot be laid to that part.
    """
    found = np.cumsum(true_positive)
    wrong = np.cumsum(np.where(true_positive, 0.0, false_weight))
    recall = found / num_truths if num_truths else np.zeros(len(found))
    total = found + wrong
    return np.divide(found, total, out=np.zeros(len(found)), where=total > 0), recall


def average_precision(
    precision: np.ndarray, recall: np.ndarray, interpolation: str = "all_points"
) -> float:
    """Area under the precision envelope (the best precision at this recall or beyond).

    precision, recall (K,) with rising recall, as from `precision_recall`.
    `all_points`: the exact area (VOC 2010 on); `101_points`: the mean of the envelope at recalls
    0, 0.01, .., 1 (COCO). 0 for an empty list.
    """
    if not len(recall):
        return 0.0
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    if interpolation == "101_points":
        place = np.searchsorted(recall, RECALL_POINTS, side="left")
        reached = place < len(recall)
        return float(envelope[place[reached]].sum() / len(RECALL_POINTS))
    if interpolation != "all_points":
        raise ValueError(f"expected all_points or 101_points, found {interpolation!r}")
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))
