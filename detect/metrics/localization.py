"""YOWO's localization recall and classification accuracy: are boxes found, and named rightly?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stadet.detect.metrics.columns import EvaluationColumns
from stadet.detect.metrics.confusion import best_class_only
from stadet.detect.metrics.matching import pair_up

OBJECTNESS = 0.25  # a box counts above this
IOU = 0.5  # and finds a truth above this


@dataclass(frozen=True)
class Localization:
    """recall: share of truth boxes met by a box of objectness > 0.25 at IoU > 0.5, whatever its
    class; accuracy: of those, the share whose best-overlapping box has the right class. `None`
    where there is no objectness, no truth, or nothing found."""

    recall: float | None
    accuracy: float | None


def localization(columns: EvaluationColumns) -> Localization:
    """Over the frames of `columns` (frames without truth change nothing).

    A box's class is its highest-scoring one; with several labels any of them is right.
    """
    confident = columns.objectness > OBJECTNESS  # NaN is not above anything
    if not len(columns.truth_boxes) or (
        len(columns.objectness) and np.isnan(columns.objectness).all()
    ):
        return Localization(None, None)
    boxes = np.flatnonzero(confident)
    pairs = pair_up(
        columns.detection_image[boxes],
        columns.detection_boxes[boxes],
        columns.truth_image,
        columns.truth_boxes,
    )
    best, iou = pairs.best_of_truths
    found = np.flatnonzero(iou > IOU)
    top_class = np.full(len(columns.detection_boxes), -1)
    top = best_class_only(columns)
    top_class[columns.entry_detection[top]] = columns.entry_class[top]
    named = top_class[boxes[best[found]]]
    right = (named >= 0) & columns.truth_labels[found, named]
    return Localization(
        len(found) / len(columns.truth_boxes), float(right.mean()) if len(found) else None
    )
