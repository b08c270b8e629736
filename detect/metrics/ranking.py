"""Detections of each class by falling score, marked right or wrong: what AP, curves, thresholds,
calibration and intervals are read from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from stadet.detect.boxes import has_area, rowwise_iou
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
from stadet.detect.metrics.tie_order import ava_lists, ava_order, file_order, multisports_order


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

    columns: what counts under the protocol (frames, classes and entries); truth_box, truth_class
    (L,): the box and the class of each truth label, sorted by frame and box; by_score (E,) entries
    by falling score.
    """

    def __init__(self, columns: EvaluationColumns, protocol: Protocol) -> None:
        columns = columns.select_classes(protocol.evaluated(columns.names))
        if protocol.frames == "annotated":
            columns = columns.annotated_only()
        columns, listed = _most_a_frame(columns, protocol)
        if protocol.no_area == "dropped":
            keep = has_area(columns.detection_boxes)[columns.entry_detection]
            if not keep.all():
                columns, listed = columns.select_entries(keep), listed[keep]
        self.protocol = protocol
        group = columns.entry_image * columns.num_classes + columns.entry_class
        if protocol.max_detections is not None:
            place = rank_in_group(group, score_rank(columns.entry_score))
            keep = place < protocol.max_detections
            if not keep.all():
                columns, group, listed = columns.select_entries(keep), group[keep], listed[keep]
        self.columns = columns
        if protocol.ties == "ava":
            self._rank, self.by_score = ava_order(columns, listed)
        elif protocol.ties == "multisports":
            self._rank, self.by_score = multisports_order(columns)
        else:
            self._rank, self.by_score = file_order(columns.entry_score)
        self.truth_box, self.truth_class = np.nonzero(columns.truth_labels)
        self.pairs: Pairs = pair_up(
            group,
            columns.detection_boxes[columns.entry_detection],
            columns.truth_image[self.truth_box] * columns.num_classes + self.truth_class,
            columns.truth_boxes[self.truth_box],
            overlap=partial(rowwise_iou, plus_one=protocol.plus_one),
        )
        self._has_regions = bool(columns.region_labels.any())

    def match(self, iou: float, ignored_truths: np.ndarray | None = None) -> Match:
        """Entries credited with truth labels (L,) at an IoU; `ignored_truths` (L,) bool.

        Entries that meet an ignored region are ignored and credited with nothing.
        """
        if self.protocol.matching == "best_free":
            if self._has_regions:
                return self._match_with_crowds(iou, ignored_truths)
            return match_best_free(self.pairs, self._rank, iou, ignored_truths)
        if not self._has_regions:
            return match_best_overlap(self.pairs, self._rank, iou, ignored_truths)
        on_region = self._on_region(iou)
        pairs = self.pairs.select(~on_region[self.pairs.detection])
        match = match_best_overlap(pairs, self._rank, iou, ignored_truths)
        excused = (on_region | self.columns.excused(iou)) & (match.truth == NONE)
        return Match(match.truth, match.ignored | excused)

    def _on_region(self, iou: float) -> np.ndarray:
        """(E,) bool: entries whose best-overlapping truth is an ignored one, VOC's "difficult"."""
        columns, pairs = self.columns, self.columns.region_pairs
        box = np.nonzero(columns.region_labels)[0]
        overlap = rowwise_iou(
            columns.detection_boxes[columns.entry_detection[pairs.detection]],
            columns.region_boxes[box[pairs.truth]],
            plus_one=self.protocol.plus_one,
        )
        best = np.zeros(pairs.num_detections)
        np.maximum.at(best, pairs.detection, overlap)
        return (best >= iou) & (best > self.pairs.best[1])

    def _match_with_crowds(self, iou: float, ignored_truths: np.ndarray | None) -> Match:
        """The regions behind the truths, as pycocotools' crowds: ignored, free for any number."""
        truths, regions = self.pairs, self.columns.region_pairs
        detection = np.concatenate([truths.detection, regions.detection])
        order = np.argsort(detection, kind="stable")
        pairs = Pairs(
            detection[order],
            np.concatenate([truths.truth, regions.truth + truths.num_truths])[order],
            np.concatenate([truths.iou, regions.iou])[order],
            truths.num_detections,
            truths.num_truths + regions.num_truths,
        )
        is_region = np.arange(pairs.num_truths) >= truths.num_truths
        ignored = is_region.copy()
        if ignored_truths is not None:
            ignored[: truths.num_truths] = ignored_truths
        match = match_best_free(pairs, self._rank, iou, ignored, is_region)
        in_region = match.truth >= truths.num_truths
        return Match(np.where(in_region, NONE, match.truth), match.ignored)

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


def _most_a_frame(
    columns: EvaluationColumns, protocol: Protocol
) -> tuple[EvaluationColumns, np.ndarray]:
    """The entries among the highest of their frame, and the place of each in its frame's list."""
    most = protocol.max_per_frame
    if protocol.ties == "ava":
        listed = ava_lists(columns, len(columns.entry_score) if most is None else most)
    elif most is None:
        return columns, np.zeros(len(columns.entry_score), dtype=np.int64)
    else:
        listed = rank_in_group(columns.entry_image, score_rank(columns.entry_score))
        listed[listed >= most] = NONE
    keep = listed != NONE
    return (columns, listed) if keep.all() else (columns.select_entries(keep), listed[keep])
