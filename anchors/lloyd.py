"""One k-means run under 1 - IoU: assign and update in turn until nothing changes.

Because 1 - IoU is a metric, a size need not be looked at again until the centres have moved as far
as separates its best one from the runner-up (the bounds of Hamerly, "Making k-means even faster",
SDM 2010), so the late rounds, where little moves, cost next to nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from stadet.anchors.shapes import best_anchor, shape_iou

Update = Literal["mean", "median"]
ROUNDING = 1e-5  # what float32 may add to a distance


@dataclass(frozen=True, eq=False)
class Clustering:
    """Cluster centres and how good they are.

    Attributes:
        sizes: (k, 2) float64 (width, height), smallest area first, in the unit of the boxes.
        mean_iou: mean over the boxes of the IoU with their best centre.
        rounds: how many it took.
        converged: another round would change no assignment.
    """

    sizes: np.ndarray
    mean_iou: float
    rounds: int
    converged: bool


def lloyd(
    sizes: np.ndarray,
    weights: np.ndarray,
    centres: np.ndarray,
    *,
    update: Update = "mean",
    max_rounds: int = 1000,
) -> Clustering:
    """Bring `centres` (k, 2) to rest on `sizes` (M, 2) float32 that count `weights` (M,) each.

    A centre without members is put on the size that is worst covered. The run ends unconverged
    where the centres come back to an earlier place (a mean does not minimise the sum of 1 - IoU, so
    a few sizes may swap for ever) or after `max_rounds`.
    """
    centres = np.array(centres, dtype=np.float64)
    members: _Members = (_Means if update == "mean" else _Medians)(sizes, weights, len(centres))
    assignment = _Assignment(sizes)
    seen = {centres.tobytes()}
    converged, rounds = False, 0
    while rounds < max_rounds:
        rounds += 1
        change = assignment.refresh(centres) or assignment.refresh(centres, everything=True)
        if change is None:
            converged = True
            break
        members.move(change, assignment.labels)
        moved = members.centres()
        empty = np.isnan(moved[:, 0])
        if empty.any():
            covered = best_anchor(sizes, moved[~empty]).iou
            moved[empty] = sizes[np.argsort(covered, kind="stable")[: empty.sum()]]
        if np.array_equal(moved, centres):
            continue  # medians often stay; the next look at everything ends the run
        assignment.centres_moved(centres, moved)
        centres = moved
        if centres.tobytes() in seen:
            break
        seen.add(centres.tobytes())
    mean_iou = float(np.average(best_anchor(sizes, centres).iou, weights=weights))
    order = np.argsort(centres.prod(axis=1), kind="stable")
    return Clustering(centres[order], mean_iou, rounds, converged)


@dataclass(frozen=True, eq=False)
class _Change:
    rows: np.ndarray  # sizes whose label changed
    before: np.ndarray  # their labels before, -1 for none
    after: np.ndarray

    def in_and_out(self) -> list[tuple[np.ndarray, np.ndarray, int]]:
        """(labels, rows, sign) of what joins its new centre (+1) and what leaves its old (-1)."""
        known = self.before >= 0
        return [(self.after, self.rows, 1), (self.before[known], self.rows[known], -1)]


class _Assignment:
    """The nearest centre of every size, looked up again only where it may have changed."""

    def __init__(self, sizes: np.ndarray) -> None:
        self.sizes = sizes
        self.labels = np.full(len(sizes), -1)
        self._travel = 0.0  # by how much distances may have drifted towards each other so far
        self._safe_until = np.full(len(sizes), -1.0)  # the travel up to which a label is certain

    def refresh(self, centres: np.ndarray, everything: bool = False) -> _Change | None:
        """Look up the sizes in doubt, or all; what changed, or None."""
        if everything:
            rows = np.arange(len(self.sizes))
        else:
            rows = np.flatnonzero(self._safe_until <= self._travel)
        best = best_anchor(self.sizes[rows], centres)
        self._safe_until[rows] = self._travel + (best.iou - best.second_iou) - ROUNDING
        changed = best.index != self.labels[rows]
        if not changed.any():
            return None
        rows, after = rows[changed], best.index[changed]
        change = _Change(rows, self.labels[rows], after)
        self.labels[rows] = after
        return change

    def centres_moved(self, before: np.ndarray, after: np.ndarray) -> None:
        farthest = 1 - np.diag(shape_iou(before, after)).min()
        self._travel += 2 * float(farthest)  # the best may have left and the runner-up come closer


class _Members(Protocol):
    """Knows who belongs to which centre and where its members would have it."""

    def __init__(self, sizes: np.ndarray, weights: np.ndarray, k: int) -> None: ...

    def move(self, change: _Change, labels: np.ndarray) -> None: ...

    def centres(self) -> np.ndarray:
        """(k, 2); NaN for a centre without members."""
        ...


class _Means:
    """Weighted means from running sums, to which only the changed sizes are added."""

    def __init__(self, sizes: np.ndarray, weights: np.ndarray, k: int) -> None:
        self._columns = np.stack([weights, sizes[:, 0] * weights, sizes[:, 1] * weights])
        self._counts = np.zeros(k, dtype=np.int64)  # exact, unlike the sum of weights
        self._sums = np.zeros((3, k))

    def move(self, change: _Change, labels: np.ndarray) -> None:
        k = len(self._counts)
        for labels_of, rows, sign in change.in_and_out():
            self._counts += sign * np.bincount(labels_of, minlength=k)
            for column, total in zip(self._columns, self._sums, strict=True):
                total += sign * np.bincount(labels_of, weights=column[rows], minlength=k)

    def centres(self) -> np.ndarray:
        weight = np.where(self._counts > 0, self._sums[0], np.nan)
        return (self._sums[1:] / weight).T


class _Medians:
    """Weighted medians of each side (the lower one where two would do).

    Running weights per centre and bin of `BIN` neighbours in the order of a side say in which bin a
    median lies; only that bin is looked through.
    """

    BIN = 512

    def __init__(self, sizes: np.ndarray, weights: np.ndarray, k: int) -> None:
        self._sizes = sizes
        # whole numbers: their running sums are exact in any order; counts stay as they are, so that
        # exact halves stay halves
        counts = np.asarray(weights, dtype=np.float64)
        if (counts != np.rint(counts)).any() or counts.min() < 1:
            counts = np.maximum(np.rint(counts * (2.0**30 / counts.max())), 1)
        self._weights = counts
        self._orders = [np.argsort(column, kind="stable") for column in sizes.T]
        self._bins = []
        for order in self._orders:
            bins = np.empty(len(order), dtype=np.intp)
            bins[order] = np.arange(len(order)) // self.BIN
            self._bins.append(bins)
        self._totals = np.zeros((2, k, -(-len(sizes) // self.BIN)))
        self._labels = np.zeros(0, dtype=np.intp)

    def move(self, change: _Change, labels: np.ndarray) -> None:
        self._labels = labels
        _, k, num_bins = self._totals.shape
        for labels_of, rows, sign in change.in_and_out():
            for bins, totals in zip(self._bins, self._totals, strict=True):
                cells = labels_of * num_bins + bins[rows]
                added = np.bincount(cells, weights=self._weights[rows], minlength=totals.size)
                totals += sign * added.reshape(k, num_bins)

    def centres(self) -> np.ndarray:
        out = np.full((self._totals.shape[1], 2), np.nan)
        for side, order in enumerate(self._orders):
            reached = self._totals[side].cumsum(axis=1)
            for centre in np.flatnonzero(reached[:, -1]):
                half = reached[centre, -1] / 2
                number = int(np.searchsorted(reached[centre], half))
                before = reached[centre, number - 1] if number else 0.0
                rows = order[number * self.BIN : (number + 1) * self.BIN]
                rows = rows[self._labels[rows] == centre]
                within = int(np.searchsorted(before + self._weights[rows].cumsum(), half))
                out[centre, side] = self._sizes[rows[within], side]
        return out
