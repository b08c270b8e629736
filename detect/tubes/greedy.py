"""The best paths of one graph, taken one after another.

Taking a path away lowers the energies of those nodes only whose best path used one of its nodes.
They are marked, and computed again when their turn comes: as energies only fall, an energy that is
out of date is an upper bound, and a node is the best when it leads and is up to date (lazy
evaluation, Minoux 1978, "Accelerated greedy algorithms for maximizing submodular set functions").
"""

from __future__ import annotations

import heapq
from array import array

import numpy as np

NONE = -1


def paths_in_turn(
    scores: np.ndarray,
    sources: np.ndarray,
    first: np.ndarray,
    weights: np.ndarray,
    energies: np.ndarray,
    parents: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Share n nodes out: (nodes (n,), path after path in time order; lengths (P,)).

    scores (n,) positive; the links into node v are first[v]:first[v + 1] (first (n + 1,)), from
    `sources` (E,) of lower number, rising, at `weights` (E,); energies, parents (n,): of the best
    path that ends at each node, and the node before it (-1: it begins there).

    Equal energies: the path that ends at the earlier node.
    """
    forest = _Forest(scores, sources, first, weights, energies, parents)
    nodes, lengths = array("q"), array("q")
    order = np.argsort(-energies, kind="stable")
    bounds = array("d", (-energies[order]).tobytes())
    waiting: list[tuple[float, int]] = []  # nodes computed again, the highest energy first
    turn, count = 0, len(bounds)
    order = array("q", order.tobytes())
    gone, stale = forest.gone, forest.stale
    while turn < count or waiting:
        if waiting and (turn == count or waiting[0] < (bounds[turn], order[turn])):
            bound, node = heapq.heappop(waiting)
        else:
            bound, node = bounds[turn], order[turn]
            turn += 1
        if gone[node]:
            continue
        energy = forest.refresh(node) if stale[node] else float(forest.energies[node])
        if -energy != bound:  # not as good as it was: its turn comes later
            heapq.heappush(waiting, (-energy, node))
            continue
        path = forest.take(node)
        nodes.extend(path)
        lengths.append(len(path))
    return np.array(nodes, dtype=np.int64), np.array(lengths, dtype=np.int64)


class _Forest:
    """The best way into every node, as trees: a node hangs from the node before it."""

    def __init__(
        self,
        scores: np.ndarray,
        sources: np.ndarray,
        first: np.ndarray,
        weights: np.ndarray,
        energies: np.ndarray,
        parents: np.ndarray,
    ) -> None:
        count = len(scores)
        self.scores, self.sources, self.weights = scores, sources, weights
        self.first = array("q", first.tobytes())
        self.energies = energies.copy()
        self.parents = array("q", parents.astype(np.int64).tobytes())
        self.gone, self.stale = bytearray(count), bytearray(count)
        # children of a node: a chain from `child` on through `sibling`; out-of-date ones stay in it
        self.child, self.sibling = _chains(parents)

    def refresh(self, node: int) -> float:
        """Bring a node's energy up to date, and those that it depends on; returns it."""
        stack = [node]
        energies, stale = self.energies, self.stale
        while stack:
            node = stack[-1]
            a, b = self.first[node], self.first[node + 1]
            sources = self.sources[a:b]
            worth = energies[sources]
            worth += self.weights[a:b]
            best = int(worth.argmax()) if b > a else NONE
            if best == NONE or worth[best] == -np.inf:
                energies[node] = self.scores[node]
                self.parents[node] = NONE
            else:
                source = int(sources[best])
                if stale[source]:  # its energy is an upper bound: not yet known to be the best
                    stack.append(source)
                    continue
                energies[node] = self.scores[node] + worth[best]
                self.parents[node] = source
                self.sibling[node] = self.child[source]
                self.child[source] = node
            stale[node] = False
            stack.pop()
        return float(energies[node])

    def take(self, end: int) -> list[int]:
        """Take the best path that ends at a node away; returns its nodes in time order."""
        path, node = [], end
        while node != NONE:
            path.append(node)
            node = self.parents[node]
        for node in path:
            self.gone[node] = True
            self.energies[node] = -np.inf
        stack = path.copy()
        while stack:
            node = stack.pop()
            child = self.child[node]
            self.child[node] = NONE
            while child != NONE:
                following = self.sibling[child]
                if not self.gone[child] and not self.stale[child]:
                    self.stale[child] = True
                    stack.append(child)
                child = following
        return path[::-1]


def _chains(parents: np.ndarray) -> tuple[array, array]:
    """First child of each node and next child of its parent, -1 where there is none."""
    count = len(parents)
    child, sibling = np.full(count, NONE), np.full(count, NONE)
    order = np.argsort(parents, kind="stable")
    order = order[parents[order] >= 0]
    of = parents[order]
    is_first = np.flatnonzero(np.diff(of, prepend=-1))
    child[of[is_first]] = order[is_first]
    same = np.flatnonzero(np.diff(of) == 0)
    sibling[order[same]] = order[same + 1]
    return array("q", child.tobytes()), array("q", sibling.tobytes())
