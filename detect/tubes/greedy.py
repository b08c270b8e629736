"""The best paths of several classes, taken one after another in each and side by side in all.

Taking a path away lowers the energies of those boxes only whose best path used one of its boxes.
These are computed again, frame by frame from where the path began to where nothing changes any
more, of all classes at once. As energies only fall, a box whose way in is still worth more than its
second-best way was when that was last looked for keeps it without a look at its other links.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LINKS_AT_ONCE = 1 << 18  # links compared at once
TIDY = 64  # rounds after which the boxes that are gone are left out of the frames' lists


def paths_in_turn(
    frames: np.ndarray,
    scores: np.ndarray,
    first: np.ndarray,
    sources: np.ndarray,
    overlaps: np.ndarray,
    overlap_weight: float,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Share M boxes sorted by frame out among paths, for each of C classes: (boxes (K,), path after
    path in time order; lengths (P,)).

    scores (M, C), 0 where a box takes no part; the links into box m are first[m]:first[m + 1]
    (first (M + 1,)), from `sources` (E,) of an earlier frame, rising, of IoU `overlaps` (E,).

    Equal energies: the path that ends at the earlier box, and of two ways in the earlier one.
    """
    classes = scores.shape[1]
    if not scores.any():
        return [(np.zeros(0, np.int64), np.zeros(0, np.int64)) for _ in range(classes)]
    forest = _Forest(frames, scores, first, sources, overlaps, overlap_weight)
    nodes: list[list[int]] = [[] for _ in range(classes)]
    lengths: list[list[int]] = [[] for _ in range(classes)]
    rounds = 0
    while paths := forest.best():
        for path in paths:
            label = path[0] % classes
            nodes[label].extend(path[::-1])
            lengths[label].append(len(path))
        forest.take(np.concatenate(paths))
        rounds += 1
        if rounds % TIDY == 0:
            forest.tidy()
    return [
        (np.array(n, dtype=np.int64) // classes, np.array(k, dtype=np.int64))
        for n, k in zip(nodes, lengths, strict=True)
    ]


class _Forest:
    """The best way into every node, a box for a class: node m * C + c is box m for class c.

    energies: of the best path that ends at a node, -inf where it is gone or takes no part.
    parents: the node before it, `_none` where it begins; gains: the weight of that link; seconds:
    no other way in was worth more when they were compared.
    """

    def __init__(
        self,
        frames: np.ndarray,
        scores: np.ndarray,
        first: np.ndarray,
        sources: np.ndarray,
        overlaps: np.ndarray,
        overlap_weight: float,
    ) -> None:
        count, self._classes = scores.shape
        self._first, self._sizes = first, np.diff(first)
        self._sources, self._overlaps, self._weight = sources, overlaps, overlap_weight
        self._scores = scores.reshape(-1)
        self._none = len(self._scores)
        self._energies = np.where(self._scores > 0, self._scores, -np.inf)
        self._table = self._energies.reshape(scores.shape)
        self._parents = np.full(self._none, self._none, dtype=np.int64)
        self._gains = np.zeros(self._none)
        self._seconds = np.full(self._none, -np.inf)
        self._changed = np.zeros(self._none + 1, dtype=bool)
        turns = np.flatnonzero(np.diff(frames, prepend=frames[0] - 1))
        self._bounds = [*turns.tolist(), count]
        self._turn_of = np.repeat(np.arange(len(turns)), np.diff(self._bounds))
        self._best = np.full((len(turns), self._classes), -np.inf)  # energy of each frame
        # the last frame with links from each one: what changes there changes nothing after it
        reach = np.arange(len(turns))
        targets = np.repeat(self._turn_of, self._sizes)
        np.maximum.at(reach, self._turn_of[sources], targets)
        self._reach = reach.tolist()
        self._nodes: list[np.ndarray] = []  # of each frame, in use
        for turn in range(len(turns)):
            self._add_up(turn)

    def _add_up(self, turn: int) -> None:
        """Compute the energies of a frame for the first time."""
        begin, end = self._bounds[turn] * self._classes, self._bounds[turn + 1] * self._classes
        nodes = begin + np.flatnonzero(self._energies[begin:end] > -np.inf)
        self._nodes.append(nodes)
        linked = nodes[self._sizes[nodes // self._classes] > 0]
        self._energies[linked] = self._compare(linked)
        self._find_best(turn)

    def _find_best(self, turn: int) -> None:
        a, b = self._bounds[turn], self._bounds[turn + 1]
        self._best[turn] = self._table[a:b].max(axis=0)

    def best(self) -> list[list[int]]:
        """The best path of each class that has one, from its end to its beginning."""
        paths = []
        turns = self._best.argmax(axis=0).tolist()
        for label, turn in enumerate(turns):
            if self._best[turn, label] == -np.inf:
                continue
            a, b = self._bounds[turn], self._bounds[turn + 1]
            node = (a + int(self._table[a:b, label].argmax())) * self._classes + label
            path = []
            while node != self._none:
                path.append(node)
                node = int(self._parents[node])
            paths.append(path)
        return paths

    def take(self, gone: np.ndarray) -> None:
        """Take nodes away and bring the energies that depend on them up to date."""
        self._energies[gone] = -np.inf
        self._parents[gone] = self._none
        self._changed[gone] = True
        lost = set(self._turn_of[gone // self._classes].tolist())
        marked = [gone]
        turn, last = min(lost), max(self._reach[t] for t in lost)
        last = max(last, *lost)
        while turn <= last:
            nodes = self._nodes[turn]
            nodes = nodes[self._changed[self._parents[nodes]]]
            if len(nodes):
                energies = self._refreshed(nodes)
                fell = energies < self._energies[nodes]
                self._energies[nodes] = energies
                if fell.any():
                    marked.append(nodes[fell])
                    self._changed[marked[-1]] = True
                    last = max(last, self._reach[turn])
            if len(nodes) or turn in lost:
                self._find_best(turn)
            turn += 1
        self._changed[np.concatenate(marked)] = False

    def tidy(self) -> None:
        """Leave the nodes that are gone out of the lists of the frames."""
        self._nodes = [nodes[self._energies[nodes] > -np.inf] for nodes in self._nodes]

    def _refreshed(self, nodes: np.ndarray) -> np.ndarray:
        """Energies of nodes whose way in has changed."""
        worth = self._energies[self._parents[nodes]] + self._gains[nodes]
        energies = self._scores[nodes] + worth
        # of equals the first is wanted, so they are compared, too
        open_ = np.flatnonzero(worth <= self._seconds[nodes])
        energies[open_] = self._compare(nodes[open_])
        return energies

    def _compare(self, nodes: np.ndarray) -> np.ndarray:
        """Energies of nodes with links, by their best way in, which is noted."""
        sizes = self._sizes[nodes // self._classes]
        energies = [np.zeros(0)]
        for part in blocks(sizes, LINKS_AT_ONCE):
            energies.append(self._compare_part(nodes[part], sizes[part]))
        return np.concatenate(energies)

    def _compare_part(self, nodes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        boxes = nodes // self._classes
        begins = np.cumsum(sizes) - sizes
        links = ranges(self._first[boxes], sizes)
        sources = self._sources[links].astype(np.int64)
        sources *= self._classes
        sources += np.repeat(nodes - boxes * self._classes, sizes)
        weights = self._overlaps[links]
        weights *= self._weight
        worth = self._energies[sources]
        worth += weights
        top = np.maximum.reduceat(worth, begins)
        at = np.flatnonzero(worth == np.repeat(top, sizes))
        at = at[np.searchsorted(at, begins)]  # the first of equals
        alone = top == -np.inf
        self._parents[nodes] = np.where(alone, self._none, sources[at])
        self._gains[nodes] = weights[at]
        worth[at] = -np.inf
        self._seconds[nodes] = np.maximum.reduceat(worth, begins)
        return self._scores[nodes] + np.where(alone, 0.0, top)


def blocks(counts: np.ndarray, most: int) -> Sequence[slice]:
    """Slices over `counts` whose sums stay near `most`."""
    ends = np.cumsum(counts)
    start, found = 0, []
    while start < len(counts):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + most, side="right")))
        found.append(slice(start, stop))
        start = stop
    return found


def ranges(first: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """first[0], first[0] + 1, .. (counts[0] of them), first[1], .."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(first - (ends - counts), counts)
