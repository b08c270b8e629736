"""Do scores mean what they say? Of detections scored 0.8, four in five should be right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stadet.detect.metrics.ranking import Ranking

BINS = 10


@dataclass(frozen=True, eq=False)
class Calibration:
    """Equal-width bins of the score: count, mean score and share of right detections (BINS,), NaN
    where a bin is empty; error: expected calibration error, the mean gap weighted by counts (Guo
    et al. 2017), NaN without detections."""

    count: np.ndarray
    score: np.ndarray
    precision: np.ndarray
    error: float


def calibration(ranking: Ranking, min_score: float = 0.0) -> Calibration:
    """Over the detections of all classes at or above `min_score`; scores above 1 count as 1."""
    kept = ranking.score >= min_score
    score, right = ranking.score[kept].clip(0, 1), ranking.true_positive[kept]
    place = np.minimum((score * BINS).astype(np.int64), BINS - 1)
    count = np.bincount(place, minlength=BINS)
    empty = np.full(BINS, np.nan)
    mean_score = np.divide(
        np.bincount(place, score, minlength=BINS), count, out=empty.copy(), where=count > 0
    )
    precision = np.divide(
        np.bincount(place, right, minlength=BINS), count, out=empty.copy(), where=count > 0
    )
    gap = np.nan_to_num(np.abs(mean_score - precision))
    error = float((gap * count).sum() / count.sum()) if count.sum() else float("nan")
    return Calibration(count, mean_score, precision, error)
