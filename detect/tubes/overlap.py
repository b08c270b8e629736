"""Overlap of tubes in space and time, and suppression of tubes that say the same.

Overlap = temporal IoU x mean spatial IoU over the shared frames (Saha et al. 2016; the public
evaluations of UCF101-24 and JHMDB-21).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stadet.detect.boxes import rowwise_iou
from stadet.detect.structures import Tube

CHUNK = 1 << 16  # box pairs compared at once: bounds memory, and stays in the cache


class TubeColumns:
    """T tubes end to end: starts, stops, labels (T,); boxes (sum of lengths, 4); offsets (T,)."""

    def __init__(self, tubes: Sequence[Tube]) -> None:
        lengths = np.array([len(tube) for tube in tubes], dtype=np.int64)
        self.starts = np.array([tube.start for tube in tubes], dtype=np.int64)
        self.stops = self.starts + lengths
        self.labels = np.array([tube.label for tube in tubes], dtype=np.int64)
        self.scores = np.array([tube.score for tube in tubes], dtype=np.float64)
        self.offsets = np.cumsum(lengths) - lengths
        self.boxes = np.concatenate([np.zeros((0, 4)), *(tube.boxes for tube in tubes)])

    def __len__(self) -> int:
        return len(self.starts)


def tube_overlaps(
    a: Sequence[Tube], b: Sequence[Tube], counted: np.ndarray | None = None
) -> np.ndarray:
    """(A, B) overlap of every tube of `a` with every tube of `b`, whatever their labels.

    counted: (F,) bool, the frames that count; the others exist in no tube. All where it is `None`.
    """
    result = np.zeros((len(a), len(b)))
    i, j = (index.reshape(-1) for index in np.indices(result.shape))
    result[i, j] = pair_overlaps(TubeColumns(a), TubeColumns(b), i, j, counted)
    return result


def pair_overlaps(
    a: TubeColumns,
    b: TubeColumns,
    i: np.ndarray,
    j: np.ndarray,
    counted: np.ndarray | None = None,
    *,
    spans: bool = False,
) -> np.ndarray:
    """(P,) overlap of tube i[p] of `a` with tube j[p] of `b`; `counted` as in `tube_overlaps`.

    spans: the temporal IoU is of the spans from first to last frame, an end less than the number of
    frames, as MultiSports' evaluation script takes it; tubes of one frame then have none.
    """
    result = np.zeros(len(i))
    meet = np.flatnonzero(np.minimum(a.stops[i], b.stops[j]) > np.maximum(a.starts[i], b.starts[j]))
    if not len(meet):
        return result
    shared = np.minimum(a.stops[i[meet]], b.stops[j[meet]]) - np.maximum(
        a.starts[i[meet]], b.starts[j[meet]]
    )
    before = _counted_before(counted, int(max(a.stops.max(), b.stops.max())))
    cuts = np.searchsorted(np.cumsum(shared), np.arange(CHUNK, shared.sum(), CHUNK))
    for part in np.split(meet, np.unique(cuts)):
        if len(part):
            spatial, both, either = _shares(a, b, i[part], j[part], before)
            if spans:
                spatial = spatial / np.maximum(both, 1) * (both - 1)
                either = either - 1
            # temporal IoU x mean over shared frames: the count of shared frames cancels
            result[part] = np.divide(spatial, either, out=np.zeros(len(part)), where=either > 0)
    return result


def _counted_before(counted: np.ndarray | None, stop: int) -> np.ndarray:
    """(stop + 1,) number of counted frames before each frame; frames past `counted` do not."""
    if counted is None:
        return np.arange(stop + 1)
    flags = np.zeros(stop, dtype=np.int64)
    flags[: len(counted)] = counted[:stop]
    return np.concatenate([[0], np.cumsum(flags)])


def _shares(
    a: TubeColumns, b: TubeColumns, i: np.ndarray, j: np.ndarray, before: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of pairs that share at least one frame, counted or not: the sum of the spatial IoUs over
    counted shared frames (P,), the number of these frames, and of those in either tube."""
    first = np.maximum(a.starts[i], b.starts[j])
    stop = np.minimum(a.stops[i], b.stops[j])
    shared = stop - first
    begins = np.cumsum(shared) - shared
    frame = np.arange(int(shared.sum())) + np.repeat(first - begins, shared)
    row_a = frame + np.repeat(a.offsets[i] - a.starts[i], shared)
    row_b = frame + np.repeat(b.offsets[j] - b.starts[j], shared)
    spatial = rowwise_iou(a.boxes[row_a], b.boxes[row_b]) * (before[frame + 1] - before[frame])
    both = before[stop] - before[first]
    either = before[a.stops[i]] - before[a.starts[i]] + before[b.stops[j]] - before[b.starts[j]]
    return np.add.reduceat(spatial, begins), both, either - both


def _may_overlap(
    columns: TubeColumns, order: np.ndarray, counts: np.ndarray, max_overlap: float
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of tubes whose overlap may exceed `max_overlap`: their temporal IoU does, and what they
    cover meets. The tube at place k of `order` is paired with the next `counts[k]`."""
    low = np.minimum.reduceat(columns.boxes[:, :2], columns.offsets)
    high = np.maximum.reduceat(columns.boxes[:, 2:], columns.offsets)
    pairs = [(np.zeros(0, dtype=np.int64),) * 2]
    ends = np.cumsum(counts)
    start = 0
    while start < len(counts):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + CHUNK, side="right")))
        own = counts[start:stop]
        i = np.repeat(np.arange(start, stop), own)
        j = i + 1 + np.arange(len(i)) - np.repeat(np.cumsum(own) - own, own)
        i, j = order[i], order[j]
        shared = np.minimum(columns.stops[i], columns.stops[j]) - np.maximum(
            columns.starts[i], columns.starts[j]
        )
        either = (columns.stops - columns.starts)[i] + (columns.stops - columns.starts)[j] - shared
        near = shared > max_overlap * either * (1 - 1e-9)
        i, j = i[near], j[near]
        meet = ((low[i] < high[j]) & (low[j] < high[i])).all(axis=1)
        pairs.append((i[meet], j[meet]))
        start = stop
    return np.concatenate([a for a, _ in pairs]), np.concatenate([b for _, b in pairs])


def suppress_tubes(tubes: Sequence[Tube], max_overlap: float) -> list[Tube]:
    """Greedy suppression: a tube that overlaps a better one of its class by more than `max_overlap`
    goes. The order of `tubes` is kept; of equal scores the earlier in `tubes` is better."""
    columns = TubeColumns(tubes)
    if len(columns) < 2:
        return list(tubes)
    # Neighbours in time: sorted by start on one time axis a class, those that begin before it ends.
    shift = columns.labels * (columns.stops.max() + 1)
    order = np.argsort(columns.starts + shift, kind="stable")
    begins, ends = (columns.starts + shift)[order], (columns.stops + shift)[order]
    counts = np.searchsorted(begins, ends) - np.arange(len(order)) - 1
    i, j = _may_overlap(columns, order, counts, max_overlap)
    alike = pair_overlaps(columns, columns, i, j) > max_overlap
    rank = np.empty(len(order), dtype=np.int64)
    rank[np.argsort(-columns.scores, kind="stable")] = np.arange(len(order))
    swap = rank[i] > rank[j]
    better, worse = np.where(swap, j, i)[alike], np.where(swap, i, j)[alike]
    gone = np.zeros(len(columns), dtype=bool)
    for pair in np.argsort(rank[better], kind="stable"):
        if not gone[better[pair]]:
            gone[worse[pair]] = True
    return [tube for tube, drop in zip(tubes, gone, strict=True) if not drop]
