"""k-means of box sizes under the distance 1 - IoU (YOLO9000, arXiv 1612.08242, section 2)."""

from __future__ import annotations

import numpy as np

from stadet.anchors.lloyd import Clustering, Update, lloyd
from stadet.anchors.shapes import shape_iou, unique_sizes
from stadet.engine.errors import UserError


def kmeans(
    sizes: np.ndarray,
    k: int,
    *,
    weights: np.ndarray | None = None,
    update: Update = "median",
    restarts: int | None = None,
    sample_size: int = 10_000,
    max_rounds: int = 1000,
    seed: int = 0,
) -> Clustering:
    """Cluster (N, 2) sizes (width, height) into `k`; repeated sizes are merged and weighted.

    weights (N,): how much each box counts, 1 by default; update: a centre is the median of its
    members, by side, or their mean (as published; a lower mean IoU on long-tailed sizes).
    `restarts` k-means++ starts (default: 10, up to 100 where there are few sizes) are brought to
    rest on `sample_size` of the different sizes, and the best of them on all. A pure function of
    its arguments. UserError for bad sizes or where there are fewer different ones than `k`.
    """
    unique, counts = unique_sizes(sizes, weights)
    if not 1 <= k <= len(unique):
        raise UserError(
            f"expected 1 to {len(unique)} anchors (the boxes have {len(unique)} different sizes), "
            f"found {k}: ask for fewer anchors or give more boxes"
        )
    rng = np.random.default_rng(seed)
    sample, sample_counts = unique, counts
    if len(unique) > max(sample_size, k):
        chosen = rng.choice(len(unique), size=max(sample_size, k), replace=False)
        sample, sample_counts = unique[chosen], counts[chosen]
    if restarts is None:
        restarts = int(np.clip(30_000 // len(sample), 10, 100))
    runs = [
        lloyd(
            sample,
            sample_counts,
            plus_plus(sample, sample_counts, k, rng),
            update=update,
            max_rounds=max_rounds,
        )
        for _ in range(max(1, restarts))
    ]
    best = max(runs, key=lambda run: run.mean_iou)
    if sample is unique:
        return best
    return lloyd(unique, counts, best.sizes, update=update, max_rounds=max_rounds)


def plus_plus(
    sizes: np.ndarray, weights: np.ndarray, k: int, rng: np.random.Generator
) -> np.ndarray:
    """k-means++ starts (Arthur and Vassilvitskii, SODA 2007): `k` different rows of `sizes`.

    Each is drawn with a chance proportional to weight times distance to the nearest start so far;
    to the first power, because the quantity to make small is the sum of 1 - IoU itself.
    """
    starts = [int(rng.choice(len(sizes), p=weights / weights.sum()))]
    distance = np.ones(len(sizes))
    for _ in range(k - 1):
        distance = np.minimum(distance, 1 - shape_iou(sizes, sizes[starts[-1:]])[:, 0])
        distance[starts] = 0
        chance = weights * distance
        starts.append(int(rng.choice(len(sizes), p=chance / chance.sum())))
    return sizes[starts].astype(np.float64)
