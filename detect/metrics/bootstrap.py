"""How much would a figure move with other videos? Bootstrap over videos, replicates in bulk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from detect.metrics.columns import EvaluationColumns
from detect.metrics.frame_map import nan_mean
from detect.metrics.ranking import Ranking

REPLICATES = 1000
FEW_VIDEOS = 10  # below it, blocks of time are drawn instead of videos
BLOCK_SECONDS = 10.0
CURVE_POINTS = 128  # of a class's precision-recall curve, at equal numbers of true positives


@dataclass(frozen=True)
class Interval:
    """A figure with the middle 95% of its replicates; `low` = `high` = NaN where there is nothing
    to draw from."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Units:
    """What is drawn: of_image (I,) the unit of each image, count, and words for the report."""

    of_image: np.ndarray
    count: int
    description: str


def resampling_units(columns: EvaluationColumns, fps: Mapping[str, float]) -> Units:
    """Videos; or, with fewer than `FEW_VIDEOS`, blocks of `BLOCK_SECONDS` within them, because
    drawing from a handful says little. Neighbouring frames are alike, so never single frames."""
    videos = len(columns.video_names)
    if videos >= FEW_VIDEOS:
        return Units(columns.image_video, videos, f"{videos} videos")
    rate = np.array([fps[name] for name in columns.video_names] or [1.0])
    block = columns.image_frame // (rate[columns.image_video] * BLOCK_SECONDS)
    key = columns.image_video * (block.max(initial=0) + 1) + block
    _, unit = np.unique(key, return_inverse=True)
    count = int(unit.max(initial=-1)) + 1
    text = f"{count} blocks of {BLOCK_SECONDS:g} s, because there are only {videos} videos"
    return Units(unit.reshape(-1), count, text)


def draw_weights(units: int, replicates: int = REPLICATES, seed: int = 0) -> np.ndarray:
    """(R, U) how often each unit is drawn in each replicate: `units` draws with replacement."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(units, np.full(units, 1 / max(units, 1)), size=replicates).astype(
        np.float32  # exact for whole numbers below 2**24, and twice as fast to multiply
    )


def average_precision_replicates(
    ranking: Ranking, truths_of_unit: np.ndarray, unit_of_image: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """AP of each class in each replicate: (R, C), NaN where a replicate drew no truth of the class;
    and the AP of the undrawn data by the same reading (C,).

    truths_of_unit (U, C); unit_of_image (I,); weights (R, U). All-point AP, read at no more than
    `CURVE_POINTS` points a class; up to that many true positives it is exact.
    """
    replicates, classes = len(weights), ranking.num_classes
    rows = np.concatenate([np.ones((1, weights.shape[1]), dtype=np.float32), weights])
    result = np.full((replicates + 1, classes), np.nan)
    for label in np.flatnonzero(ranking.num_truths):
        part = ranking.of(label)
        truths = rows @ truths_of_unit[:, label].astype(np.float32)
        right, wrong = _counts_by_point(
            ranking.true_positive[part], unit_of_image[ranking.image[part]], weights.shape[1]
        )
        found = rows @ right  # (R + 1, points)
        false = np.cumsum(rows @ wrong, axis=1)
        total = np.cumsum(found, axis=1)
        precision = np.divide(
            total, total + false, out=np.zeros_like(total), where=total + false > 0
        )
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        area = (found * envelope).sum(axis=1)
        result[:, label] = np.divide(area, truths, out=np.full(len(area), np.nan), where=truths > 0)
    return result[1:], result[0]


def interval(value: float, replicates: np.ndarray, centre: float) -> Interval:
    """Middle 95% of `replicates` (R,), moved by what the coarser reading is off: value - centre."""
    known = replicates[~np.isnan(replicates)]
    if len(known) < 2:
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(known, [0.025, 0.975]) + (value - centre)
    return Interval(value, float(low), float(high))


def mean_over_classes(replicates: np.ndarray) -> np.ndarray:
    """(R, C) -> (R,) means over the classes that are known in a replicate."""
    known = ~np.isnan(replicates)
    count = known.sum(axis=1)
    total = np.where(known, replicates, 0.0).sum(axis=1)
    return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)


def truths_by_unit(columns: EvaluationColumns, units: Units) -> np.ndarray:
    """(U, C) truth labels of each class in each unit."""
    box, label = np.nonzero(columns.truth_labels)
    key = units.of_image[columns.truth_image[box]] * columns.num_classes + label
    count = np.bincount(key, minlength=units.count * columns.num_classes)
    return count.reshape(units.count, columns.num_classes)


@dataclass(frozen=True, eq=False)
class FrameMAPIntervals:
    """frame-mAP with its interval, AP of each class with its interval, and what was drawn."""

    mean: Interval
    per_class: list[Interval]
    units: str
    replicates: int


def frame_map_intervals(
    columns: EvaluationColumns,
    ranking: Ranking,
    ap: np.ndarray,
    fps: Mapping[str, float],
    replicates: int = REPLICATES,
    seed: int = 0,
) -> FrameMAPIntervals:
    """Intervals of frame-mAP at the IoU of `ranking`; ap (C,) are the exact figures there."""
    units = resampling_units(columns, fps)
    if units.count < 2:
        nan = float("nan")
        return FrameMAPIntervals(
            Interval(nan_mean(ap), nan, nan),
            [Interval(float(a), nan, nan) for a in ap],
            units.description,
            0,
        )
    drawn, centre = average_precision_replicates(
        ranking,
        truths_by_unit(columns, units),
        units.of_image,
        draw_weights(units.count, replicates, seed),
    )
    return FrameMAPIntervals(
        interval(nan_mean(ap), mean_over_classes(drawn), nan_mean(centre)),
        [interval(float(a), drawn[:, c], float(centre[c])) for c, a in enumerate(ap)],
        units.description,
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
