"""The twelve figures that pycocotools prints for boxes."""

from __future__ import annotations

import numpy as np

from stadet.detect.boxes import area
from stadet.detect.metrics.columns import EvaluationColumns
from stadet.detect.metrics.frame_map import nan_mean
from stadet.detect.metrics.matching import rank_in_group, score_rank
from stadet.detect.metrics.protocols import IOU_THRESHOLDS, PROTOCOLS
from stadet.detect.metrics.ranking import Matcher, Ranking

# box areas in pixels, both ends included
AREA_RANGES = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}


def coco_summary(columns: EvaluationColumns) -> dict[str, float]:
    """`AP`, `AP50`, `AP75`, `APs`, `APm`, `APl`, `AR1`, `AR10`, `AR100`, `ARs`, `ARm`, `ARl`.

    A truth outside an area range need not be found, and a detection outside it that finds nothing
    is left out. NaN where pycocotools prints -1: no class has truth in the range. The area of a
    truth is its box's.
    """
    matcher = Matcher(columns, PROTOCOLS["coco"])
    columns = matcher.columns
    group = columns.entry_image * columns.num_classes + columns.entry_class
    place = rank_in_group(group, score_rank(columns.entry_score))
    truth_area = area(columns.truth_boxes)
    entry_area = area(columns.detection_boxes)[columns.entry_detection]
    precisions, recalls = {}, {}
    for name, (low, high) in AREA_RANGES.items():
        rankings = [
            matcher.ranking(
                iou,
                ignored_truths=(truth_area < low) | (truth_area > high),
                ignored_unmatched=(entry_area < low) | (entry_area > high),
            )
            for iou in IOU_THRESHOLDS
        ]
        precisions[name] = np.array([r.average_precisions("101_points") for r in rankings])
        for most in (1, 10, 100):
            recalls[name, most] = nan_mean(
                np.concatenate([_recalls(r, place[r.entry] < most) for r in rankings])
            )
    whole = precisions["all"]
    return {
        "AP": nan_mean(whole),
        "AP50": nan_mean(whole[IOU_THRESHOLDS.index(0.5)]),
        "AP75": nan_mean(whole[IOU_THRESHOLDS.index(0.75)]),
        "APs": nan_mean(precisions["small"]),
        "APm": nan_mean(precisions["medium"]),
        "APl": nan_mean(precisions["large"]),
        "AR1": recalls["all", 1],
        "AR10": recalls["all", 10],
        "AR100": recalls["all", 100],
        "ARs": recalls["small", 100],
        "ARm": recalls["medium", 100],
        "ARl": recalls["large", 100],
    }


def _recalls(ranking: Ranking, counted: np.ndarray) -> np.ndarray:
    """(C,) recall of all counted detections, NaN for a class without truth."""
    found = np.bincount(
        ranking.label[counted & ranking.true_positive], minlength=ranking.num_classes
    )
    result = np.full(ranking.num_classes, np.nan)
    known = ranking.num_truths > 0
    result[known] = found[known] / ranking.num_truths[known]
    return result
