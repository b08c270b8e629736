"""The best paths as the toolkit found them at first: every path again in every round, links of all
classes at once. Slow and hungry; what `stadet.detect.tubes.graph` is held against.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stadet.detect.boxes import rowwise_iou


@dataclass(frozen=True, eq=False)
class LinkGraph:
    """K nodes (a box taken for one class) and the E links between them.

    rows (K,): the box of a node; classes (K,); scores (K,); frames (K,). Nodes are sorted by box,
    boxes by frame.
    sources, targets (E,): nodes of a link, earlier to later, of one class; overlaps (E,): IoU.
    Links are sorted by target, then by source.
    """

    rows: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    frames: np.ndarray
    sources: np.ndarray
    targets: np.ndarray
    overlaps: np.ndarray


def build_graph(
    frames: np.ndarray,
    boxes: np.ndarray,
    scores: np.ndarray,
    *,
    min_score: float,
    min_overlap: float,
    max_gap: int,
) -> LinkGraph:
    """Every link allowed between M boxes of a video, sorted by frame.

    frames (M,) int; boxes (M, 4) xyxy; scores (M, C). A box takes part in each class where its
    score is above 0 and at least `min_score`. Two boxes are linked in the classes they share if
    their IoU is at least `min_overlap` (and above 0) and at most `max_gap` frames lie between them.
    The IoU of a pair is computed once, whatever the number of classes.
    """
    active = (scores > 0) & (scores >= min_score)
    rows, classes = np.nonzero(active)
    node_of = np.full(active.shape, -1, dtype=np.int32)
    node_of[rows, classes] = np.arange(len(rows))

    parts = [
        _links_at_lag(frames, boxes, node_of, lag, min_overlap) for lag in range(1, max_gap + 2)
    ]
    sources, targets, overlaps = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((sources, targets))
    return LinkGraph(
        rows,
        classes,
        scores[rows, classes],
        frames[rows],
        sources[order],
        targets[order],
        overlaps[order],
    )


def _links_at_lag(
    frames: np.ndarray, boxes: np.ndarray, node_of: np.ndarray, lag: int, min_overlap: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Links between boxes exactly `lag` frames apart: sources, targets, overlaps."""
    first = np.searchsorted(frames, frames + lag, side="left")
    counts = np.searchsorted(frames, frames + lag, side="right") - first
    earlier = np.repeat(np.arange(len(frames)), counts)
    later = _ranges(first, counts)
    overlaps = rowwise_iou(boxes[earlier], boxes[later])
    near = (overlaps >= min_overlap) & (overlaps > 0)
    earlier, later, overlaps = earlier[near], later[near], overlaps[near]
    sources, targets = node_of[earlier], node_of[later]  # (P, C)
    pair, column = np.nonzero((sources >= 0) & (targets >= 0))
    return sources[pair, column], targets[pair, column], overlaps[pair]


def _ranges(first: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """first[0], first[0] + 1, .. (counts[0] of them), first[1], .."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(first - (ends - counts), counts)


def extract_paths(graph: LinkGraph, overlap_weight: float) -> tuple[np.ndarray, np.ndarray]:
    """Share the nodes out among paths: (nodes (K,), path after path in time order; lengths (P,)).

    Equal energies: the path that ends at the earlier node in the graph's order, and of two
    predecessors the earlier one, so the result is the same at every run.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    alive = np.arange(len(graph.rows))
    sources, targets = graph.sources, graph.targets
    weights = graph.overlaps * overlap_weight
    nodes, lengths = [], []
    while len(alive):
        # Nodes in use are numbered 0..len(alive) - 1 from here to the end of the turn.
        linked = np.zeros(len(alive), dtype=bool)
        linked[sources] = True
        linked[targets] = True
        alone = alive[~linked]
        nodes.append(alone)
        lengths.append(np.ones(len(alone), dtype=np.int64))
        sources, targets = _renumber(linked, sources, targets)
        alive = alive[linked]
        if not len(alive):
            break
        energies, parents = _viterbi(
            graph.scores[alive], graph.frames[alive], sources, targets, weights
        )
        ones = np.ones(len(sources), dtype=np.int8)
        links = coo_array((ones, (sources, targets)), shape=(len(alive), len(alive)))
        component = connected_components(links, directed=False)[1]
        order = np.lexsort((-energies, component))  # stable: the earlier node of equals
        ends = order[np.flatnonzero(np.diff(component[order], prepend=-1))]
        taken, counts = _walk_back(ends, parents)
        nodes.append(alive[taken])
        lengths.append(counts)

        left = np.ones(len(alive), dtype=bool)
        left[taken] = False
        kept = left[sources] & left[targets]
        sources, targets = _renumber(left, sources[kept], targets[kept])
        weights = weights[kept]
        alive = alive[left]
    empty = np.zeros(0, dtype=np.int64)
    return np.concatenate([empty, *nodes]), np.concatenate([empty, *lengths])


def _renumber(
    keep: np.ndarray, sources: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    place = np.cumsum(keep) - 1
    return place[sources], place[targets]


def _viterbi(
    scores: np.ndarray,
    frames: np.ndarray,
    sources: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Energy of the best path that ends at each node, and the node before it (-1: it begins)."""
    energies = scores.copy()
    first = np.flatnonzero(np.diff(targets, prepend=-1))  # where the links of a target begin
    reached = targets[first]
    best = np.empty(len(reached))
    turn = np.flatnonzero(np.diff(frames[reached], prepend=-1))
    turn_ends = [*turn[1:].tolist(), len(reached)]
    link_of = [*first.tolist(), len(targets)]
    for a, b in zip(turn.tolist(), turn_ends, strict=True):
        links = slice(link_of[a], link_of[b])
        candidates = energies[sources[links]] + weights[links]
        best[a:b] = np.maximum.reduceat(candidates, first[a:b] - link_of[a])
        energies[reached[a:b]] += best[a:b]
    counts = np.diff(np.append(first, len(targets)))
    chosen = np.flatnonzero(energies[sources] + weights == np.repeat(best, counts))[::-1]
    parents = np.full(len(scores), -1, dtype=np.int64)
    parents[targets[chosen]] = sources[chosen]  # reversed: the first of equals is written last
    return energies, parents


def _walk_back(ends: np.ndarray, parents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nodes of the paths that end at `ends`, path after path in time order, and path lengths."""
    path = np.arange(len(ends))
    current, walked, paths = ends, [], []
    while len(current):
        walked.append(current)
        paths.append(path)
        current = parents[current]
        goes_on = current >= 0
        current, path = current[goes_on], path[goes_on]
    nodes, paths = np.concatenate(walked[::-1]), np.concatenate(paths[::-1])
    return nodes[np.argsort(paths, kind="stable")], np.bincount(paths)
