"""Anchors that leave as few boxes as possible without a good anchor."""

from __future__ import annotations

import numpy as np

from stadet.anchors.shapes import check_sizes, shape_iou, size_cells

BEYOND = 0.1  # above 0, so that anchors left over once all boxes are covered still serve


def greatest_coverage(
    sizes: np.ndarray,
    k: int,
    *,
    weights: np.ndarray | None = None,
    threshold: float = 0.5,
    cells_an_octave: int = 6,
    seed: int = 0,
    sample_size: int = 6000,
) -> np.ndarray:
    """(k, 2) sizes, smallest area first, that bring as many boxes as possible near `threshold` IoU.

    They maximise the sum of weight * value(best IoU), where IoU beyond `threshold` counts only
    `BEYOND` of IoU below it, so anchors go to boxes that have none yet. The sum is submodular in
    the set of anchors: picking greedily is within 1 - 1/e of the best set (Nemhauser, Wolsey and
    Fisher 1978); exchanges follow until none helps. Candidates are the means of the cells of (log
    width, log height) that hold boxes. sizes (N, 2); weights (N,), 1 by default; beyond
    `sample_size` boxes, a sample of that many, drawn by weight, is used. UserError for bad sizes.
    """
    sizes = check_sizes(sizes)
    weights = np.ones(len(sizes)) if weights is None else np.asarray(weights, dtype=np.float64)
    candidates, _, _ = size_cells(sizes, cells_an_octave)
    if len(sizes) > sample_size:
        rng = np.random.default_rng(seed)
        sizes = sizes[rng.choice(len(sizes), sample_size, p=weights / weights.sum())]
        weights = np.ones(sample_size)
    # (M, N): what each candidate gives each box
    iou = shape_iou(candidates, sizes).astype(np.float32)
    gain = np.where(iou < threshold, iou, threshold + BEYOND * (iou - threshold))
    weights = (weights / weights.sum()).astype(np.float32)
    chosen: list[int] = []
    for _ in range(k):
        chosen.append(_best_addition(gain, weights, chosen))
    improved = True
    while improved:
        improved = False
        for place in range(k):
            others = chosen[:place] + chosen[place + 1 :]
            better = _best_addition(gain, weights, others)
            before, after = (_value(gain, weights, [*others, c]) for c in (chosen[place], better))
            if after > before + 1e-6:  # more than float32 adds by itself
                chosen[place], improved = better, True
    found = candidates[chosen]
    return found[np.argsort(found.prod(axis=1), kind="stable")]


def _best_addition(gain: np.ndarray, weights: np.ndarray, chosen: list[int]) -> int:
    so_far = gain[chosen].max(axis=0, initial=0.0)
    return int((np.maximum(gain, so_far) @ weights).argmax())


def _value(gain: np.ndarray, weights: np.ndarray, chosen: list[int]) -> float:
    return float(gain[chosen].max(axis=0) @ weights)
