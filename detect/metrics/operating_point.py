"""Precision and recall at a score threshold, and the threshold of best F1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stadet.detect.metrics.ranking import Ranking


@dataclass(frozen=True, eq=False)
class Counts:
    """Detections that pass a threshold, by class: found = true positives (C,), kept = detections at
    or above the threshold (C,), truths (C,)."""

    found: np.ndarray
    kept: np.ndarray
    truths: np.ndarray

    @property
    def precision(self) -> np.ndarray:
        """(C,) share of kept detections that are right; NaN where none was kept."""
        return _ratio(self.found, self.kept)

    @property
    def recall(self) -> np.ndarray:
        """(C,) share of truths found; NaN for a class without truth."""
        return _ratio(self.found, self.truths)

    @property
    def f1(self) -> np.ndarray:
        """(C,) harmonic mean of precision and recall; NaN with neither detections nor truth."""
        return _ratio(2 * self.found, self.kept + self.truths)

    def overall(self) -> Counts:
        """All classes as one (micro average): arrays of length 1."""
        return Counts(*(np.atleast_1d(a.sum()) for a in (self.found, self.kept, self.truths)))


def counts_at(ranking: Ranking, threshold: float | np.ndarray) -> Counts:
    """Counts at one threshold, or at one a class (C,). Matching is greedy by score, so that lower
    detections never change what higher ones found."""
    limits = np.broadcast_to(np.asarray(threshold, dtype=np.float64), (ranking.num_classes,))
    label = ranking.label
    kept = ranking.score >= limits[label]
    return Counts(
        np.bincount(label[kept & ranking.true_positive], minlength=ranking.num_classes),
        np.bincount(label[kept], minlength=ranking.num_classes),
        ranking.num_truths,
    )


def best_f1_threshold(ranking: Ranking, label: int | None = None) -> float:
    """The score at which F1 is best, of one class or (None) of all boxes together.

    Equal scores pass or fall together; of equal F1 the highest threshold. NaN where nothing is
    right at any threshold.
    """
    if label is None:
        order = np.argsort(-ranking.score, kind="stable")
        score, right = ranking.score[order], ranking.true_positive[order]
        truths = ranking.num_truths.sum()
    else:
        rows = ranking.of(label)
        score, right = ranking.score[rows], ranking.true_positive[rows]
        truths = ranking.num_truths[label]
    if not right.any():
        return float("nan")
    f1 = 2 * np.cumsum(right) / (np.arange(1, len(right) + 1) + truths)
    last_of_equals = np.r_[score[1:] != score[:-1], True]
    return float(score[np.where(last_of_equals, f1, -1.0).argmax()])


def best_f1_thresholds(ranking: Ranking) -> np.ndarray:
    """(C,) threshold of best F1 of each class, NaN where nothing is right."""
    return np.array([best_f1_threshold(ranking, c) for c in range(ranking.num_classes)])


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.divide(a, b, out=np.full(len(a), np.nan), where=b > 0)
