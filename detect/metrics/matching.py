"""Matching of detections and truths, without a loop over frames or detections.

Detections and truths meet only inside a group: a (frame, class) pair, or a frame alone where the
class does not matter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stadet.detect.boxes import rowwise_iou

NONE = -1  # no truth


@dataclass(frozen=True, eq=False)
class Pairs:
    """Every (detection, truth) pair that shares a group: detection (P,) sorted, truth (P,)
    ascending within a detection, iou (P,); counts of both sides."""

    detection: np.ndarray
    truth: np.ndarray
    iou: np.ndarray
    num_detections: int
    num_truths: int

    def select(self, keep: np.ndarray) -> Pairs:
        """The pairs where `keep` (P,) is True."""
        return Pairs(
            self.detection[keep],
            self.truth[keep],
            self.iou[keep],
            self.num_detections,
            self.num_truths,
        )

    @cached_property
    def best(self) -> tuple[np.ndarray, np.ndarray]:
        """Truth (D,) of highest IoU for each detection, the first of equals, `NONE` without a pair;
        and that IoU (D,), 0 without a pair."""
        truth = np.full(self.num_detections, NONE)
        iou = np.zeros(self.num_detections)
        if len(self.iou):
            new = np.flatnonzero(np.r_[True, np.diff(self.detection) > 0])
            highest = np.maximum.reduceat(self.iou, new)
            owner = np.cumsum(np.r_[False, np.diff(self.detection) > 0])
            at_best = np.flatnonzero(self.iou == highest[owner])[::-1]
            truth[self.detection[at_best]] = self.truth[at_best]  # the last written is the first
            iou[self.detection[new]] = highest
        return truth, iou

    @cached_property
    def best_of_truths(self) -> tuple[np.ndarray, np.ndarray]:
        """The same from the other side: detection (T,) of highest IoU for each truth, and IoU."""
        order = np.argsort(self.truth, kind="stable")
        turned = Pairs(
            self.truth[order],
            self.detection[order],
            self.iou[order],
            self.num_truths,
            self.num_detections,
        )
        return turned.best


@dataclass(frozen=True, eq=False)
class Match:
    """truth (D,): the truth that each detection is credited with, else `NONE`; ignored (D,) bool:
    neither right nor wrong, because it met a truth that does not count."""

    truth: np.ndarray
    ignored: np.ndarray

    @property
    def true_positive(self) -> np.ndarray:
        """(D,) bool."""
        return (self.truth != NONE) & ~self.ignored


def pair_up(
    detection_group: np.ndarray,
    detection_boxes: np.ndarray,
    truth_group: np.ndarray,
    truth_boxes: np.ndarray,
    *,
    overlap: Callable[[np.ndarray, np.ndarray], np.ndarray] = rowwise_iou,
) -> Pairs:
    """All pairs of one group with their IoU: groups (D,), (T,) integers; boxes (D, 4), (T, 4).

    overlap: of boxes (P, 4) with boxes (P, 4), in place of the IoU.
    """
    order = np.argsort(truth_group, kind="stable")
    groups = truth_group[order]
    first = np.searchsorted(groups, detection_group, side="left")
    count = np.searchsorted(groups, detection_group, side="right") - first
    detection = np.repeat(np.arange(len(detection_group)), count)
    offset = np.arange(len(detection)) - np.repeat(np.cumsum(count) - count, count)
    truth = order[np.repeat(first, count) + offset]
    iou = overlap(detection_boxes[detection], truth_boxes[truth])
    return Pairs(detection, truth, iou, len(detection_group), len(truth_group))


def score_rank(scores: np.ndarray) -> np.ndarray:
    """(D,) place of each detection by falling score; equal scores keep their order."""
    rank = np.empty(len(scores), dtype=np.int64)
    rank[np.argsort(-scores, kind="stable")] = np.arange(len(scores))
    return rank


def rank_in_group(group: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """(D,) place of each detection among those of its group, 0 for the highest score."""
    order = np.lexsort((rank, group))
    sorted_group = group[order]
    place = np.empty(len(group), dtype=np.int64)
    place[order] = np.arange(len(group)) - np.searchsorted(sorted_group, sorted_group)
    return place


def match_best_overlap(
    pairs: Pairs, rank: np.ndarray, threshold: float, ignored_truths: np.ndarray | None = None
) -> Match:
    """VOC: each detection takes its best-overlapping truth if the IoU reaches `threshold`; of the
    detections of one truth the highest in rank is right and the others are wrong (duplicates).
    Detections of a truth in `ignored_truths` (T,) are ignored, as VOC's "difficult" objects."""
    best, iou = pairs.best
    candidates = np.flatnonzero((best != NONE) & (iou >= threshold))
    candidates = candidates[np.argsort(-rank[candidates])]  # lowest first: the last written wins
    winner = np.full(pairs.num_truths, NONE)
    winner[best[candidates]] = candidates
    held = np.flatnonzero(winner != NONE)
    truth = np.full(pairs.num_detections, NONE)
    truth[winner[held]] = held
    ignored = np.zeros(pairs.num_detections, dtype=bool)
    if ignored_truths is not None:
        ignored[candidates] = ignored_truths[best[candidates]]
    return Match(truth, ignored)


def match_best_free(
    pairs: Pairs,
    rank: np.ndarray,
    threshold: float,
    ignored_truths: np.ndarray | None = None,
    shared_truths: np.ndarray | None = None,
) -> Match:
    """COCO: detections choose in rank order among the truths that are still free, the highest IoU
    first (the last of equals), truths in `ignored_truths` (T,) only where no other is left; a
    detection credited with an ignored truth is ignored. Truths in `shared_truths` (T,) are free for
    any number of detections (crowds).

    Solved by deferred acceptance (Gale & Shapley 1962): every detection asks its favourite truth,
    a truth keeps the highest-ranked that asks, the refused ask their next one. All truths rank the
    detections alike, so the stable matching is unique and equals choosing one after another.
    """
    ignored_truths = (
        np.zeros(pairs.num_truths, dtype=bool) if ignored_truths is None else ignored_truths
    )
    pairs = pairs.select(pairs.iou >= min(threshold, 1 - 1e-10))  # pycocotools' tolerance at 1
    order = np.lexsort((-pairs.truth, -pairs.iou, ignored_truths[pairs.truth], pairs.detection))
    wish = pairs.truth[order]  # truths in the order of preference, detection by detection
    asking, start, count = np.unique(pairs.detection, return_index=True, return_counts=True)
    pointer, end = start.copy(), start + count
    free = np.iinfo(np.int64).max
    holder = np.full(pairs.num_truths, free)  # rank of the detection that holds each truth
    shared = np.zeros(pairs.num_truths, dtype=bool) if shared_truths is None else shared_truths
    moved = np.arange(len(asking))
    while len(moved):
        np.minimum.at(holder, wish[pointer[moved]], rank[asking[moved]])
        asked = wish[np.minimum(pointer, end - 1)]
        refused = np.flatnonzero((pointer < end) & (holder[asked] != rank[asking]) & ~shared[asked])
        pointer[refused] += 1
        moved = refused[pointer[refused] < end[refused]]
    truth = np.full(pairs.num_detections, NONE)
    happy = np.flatnonzero(pointer < end)
    truth[asking[happy]] = wish[pointer[happy]]
    ignored = (truth != NONE) & ignored_truths[truth] if len(ignored_truths) else truth != NONE
    return Match(truth, ignored)
