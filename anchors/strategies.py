"""Ways of picking anchors from box sizes, behind one function.

k-means puts anchors where most boxes are. Where sizes are crowded at one scale or classes are
imbalanced, the rest is served badly: some anchors end up nearly alike, and no anchor is near the
rare sizes. The other strategies trade some mean IoU for cover:

- `kmeans`: k-means under 1 - IoU.
- `spread`: the same, with crowded sizes counting less.
- `balanced`: the same, with all classes counting alike.
- `coverage`: as many boxes as possible (every class alike) within IoU 0.5 of an anchor.
- `per-level`: k-means within each level's own range of sizes, the same number for each level.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stadet.anchors.anchors import Anchors
from stadet.anchors.coverage import greatest_coverage
from stadet.anchors.kmeans import kmeans
from stadet.anchors.shapes import check_sizes, size_cells
from stadet.engine.errors import UserError, neighbours
from stadet.engine.signatures import checked

STRATEGIES = ("kmeans", "spread", "balanced", "coverage", "per-level")

# Level l takes boxes whose side (square root of the area) is below this many strides. YOLOv3's own
# anchors (416 px, strides 8, 16, 32) change level at sides of about 35 and 92 pixels.
STRIDES_A_SIDE = 5.0


@checked
def pick_anchors(
    strategy: str,
    sizes: np.ndarray,
    count: int,
    strides: Sequence[int],
    network_size: tuple[int, int],
    *,
    labels: np.ndarray | None = None,
    seed: int = 0,
) -> Anchors:
    """Anchors over all levels from box sizes, rounded to 0.01 pixels.

    Args:
        strategy: kmeans, spread, balanced, coverage, ..
        sizes: (N, 2) width and height of boxes in network pixels.
        count: anchors over all levels.
        strides: of the levels, finest first, pixels.
        network_size: (height, width).
        labels: (N, C) bool classes of the boxes, for `balanced` and `coverage`; by default all
            boxes are of one class.
        seed: of everything random.

    Raises:
        UserError: for an unknown strategy, or unusable sizes.
    """
    if strategy not in STRATEGIES:
        raise UserError(
            f"expected a strategy of {', '.join(STRATEGIES)}; found "
            f"{strategy!r}{neighbours(strategy, STRATEGIES)}"
        )
    if count < len(strides):
        raise UserError(f"expected at least one anchor a level, found {count} for {len(strides)}")
    sizes = check_sizes(sizes)
    weights = np.ones(len(sizes)) if labels is None else class_weights(labels)
    if strategy == "per-level":
        return _per_level(sizes, count, strides, network_size, seed)
    if strategy == "coverage":
        found = greatest_coverage(sizes, count, weights=weights, seed=seed)
    elif strategy == "balanced":
        found = kmeans(sizes, count, weights=weights, seed=seed).sizes
    elif strategy == "spread":
        found = kmeans(sizes, count, weights=spread_weights(sizes), seed=seed).sizes
    else:
        found = kmeans(sizes, count, seed=seed).sizes
    return Anchors.from_sizes(found.round(2), strides, network_size)


def class_weights(labels: np.ndarray) -> np.ndarray:
    """(N, C) multi-hot to (N,) weights under which every class weighs the same in all.

    A box of several classes counts for each; boxes without a class count as one more class.
    """
    labels = np.asarray(labels, dtype=np.float64)
    labels = np.column_stack([labels, labels.sum(axis=1) == 0])
    return (labels / np.maximum(labels.sum(axis=0), 1)).sum(axis=1)


def spread_weights(sizes: np.ndarray, power: float = 0.5) -> np.ndarray:
    """(N,) weights under which a neighbourhood of n boxes counts n ** power (1 = no change).

    Neighbourhoods are cells a quarter of an octave wide in width and height.
    """
    _, cell, counts = size_cells(sizes, cells_an_octave=4)
    return counts[cell] ** (power - 1.0)


def _per_level(
    sizes: np.ndarray,
    count: int,
    strides: Sequence[int],
    network_size: tuple[int, int],
    seed: int,
) -> Anchors:
    side = np.sqrt(sizes.prod(axis=1, dtype=np.float64))
    edges = STRIDES_A_SIDE * np.array(strides, dtype=np.float64)
    level_of = np.searchsorted(edges[:-1], side, side="right")
    shares = [len(part) for part in np.array_split(np.arange(count), len(strides))]
    levels = []
    for level, share in enumerate(shares):
        mine = sizes[level_of == level]
        if len(np.unique(mine, axis=0)) >= share:
            levels.append(kmeans(mine, share, seed=seed).sizes)
        else:  # no data to cluster: sizes of this level's scale in the data's usual shape
            low, high = (edges[level] / 2, edges[level])
            wanted = np.geomspace(low, high, share + 2)[1:-1]
            aspect = np.sqrt(np.median(sizes[:, 0] / sizes[:, 1]))
            levels.append(np.stack([wanted * aspect, wanted / aspect], axis=1))
    return Anchors(tuple(level.round(2) for level in levels), tuple(strides), network_size)
