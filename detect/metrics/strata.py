"""AP against a property of the truth: size, duration, motion."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from stadet.detect.metrics.average_precision import average_precision, precision_recall
from stadet.detect.metrics.frame_map import nan_mean
from stadet.detect.metrics.ranking import Matcher

MIN_TRUTHS = 10  # a class with fewer truths in a bin gives no AP there


@dataclass(frozen=True, eq=False)
class Stratum:
    """Truths whose value lies in low <= value < high (the last bin holds its upper end)."""

    low: float
    high: float
    truths: int
    ap: float
    recall: float


def ap_by_value(
    matcher: Matcher, values: np.ndarray, iou: float = 0.5, bins: int = 4
) -> list[Stratum]:
    """Mean AP over classes in bins of equal numbers of truth boxes.

    values (T,): the property of each truth box, NaN = unknown (in no bin). Truths of other bins,
    and detections on them, are left out. A duplicate belongs to the bin of its truth; any other
    false detection belongs to no bin and weighs as the bin's share of the class's truth: a detector
    equally good on all bins has the same AP in each. recall: found at any score.
    """
    values = np.asarray(values, dtype=np.float64)
    known = values[~np.isnan(values)]
    if not len(known):
        return []
    edges = np.unique(np.quantile(known, np.linspace(0, 1, bins + 1)))
    if len(edges) == 1:
        edges = np.repeat(edges, 2)
    result = []
    for place, (low, high) in enumerate(pairwise(edges)):
        is_last = place == len(edges) - 2
        inside = (values >= low) & ((values <= high) if is_last else (values < high))
        result.append(_stratum(matcher, inside, float(low), float(high), iou))
    return result


def _stratum(matcher: Matcher, inside: np.ndarray, low: float, high: float, iou: float) -> Stratum:
    all_truths = matcher.columns.truths_per_class
    ranking = matcher.ranking(iou, ignored_truths=~inside)
    best, overlap = matcher.pairs.best
    on_truth = overlap >= iou  # (E,)
    on_inside = on_truth & inside[matcher.truth_box[best]] if len(matcher.truth_box) else on_truth
    aps = []
    for label in np.flatnonzero(ranking.num_truths >= MIN_TRUTHS):
        truths = ranking.num_truths[label]
        rows = ranking.of(label)
        weight = np.where(
            on_truth[ranking.entry[rows]],
            on_inside[ranking.entry[rows]],
            truths / all_truths[label],
        )
        curve = precision_recall(ranking.true_positive[rows], truths, weight)
        aps.append(average_precision(*curve, matcher.protocol.interpolation))
    total = ranking.num_truths.sum()
    recall = ranking.true_positive.sum() / total if total else float("nan")
    return Stratum(low, high, int(inside.sum()), nan_mean(np.array(aps)), float(recall))
