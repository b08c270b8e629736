"""Detections of each class by falling score, marked right or wrong: what AP, curves, thresholds,
calibration and intervals are read from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stadet.detect.metrics.average_precision import average_precision, precision_recall
from stadet.detect.metrics.columns import EvaluationColumns
from stadet.detect.metrics.matching import (
    NONE,
    Match,
    Pairs,
    match_best_free,
    match_best_overlap,
    pair_up,
    rank_in_group,
    score_rank,
)
from stadet.detect.metrics.protocols import Protocol


@dataclass(frozen=True, eq=False)
class Ranking:
    """The K entries that count, sorted by class and falling score.

    bounds (C + 1,): class c is rows bounds[c]:bounds[c + 1]; num_truths (C,); entry (K,) index into
    the columns' entries; score (K,); true_positive (K,) bool; truth (K,) the truth box each is
    credited with, or -1; image (K,); video (K,).
    """

    bounds: np.ndarray
    num_truths: np.ndarray
    entry: np.ndarray
    score: np.ndarray
    true_positive: np.ndarray
    truth: np.ndarray
    image: np.ndarray
    video: np.ndarray

    @property
    def num_classes(self) -> int:
        return len(self.num_truths)

    @property
    def label(self) -> np.ndarray:
        """(K,) class of each row."""
        return np.repeat(np.arange(self.num_classes), np.diff(self.bounds))

    def of(self, label: int) -> slice:
        """Rows of one class."""
        return slice(self.bounds[label], self.bounds[label + 1])

    def curve(self, label: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Precision, recall and score (K_c,) after each detection of a class."""
        rows = self.of(label)
        precision, recall = precision_recall(self.true_positive[rows], self.num_truths[label])
        return precision, recall, self.score[rows]

    def average_precisions(self, interpolation: str) -> np.ndarray:
        """(C,) AP, NaN for a class without truth."""
        result = np.full(self.num_classes, np.nan)
        for label in np.flatnonzero(self.num_truths):
            precision, recall, _ = self.curve(label)
            result[label] = average_precision(precision, recall, interpolation)
        return result


class Matcher:
    """Columns under a protocol: IoU is computed once, then asked at any threshold.

    columns: what counts under the protocol (frames and scores); truth_box, truth_class (L,): the
    box and the class of each truth label, sorted by frame and box; by_score (E,) entries by falling
    score.
    """

    def __init__(self, columns: EvaluationColumns, protocol: Protocol) -> None:
        if protocol.frames == "annotated":
            columns = columns.annotated_only()
        if protocol.min_score is not None:
            columns = columns.select_entries(columns.entry_score > protocol.min_score)
        self.protocol = protocol
        group = columns.entry_image * columns.num_classes + columns.entry_class
        if protocol.max_detections is not None:
            place = rank_in_group(group, score_rank(columns.entry_score))
            keep = place < protocol.max_detections
            if not keep.all():
                columns, group = columns.select_entries(keep), group[keep]
        self.columns = columns
        self._rank = score_rank(columns.entry_score)
        self.by_score = np.empty(len(group), dtype=np.int64)
        self.by_score[self._rank] = np.arange(len(group))
        self.truth_box, self.truth_class = np.nonzero(columns.truth_labels)
        self.pairs: Pairs = pair_up(
            group,
            columns.detection_boxes[columns.entry_detection],
            columns.truth_image[self.truth_box] * columns.num_classes + self.truth_class,
            columns.truth_boxes[self.truth_box],
            plus_one=protocol.plus_one,
        )

    def match(self, iou: float, ignored_truths: np.ndarray | None = None) -> Match:
        """Entries credited with truth labels (L,) at an IoU; `ignored_truths` (L,) bool."""
        rule = match_best_free if self.protocol.matching == "best_free" else match_best_overlap
        return rule(self.pairs, self._rank, iou, ignored_truths)

    def ranking(
        self,
        iou: float,
        *,
        ignored_truths: np.ndarray | None = None,
        ignored_unmatched: np.ndarray | None = None,
    ) -> Ranking:
        """Match at an IoU and rank by class.

        ignored_truths (T,) bool: truth boxes that need not be found; ignored_unmatched (E,) bool:
        entries that are left out rather than wrong if they find no truth.
        """
        columns = self.columns
        labels_ignored = None if ignored_truths is None else ignored_truths[self.truth_box]
        match = self.match(iou, labels_ignored)
        counted = ~match.ignored
        if ignored_unmatched is not None:
            counted &= (match.truth != NONE) | ~ignored_unmatched
        entry = self.by_score[counted[self.by_score]]
        # small integers are sorted by radix, in linear time
        small = np.uint8 if columns.num_classes <= 256 else np.uint16
        label = columns.entry_class[entry].astype(small)
        by_class = np.argsort(label, kind="stable")
        entry, label = entry[by_class], label[by_class]
        truth = match.truth[entry]
        found = truth != NONE
        truth[found] = self.truth_box[truth[found]]
        wanted = self.truth_class if labels_ignored is None else self.truth_class[~labels_ignored]
        image = columns.entry_image[entry]
        return Ranking(
            bounds=np.searchsorted(label, np.arange(columns.num_classes + 1)),
            num_truths=np.bincount(wanted, minlength=columns.num_classes),
            entry=entry,
            score=columns.entry_score[entry],
            true_positive=found,
            truth=truth,
            image=image,
            video=columns.image_video[image],
        )
