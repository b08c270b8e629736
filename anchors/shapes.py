"""IoU of sizes alone: two boxes laid over each other at the same centre (or corner).

Sizes are (N, 2) (width, height) in any one unit. 1 - IoU is the Jaccard distance of two sets, so it
obeys the triangle inequality, which the clustering makes use of.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stadet.engine.errors import UserError

CHUNK = 8192  # sizes at a time: the working arrays stay in the processor's cache


class BestAnchor(NamedTuple):
    """For each of N sizes: its best anchor, the IoU with it and the IoU with the runner-up."""

    index: np.ndarray  # (N,) intp
    iou: np.ndarray  # (N,) float32
    second_iou: np.ndarray  # (N,) float32, 0 where there is one anchor only


def check_sizes(sizes: np.ndarray) -> np.ndarray:
    """(N, 2) float32 copy. UserError where there are none or where one is not positive."""
    sizes = np.asarray(sizes, dtype=np.float32)
    if sizes.ndim != 2 or sizes.shape[1] != 2 or not len(sizes):
        raise UserError(f"expected box sizes (N, 2) with N at least 1, found shape {sizes.shape}")
    bad = ~(np.isfinite(sizes) & (sizes > 0)).all(axis=1)
    if bad.any():
        first = int(bad.argmax())
        raise UserError(
            f"expected positive box sizes, found {bad.sum()} others, the first at row {first}: "
            f"{sizes[first].tolist()}; drop boxes without area"
        )
    return sizes


def unique_sizes(
    sizes: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) sizes to the (M, 2) float32 different ones and what each weighs, (M,) float64.

    Boxes drawn in whole pixels repeat their sizes many times over. `weights` (N,): of each box, 1
    by default.
    """
    pairs = np.ascontiguousarray(check_sizes(sizes))
    keys = pairs.view(np.uint64)[:, 0]  # two float32 in one integer: one fast sort, not a row sort
    if weights is None:
        unique, totals = np.unique(keys, return_counts=True)
    else:
        unique, inverse = np.unique(keys, return_inverse=True)
        totals = np.bincount(inverse, weights=weights)
    return unique.view(np.float32).reshape(-1, 2), totals.astype(np.float64)


def size_cells(
    sizes: np.ndarray, cells_an_octave: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sizes (N, 2) gathered into cells of a grid over (log2 width, log2 height).

    Returns the mean size of each cell that holds any, (M, 2); the cell of each size, (N,); and how
    many it holds, (M,) float64.
    """
    grid = np.floor(np.log2(sizes) * cells_an_octave).astype(np.int64)
    grid -= grid.min(axis=0)
    keys = grid[:, 0] * (grid[:, 1].max() + 1) + grid[:, 1]
    _, cell, counts = np.unique(keys, return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(cell, weights=sizes[:, side]) for side in (0, 1)], axis=1)
    return sums / counts[:, None], cell, counts.astype(np.float64)


def shape_iou(sizes: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """IoU of every size (N, 2) with every anchor (A, 2) laid over each other: (N, A) float64."""
    sizes = np.asarray(sizes, dtype=np.float64)[:, None]
    anchors = np.asarray(anchors, dtype=np.float64)[None]
    intersection = np.minimum(sizes, anchors).prod(axis=-1)
    return intersection / (sizes.prod(axis=-1) + anchors.prod(axis=-1) - intersection)


def best_anchor(sizes: np.ndarray, anchors: np.ndarray) -> BestAnchor:
    """Best and second-best anchor (A, 2) of each size (N, 2), in float32 and constant memory.

    The first of equally good anchors is the best one. Same values as from `shape_iou`, without the
    (N, A) array.
    """
    width, height = np.asarray(sizes, dtype=np.float32).T.copy()
    anchors = np.asarray(anchors, dtype=np.float32)
    count = len(width)
    index = np.zeros(count, dtype=np.intp)
    best = np.zeros(count, dtype=np.float32)
    second = np.zeros(count, dtype=np.float32)
    overlap, union = np.empty((2, min(CHUNK, count)), dtype=np.float32)
    for start in range(0, count, CHUNK):
        part = slice(start, min(start + CHUNK, count))
        w, h, first, runner_up = width[part], height[part], best[part], second[part]
        area = w * h
        iou, rest = overlap[: len(w)], union[: len(w)]
        for number, (anchor_w, anchor_h) in enumerate(anchors):
            np.minimum(w, anchor_w, out=iou)
            np.minimum(h, anchor_h, out=rest)
            iou *= rest
            np.add(area, anchor_w * anchor_h, out=rest)
            rest -= iou
            iou /= rest
            np.copyto(index[part], number, where=iou > first)
            np.minimum(iou, first, out=rest)
            np.maximum(runner_up, rest, out=runner_up)
            np.maximum(first, iou, out=first)
    return BestAnchor(index, best, second)
