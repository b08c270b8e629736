"""Bootstrap over videos: intervals of figures, with all replicates at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stadet.detect.metrics.frame_map import nan_mean
from stadet.detect.metrics.unit_ranking import UnitRanking

REPLICATES = 1000
CURVE_POINTS = 128  # of a class's precision-recall curve, at equal numbers of true positives


@dataclass(frozen=True)
class Interval:
    """A figure with the middle 95% of its replicates; `low` = `high` = NaN where there is nothing
    to draw from."""

    value: float
    low: float
    high: float


def draw_weights(units: int, replicates: int = REPLICATES, seed: int = 0) -> np.ndarray:
    """(R, U) how often each unit is drawn in each replicate: `units` draws with replacement."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(units, np.full(units, 1 / max(units, 1)), size=replicates).astype(
        np.float32  # exact for whole numbers below 2**24, and twice as fast to multiply
    )


def average_precision_replicates(ranking: UnitRanking, weights: np.ndarray) -> np.ndarray:
    """AP of each class in each replicate: (R, C), NaN where a replicate drew no truth of the class.

    weights (R, U): how often each unit was drawn. All-point AP, read at no more than `CURVE_POINTS`
    points a class; up to that many true positives it is exact.
    """
    weights = weights.astype(np.float32, copy=False)
    result = np.full((len(weights), len(ranking.bounds) - 1), np.nan)
    for label in np.flatnonzero(ranking.truths.sum(axis=0)):
        part = slice(ranking.bounds[label], ranking.bounds[label + 1])
        truths = weights @ ranking.truths[:, label].astype(np.float32)
        right, wrong = _counts_by_point(
            ranking.true_positive[part], ranking.unit[part], ranking.num_units
        )
        found = weights @ right  # (R, points)
        false = np.cumsum(weights @ wrong, axis=1)
        total = np.cumsum(found, axis=1)
        precision = np.divide(
            total, total + false, out=np.zeros_like(total), where=total + false > 0
        )
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        area = (found * envelope).sum(axis=1)
        result[:, label] = np.divide(area, truths, out=np.full(len(area), np.nan), where=truths > 0)
    return result


def interval(value: float, replicates: np.ndarray, units: int) -> Interval:
    """Middle 95% of `replicates` (R,), moved so that their mean is `value`.

    Only their spread is used: AP is not linear in the videos, so that replicates of a class with
    few videos lie below the figure, and they are read at fewer points of the curve. units: how many
    of the drawn units hold truth; one alone says nothing of its like.
    """
    known = replicates[~np.isnan(replicates)]
    if len(known) < 2 or units < 2:
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(known, [0.025, 0.975]) + (value - known.mean())
    return Interval(value, float(low), float(high))


def mean_over_classes(replicates: np.ndarray) -> np.ndarray:
    """(R, C) -> (R,) means over the classes that are known in a replicate."""
    known = ~np.isnan(replicates)
    count = known.sum(axis=1)
    total = np.where(known, replicates, 0.0).sum(axis=1)
    return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)


@dataclass(frozen=True, eq=False)
class FrameMAPIntervals:
    """frame-mAP with its interval, AP of each class with its interval, and what was drawn."""

    mean: Interval
    per_class: list[Interval]
    units: str
    replicates: int


def frame_map_intervals(
    ranking: UnitRanking, ap: np.ndarray, replicates: int = REPLICATES, seed: int = 0
) -> FrameMAPIntervals:
    """Intervals of frame-mAP at the IoU of `ranking`; ap (C,) are the exact figures there."""
    if ranking.num_units < 2 or not replicates:
        ends = (float("nan"),) * 2
        return FrameMAPIntervals(
            Interval(nan_mean(ap), *ends),
            [Interval(float(a), *ends) for a in ap],
            ranking.units,
            0,
        )
    weights = draw_weights(ranking.num_units, replicates, seed)
    drawn = average_precision_replicates(ranking, weights)
    return FrameMAPIntervals(
        interval(nan_mean(ap), mean_over_classes(drawn), ranking.num_units),
        [
            interval(float(a), drawn[:, c], int((ranking.truths[:, c] > 0).sum()))
            for c, a in enumerate(ap)
        ],
        ranking.units,
        replicates,
    )


def paired_difference(
    a: UnitRanking,
    b: UnitRanking,
    ap_a: np.ndarray,
    ap_b: np.ndarray,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> FrameMAPIntervals:
    """Intervals of b - a, both drawn with the same units: what the two have in common (hard videos)
    falls out. ValueError where the two were not scored on the same truth."""
    if not a.same_truth(b):
        raise ValueError("expected two rankings of the same truth, found different ones")
    difference = ap_b - ap_a
    if a.num_units < 2 or not replicates:
        return frame_map_intervals(a, difference, 0)
    weights = draw_weights(a.num_units, replicates, seed)
    drawn = average_precision_replicates(b, weights) - average_precision_replicates(a, weights)
    return FrameMAPIntervals(
        interval(nan_mean(difference), mean_over_classes(drawn), a.num_units),
        [
            interval(float(d), drawn[:, c], int((a.truths[:, c] > 0).sum()))
            for c, d in enumerate(difference)
        ],
        a.units,
        replicates,
    )


def _counts_by_point(
    right: np.ndarray, unit: np.ndarray, units: int
) -> tuple[np.ndarray, np.ndarray]:
    """(U, points) right and wrong detections of each unit up to each point of the curve.

    A point is a true positive (of many, every n-th); false ones belong to the next point, those
    after the last true positive to none, for they cannot lower the envelope before it.
    """
    found = np.cumsum(right)
    total = int(found[-1]) if len(found) else 0
    points = min(total, CURVE_POINTS)
    after = found - right  # true positives before this row
    kept = after < total
    place = after[kept] * points // max(total, 1)
    key = unit[kept] * points + place
    size = units * points
    right, wrong = (
        np.bincount(key[rows], minlength=size).reshape(units, points).astype(np.float32)
        for rows in (right[kept], ~right[kept])
    )
    return right, wrong
