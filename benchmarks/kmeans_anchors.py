"""k-means of box sizes: time and fit against scikit-learn's Euclidean k-means.

    python benchmarks/kmeans_anchors.py                       # 500,000 boxes, k = 9
    python benchmarks/kmeans_anchors.py --boxes 50000

Sizes are continuous (none repeats) with a long tail: log-normal width and aspect, clipped to the
network's input. CPU seconds of this process; run with OMP_NUM_THREADS=1 for one core.
scikit-learn: the best of 10 runs by its own criterion and by mean best IoU.
"""

from __future__ import annotations

import argparse
import platform
import time

import numpy as np
from sklearn.cluster import KMeans

from stadet.anchors.kmeans import kmeans
from stadet.anchors.shapes import best_anchor

SIDE = 416


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--boxes", type=int, default=500_000)
    parser.add_argument("--anchors", type=int, default=9)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    sizes = long_tailed_sizes(args.boxes, args.seed)
    different = len(np.unique(sizes.astype(np.float32), axis=0))
    print(
        f"{platform.machine()}, numpy {np.__version__}, seed {args.seed}: {args.boxes:,} boxes, "
        f"{different:,} different sizes, k = {args.anchors}"
    )
    print(f"{'':34}{'CPU s':>8}{'wall s':>8}{'mean IoU':>10}{'rounds':>8}  at rest")
    for update in ("median", "mean"):
        cpu, wall = time.process_time(), time.perf_counter()
        found = kmeans(sizes, args.anchors, update=update, seed=args.seed)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        print(
            f"{f'1 - IoU, {update}':34}{cpu:8.2f}{wall:8.2f}{found.mean_iou:10.5f}"
            f"{found.rounds:8}  {'yes' if found.converged else 'no'}"
        )
    cpu, wall, ious = time.process_time(), time.perf_counter(), []
    for run in range(10):
        euclidean = KMeans(args.anchors, n_init=1, random_state=args.seed + run).fit(sizes)
        ious.append(float(best_anchor(sizes, euclidean.cluster_centers_).iou.mean(dtype=float)))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(f"{'scikit-learn, best IoU of 10 runs':34}{cpu:8.2f}{wall:8.2f}{max(ious):10.5f}")


def long_tailed_sizes(count: int, seed: int) -> np.ndarray:
    """(count, 2) continuous (width, height) in pixels of a 416 x 416 input."""
    rng = np.random.default_rng(seed)
    width = np.exp(rng.normal(np.log(60), 0.7, count))
    height = width * np.exp(rng.normal(0.4, 0.5, count))
    fit = np.minimum(1, SIDE * rng.uniform(0.9, 1, count) / np.maximum(width, height))
    return np.stack([width * fit, height * fit], axis=1)


if __name__ == "__main__":
    main()
