"""HOTA and IDF1: are objects found, and do they keep their id?

HOTA is Luiten et al. 2021, "HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking"
(IJCV 129), with the assignment of its public evaluation: in each frame the pairs of truth and
tracked box that maximise the sum of global alignment times IoU. IDF1 is Ristani et al. 2016,
"Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking" (ECCVW), equation 12.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from stadet.detect.metrics.matching import Pairs, pair_up

ALPHAS = np.arange(1, 20) * 0.05  # localization thresholds of HOTA: 0.05, 0.10, .., 0.95
ID_OVERLAP = 0.5  # IoU from which IDF1 counts two boxes as the same object
_EPS = np.finfo(np.float64).eps


@dataclass(frozen=True, eq=False)
class Trajectories:
    """Boxes with ids in one video.

    Attributes:
        frames: (N,) int64.
        ids: (N,) int64; an id has one box a frame at most.
        boxes: (N, 4) xyxy.
    """

    frames: np.ndarray
    ids: np.ndarray
    boxes: np.ndarray

    def __post_init__(self) -> None:
        pairs = np.stack([self.frames, self.ids], axis=1) if len(self) else np.zeros((0, 2))
        if len(np.unique(pairs, axis=0)) < len(self):
            raise ValueError("expected one box of an id on a frame, found several")

    def __len__(self) -> int:
        return len(self.frames)


@dataclass(frozen=True)
class TrackingResult:
    """HOTA and its parts, means over the 19 localization thresholds, and the identity measures.

    Attributes:
        hota: geometric mean of detection and association accuracy.
        det_a: detection accuracy, TP / (TP + FN + FP).
        ass_a: association accuracy, the mean over TP of how much of both trajectories is shared.
        loc_a: mean IoU of the matched boxes, 1 at thresholds without a match as in the public
            evaluation; NaN where no threshold has one.
        idf1: F1 of boxes under the best one-to-one assignment of ids, at IoU 0.5.
        id_precision: of the same assignment.
        id_recall: of the same assignment.
        truth_boxes: number of boxes of the truth.
        boxes: number of tracked boxes.
        truth_ids: number of truth trajectories.
        ids: number of tracked trajectories.
    """

    hota: float
    det_a: float
    ass_a: float
    loc_a: float
    idf1: float
    id_precision: float
    id_recall: float
    truth_boxes: int
    boxes: int
    truth_ids: int
    ids: int


class TrackingMetric:
    """HOTA and IDF1 of one class, fed video by video, then asked.

    Videos add up as sequences do in the public evaluation: counts are summed before they are
    divided. Figures without any box on either side are NaN.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._true_positives = np.zeros(len(ALPHAS))
        self._associated = np.zeros(len(ALPHAS))  # sum over TP of their association accuracy
        self._overlap = np.zeros(len(ALPHAS))  # sum over TP of their IoU
        self._id_true_positives = 0
        self._boxes = np.zeros(2, dtype=np.int64)  # of the truth, of the tracker
        self._ids = np.zeros(2, dtype=np.int64)

    def update(self, truth: Trajectories, tracked: Trajectories) -> None:
        """A video's truth and its tracked boxes."""
        truth_ids, truth_row = np.unique(truth.ids, return_inverse=True)
        tracked_ids, tracked_row = np.unique(tracked.ids, return_inverse=True)
        self._boxes += len(truth), len(tracked)
        self._ids += len(truth_ids), len(tracked_ids)
        if not (len(truth) and len(tracked)):
            return
        pairs = pair_up(tracked.frames, tracked.boxes, truth.frames, truth.boxes)
        shape = (len(truth_ids), len(tracked_ids))
        row, column = truth_row[pairs.truth], tracked_row[pairs.detection]
        lengths = np.bincount(truth_row)[:, None] + np.bincount(tracked_row)[None]  # (G, T)
        self._add_hota(pairs, row, column, lengths, truth.frames)
        same = np.zeros(shape)
        at_least = pairs.iou >= ID_OVERLAP
        np.add.at(same, (row[at_least], column[at_least]), 1)
        self._id_true_positives += int(same[linear_sum_assignment(-same)].sum())

    def _add_hota(
        self,
        pairs: Pairs,
        row: np.ndarray,
        column: np.ndarray,
        lengths: np.ndarray,
        truth_frames: np.ndarray,
    ) -> None:
        """row, column (P,): the trajectories of each pair; lengths (G, T): the sum of theirs."""
        of_truth = np.bincount(pairs.truth, pairs.iou, pairs.num_truths)
        of_tracked = np.bincount(pairs.detection, pairs.iou, pairs.num_detections)
        union = of_truth[pairs.truth] + of_tracked[pairs.detection] - pairs.iou
        share = np.divide(pairs.iou, union, out=np.zeros(len(union)), where=union > _EPS)
        shared = np.zeros(lengths.shape)
        np.add.at(shared, (row, column), share)
        alignment = shared / (lengths - shared)
        matched = _matches(pairs, alignment[row, column] * pairs.iou, truth_frames)
        for k, alpha in enumerate(ALPHAS):
            found = matched[pairs.iou[matched] >= alpha - _EPS]
            counts = np.zeros(lengths.shape)
            np.add.at(counts, (row[found], column[found]), 1)
            self._true_positives[k] += len(found)
            self._associated[k] += (counts * counts / np.maximum(1, lengths - counts)).sum()
            self._overlap[k] += pairs.iou[found].sum()

    def compute(self) -> TrackingResult:
        """All figures of the videos fed."""
        found, (truths, boxes) = self._true_positives, self._boxes.tolist()
        nothing = truths + boxes == 0
        det_a = found / np.maximum(1, truths + boxes - found)
        ass_a = self._associated / np.maximum(1, found)
        loc_a = np.divide(self._overlap, found, out=np.ones(len(found)), where=found > 0)
        nan = float("nan")
        same = self._id_true_positives
        truth_ids, ids = self._ids.tolist()
        return TrackingResult(
            nan if nothing else float(np.sqrt(det_a * ass_a).mean()),
            nan if nothing else float(det_a.mean()),
            nan if nothing else float(ass_a.mean()),
            nan if not (found > 0).any() else float(loc_a.mean()),
            nan if nothing else 2 * same / (truths + boxes),
            same / boxes if boxes else nan,
            same / truths if truths else nan,
            truths,
            boxes,
            truth_ids,
            ids,
        )


def _matches(pairs: Pairs, worth: np.ndarray, truth_frames: np.ndarray) -> np.ndarray:
    """Pairs (M,) of the one-to-one assignments of highest total worth, frame by frame."""
    frames = truth_frames[pairs.truth]
    order = np.argsort(frames, kind="stable")
    matched = []
    for part in np.split(order, np.flatnonzero(np.diff(frames[order])) + 1):
        truths, row = np.unique(pairs.truth[part], return_inverse=True)
        tracked, column = np.unique(pairs.detection[part], return_inverse=True)
        table = np.zeros((len(truths), len(tracked)))
        number = np.zeros(table.shape, dtype=np.int64)
        table[row, column], number[row, column] = worth[part], part
        matched.append(number[linear_sum_assignment(-table)])
    return np.concatenate(matched) if matched else np.zeros(0, dtype=np.int64)
