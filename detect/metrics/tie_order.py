"""The order of entries under a protocol: what equal scores decide.

With equal scores AP depends on which detection ranks first. The public scripts sort with numpy's
default, which promises nothing about equal elements; their figures follow what it does. Where a
protocol copies a script, its sort is called on the same array, so that the figures agree on the
same machine.
"""

from __future__ import annotations

import heapq

import numpy as np

from stadet.detect.metrics.columns import EvaluationColumns
from stadet.detect.metrics.matching import score_rank


def file_order(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Place of each entry (E,) by falling score, the first of equals first, and the entries (E,) in
    that order."""
    rank = score_rank(scores)
    order = np.empty(len(scores), dtype=np.int64)
    order[rank] = np.arange(len(scores))
    return rank, order


def multisports_order(columns: EvaluationColumns) -> tuple[np.ndarray, np.ndarray]:
    """As `file_order`, but each class is sorted by itself with numpy's default sort."""
    place = np.empty(len(columns.entry_score), dtype=np.int64)
    for rows in _rows_of_each_class(columns):
        place[rows[np.argsort(-columns.entry_score[rows])]] = np.arange(len(rows))
    return _by_score_and(place, columns.entry_score)


def ava_order(columns: EvaluationColumns, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ranks in which detections choose their truths, and the entries in the order of the curve.

    place (E,): position in the frame's list, as by `ava_lists`. Within a frame the list decides;
    over all frames each class is sorted by numpy's default sort of rising scores, read backwards.
    """
    last = np.empty(len(place), dtype=np.int64)
    listed = np.lexsort((place, columns.entry_image))
    for rows in _rows_of_each_class(columns, listed):
        last[rows[np.argsort(columns.entry_score[rows])[::-1]]] = np.arange(len(rows))
    return place, _by_score_and(last, columns.entry_score)[1]


def ava_lists(columns: EvaluationColumns, capacity: int) -> np.ndarray:
    """(E,) position of each entry in its frame's list, -1 where it is not among the `capacity`
    highest.

    AVA's script pushes the rows of a frame onto a heap of (score, action, y1, x1, y2, x2), gives up
    the lowest for a row of higher score once it is full, and sorts what is left by score. Only
    equal scores make that differ from sorting the frame's rows, so only such frames take the heap.
    """
    image, scores = columns.entry_image, columns.entry_score
    order = np.lexsort((-scores, image))
    bounds = np.flatnonzero(np.r_[True, np.diff(image[order]) > 0, True][: len(order) + 1])
    starts = bounds[:-1] if len(order) else bounds[:0]
    place = np.empty(len(order), dtype=np.int64)
    sizes = np.diff(bounds) if len(order) else np.zeros(0, dtype=np.int64)
    place[order] = np.arange(len(order)) - np.repeat(starts, sizes)
    tied = np.zeros(len(order), dtype=bool)
    tied[1:] = (np.diff(scores[order]) == 0) & (np.diff(image[order]) == 0)
    for group in np.unique(np.searchsorted(starts, np.flatnonzero(tied), side="right") - 1):
        rows = np.sort(order[starts[group] : starts[group] + sizes[group]])
        boxes = columns.detection_boxes[columns.entry_detection[rows]]
        kept = rows[heap_list(scores[rows], columns.entry_class[rows], boxes, capacity)]
        place[rows] = -1
        place[kept] = np.arange(len(kept))
    place[place >= capacity] = -1
    return place


def heap_list(
    scores: np.ndarray, labels: np.ndarray, boxes: np.ndarray, capacity: int | None = None
) -> list[int]:
    """Rows of one frame in the order in which AVA's script lists them, at most `capacity`.

    scores (N,); labels (N,) in the order of the action ids; boxes (N, 4) xyxy.
    """
    heap: list[tuple] = []
    for row, (score, label, box) in enumerate(
        zip(scores.tolist(), labels.tolist(), boxes[:, [1, 0, 3, 2]].tolist(), strict=True)
    ):
        item = (score, label, *box, row)
        if capacity is None or len(heap) < capacity:
            heapq.heappush(heap, item)
        elif score > heap[0][0]:
            heapq.heapreplace(heap, item)
    return [item[-1] for item in sorted(heap, key=lambda item: -item[0])]


def _rows_of_each_class(
    columns: EvaluationColumns, order: np.ndarray | None = None
) -> list[np.ndarray]:
    """Entries of each class, in the order given."""
    order = np.arange(len(columns.entry_class)) if order is None else order
    order = order[np.argsort(columns.entry_class[order], kind="stable")]
    ends = np.cumsum(np.bincount(columns.entry_class, minlength=columns.num_classes))
    return np.split(order, ends[:-1])


def _by_score_and(place: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.lexsort((place, -scores))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank, order
