"""Boxes of one class joined through time: the links between them and their best paths.

The energy of a path is that of Saha et al. 2016 ("Deep Learning for Detecting Multiple Space-Time
Action Tubes in Videos", BMVC, eq. 1): the sum of its boxes' scores plus `overlap_weight` times the
sum of the IoUs of its links. A path may begin and end at any box. The best path of each class is
taken, its boxes are removed, and so on until no box is left: the paths share out the boxes.

Taken literally this is one pass over all links for each path. Here a pass takes every path that
nothing could beat: scores are positive, so that energies only fall as boxes are removed, and a path
will be taken as it is if every other path through its boxes has less energy than it. Such paths
follow links that are the best way into their target and the best way out of their source, from a
box with no way in to one with no way out. Passes are few, as the paths of a scene compete with
their neighbours only.

IoUs are computed once for all classes and kept by pairs of boxes that do overlap; classes are taken
in groups, so that memory grows with the overlaps of the video and not with its classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np

from stadet.detect.boxes import rowwise_iou
from stadet.detect.tubes.greedy import blocks, paths_in_turn, ranges

PAIRS_AT_ONCE = 1 << 16  # box pairs compared at once
LINKS_AT_ONCE = 1 << 18  # links of the classes that go through passes together
NODES_AT_ONCE = 1 << 19  # boxes x classes that are then taken in turn together
FEW = 0.01  # share of boxes: after a pass that takes fewer, paths are taken one after another
MARGIN = 1e-9  # relative; far above the rounding of an energy


@dataclass(frozen=True, eq=False)
class BoxLinks:
    """E links between M boxes of a video, sorted by target, then by source.

    Attributes:
        first: (M + 1,) the links into box m are first[m]:first[m + 1].
        sources: (E,) int32 boxes.
        overlaps: (E,) IoU.
    """

    first: np.ndarray
    sources: np.ndarray
    overlaps: np.ndarray

    def targets(self) -> np.ndarray:
        """(E,) int32 box that each link leads to."""
        return np.repeat(np.arange(len(self.first) - 1, dtype=np.int32), np.diff(self.first))


def link_boxes(
    frames: np.ndarray, boxes: np.ndarray, earliest: np.ndarray, *, min_overlap: float
) -> BoxLinks:
    """Every link allowed between M boxes of a video, sorted by frame.

    frames (M,) int; boxes (M, 4) xyxy; earliest (M,), rising: the earliest frame whose boxes each
    may follow. Two boxes are linked if their IoU is at least `min_overlap` (and above 0).
    """
    start = np.searchsorted(frames, earliest, side="left")
    stop = np.searchsorted(frames, frames, side="left")
    counts = stop - start
    sources, overlaps = [np.zeros(0, np.int32)], [np.zeros(0)]
    into = np.zeros(len(frames), dtype=np.int64)
    for rows in blocks(counts, PAIRS_AT_ONCE):
        source = ranges(start[rows], counts[rows])
        target = np.repeat(np.arange(rows.start, rows.stop), counts[rows])
        meet = _meet(boxes, source, target)
        source, target = source[meet], target[meet]
        overlap = rowwise_iou(boxes[source], boxes[target])
        near = (overlap >= min_overlap) & (overlap > 0)
        sources.append(source[near].astype(np.int32))
        overlaps.append(overlap[near])
        into[rows] = np.bincount(target[near] - rows.start, minlength=rows.stop - rows.start)
    return BoxLinks(
        np.concatenate([[0], np.cumsum(into)]), np.concatenate(sources), np.concatenate(overlaps)
    )


def best_paths(
    frames: np.ndarray,
    links: BoxLinks,
    classes: Iterator[tuple[int, np.ndarray]],
    overlap_weight: float,
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Share the boxes of each class out among paths.

    frames (M,); classes: (class, its scores (M,), 0 where a box takes no part in it). Yields
    (class, boxes (K,) path after path in time order, lengths (P,)) in the order of `classes`.

    Equal energies: the path that ends at the earlier box, and of two predecessors the earlier one,
    so that the result is the same at every run.
    """
    together = max(1, NODES_AT_ONCE // max(1, len(frames)))
    while batch := list(islice(classes, together)):
        yield from _of_batch(frames, links, batch, overlap_weight)


def _of_batch(
    frames: np.ndarray,
    links: BoxLinks,
    batch: list[tuple[int, np.ndarray]],
    overlap_weight: float,
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Paths of a few classes: by passes, and what these leave in turn, side by side."""
    solved: list[_Solved] = []
    group: list[_ClassGraph] = []
    for label, scores in batch:
        group.append(_ClassGraph(label, links, scores, overlap_weight))
        if sum(len(graph.sources) for graph in group) >= LINKS_AT_ONCE:
            solved += _solve(group, frames)
            group = []
    solved += _solve(group, frames)
    left = [place for place, of_class in enumerate(solved) if len(of_class.rest)]
    scores = np.zeros((len(frames), len(left)))
    for column, place in enumerate(left):
        rest = solved[place].rest
        scores[rest, column] = batch[place][1][rest]
    in_turn = paths_in_turn(
        frames, scores, links.first, links.sources, links.overlaps, overlap_weight
    )
    others = dict(zip(left, in_turn, strict=True))
    for place, of_class in enumerate(solved):
        rows, lengths = of_class.rows, of_class.lengths
        if place in others:
            rows = np.concatenate([rows, others[place][0]])
            lengths = np.concatenate([lengths, others[place][1]])
        yield of_class.label, rows, lengths


class _Solved(NamedTuple):
    """What passes found of a class: boxes path after path, lengths of the paths, and the boxes that
    are left to be taken in turn."""

    label: int
    rows: np.ndarray
    lengths: np.ndarray
    rest: np.ndarray


class _ClassGraph:
    """The boxes of one class and the links between them, numbered 0..n - 1 in the boxes' order."""

    def __init__(
        self, label: int, links: BoxLinks, scores: np.ndarray, overlap_weight: float
    ) -> None:
        self.label = label
        active = scores > 0
        self.rows = np.flatnonzero(active)
        self.scores = scores[self.rows]
        place = (np.cumsum(active) - 1).astype(np.int32)
        inside = np.repeat(active, np.diff(links.first))
        inside &= active[links.sources]
        self.sources = place[links.sources[inside]]
        self.targets = place[links.targets()[inside]]
        self.weights = links.overlaps[inside]
        self.weights *= overlap_weight


def _solve(group: list[_ClassGraph], frames: np.ndarray) -> Iterator[_Solved]:
    """Paths of the classes of a group by passes, solved as one graph."""
    if not group:
        return
    starts = np.cumsum([0, *(len(graph.rows) for graph in group)])
    rows = np.concatenate([graph.rows for graph in group])
    # by frame, then by class: a pass goes through the frames of all classes at once
    order = np.argsort(frames[rows], kind="stable")
    place = np.empty(len(order), dtype=np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    sources = np.concatenate([place[g.sources + s] for g, s in zip(group, starts, strict=False)])
    targets = np.concatenate([place[g.targets + s] for g, s in zip(group, starts, strict=False)])
    weights = np.concatenate([graph.weights for graph in group])
    scores = np.concatenate([graph.scores for graph in group])[order]
    labels = [graph.label for graph in group]
    group.clear()
    if len(starts) > 2:
        by_target = np.lexsort((sources, targets))
        sources, targets, weights = sources[by_target], targets[by_target], weights[by_target]
    nodes, lengths, rest = share_out(frames[rows[order]], scores, sources, targets, weights)
    original = order[nodes]  # of the classes laid end to end
    of_path = np.searchsorted(starts, original[np.cumsum(lengths) - lengths], side="right") - 1
    of_node = np.repeat(of_path, lengths)
    rest = order[rest]
    of_rest = np.searchsorted(starts, rest, side="right") - 1
    for place_in_group, label in enumerate(labels):
        yield _Solved(
            label,
            rows[original[of_node == place_in_group]],
            lengths[of_path == place_in_group],
            rows[rest[of_rest == place_in_group]],
        )


def share_out(
    frames: np.ndarray,
    scores: np.ndarray,
    sources: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Paths of n nodes sorted by frame: (nodes, path after path in time order; lengths (P,); the
    nodes that are left where a pass would take few, to be taken in turn).

    scores (n,) positive; sources, targets (E,) links to a later frame, sorted by target, then by
    source; weights (E,) of at least 0.
    """
    alive = np.arange(len(scores))
    nodes, lengths = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    order = np.argsort(sources, kind="stable")
    into = _Links.of(targets, sources, weights, len(scores))
    out = _Links.of(sources[order], targets[order], weights[order], len(scores))
    while len(alive):
        # Nodes in use are numbered 0..len(alive) - 1 from here to the end of the pass.
        linked = np.zeros(len(alive), dtype=bool)
        linked[into.others] = True
        linked |= into.sizes > 0
        alone = alive[~linked]
        nodes.append(alone)
        lengths.append(np.ones(len(alone), dtype=np.int64))
        if len(alone):
            into, out, alive = into.among(linked), out.among(linked), alive[linked]
        if not len(alive):
            break
        energies = _add_up(scores[alive], frames[alive], into)
        taken, counts = _unbeatable(scores[alive], frames[alive], into, out, energies)
        if len(taken) < FEW * len(alive):
            break
        nodes.append(alive[taken])
        lengths.append(counts)
        left = np.ones(len(alive), dtype=bool)
        left[taken] = False
        into, out, alive = into.among(left), out.among(left), alive[left]
    return np.concatenate(nodes), np.concatenate(lengths), alive


@dataclass(frozen=True, eq=False)
class _Links:
    """E links between n nodes as seen from one of their ends: first (n + 1,), node v has the links
    first[v]:first[v + 1]; others (E,) rising within a node; weights (E,)."""

    first: np.ndarray
    others: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, nodes: np.ndarray, others: np.ndarray, weights: np.ndarray, count: int) -> _Links:
        """From both ends (E,) of links sorted by `nodes`, of `count` nodes."""
        sizes = np.bincount(nodes, minlength=count)
        return cls(np.concatenate([[0], np.cumsum(sizes)]), others, weights)

    @property
    def sizes(self) -> np.ndarray:
        """(n,) number of links of each node."""
        return np.diff(self.first)

    def among(self, keep: np.ndarray) -> _Links:
        """The links between nodes where `keep` (n,) is True, these numbered 0, 1, .."""
        if keep.all():
            return self
        sizes = self.sizes
        kept = np.repeat(keep, sizes)
        kept &= keep[self.others]
        before = np.concatenate([[0], np.cumsum(kept)])
        first = before[self.first]
        first = np.concatenate([first[:-1][keep], first[-1:]])
        place = (np.cumsum(keep) - 1).astype(np.int32)
        return _Links(first, place[self.others[kept]], self.weights[kept])

    def by_frame(self, frames: np.ndarray) -> list[tuple[slice, np.ndarray, np.ndarray]]:
        """(slice of links, nodes (k,) with links, where the links of each begin in the slice (k,))
        of the nodes of each frame, frame by frame."""
        nodes = np.flatnonzero(self.first[1:] > self.first[:-1])
        begins = self.first[nodes]
        turns = np.flatnonzero(np.diff(frames[nodes], prepend=-1)).tolist()
        bounds = [*turns, len(nodes)]
        edges = [*begins[turns].tolist(), len(self.others)]
        return [
            (
                slice(edges[k], edges[k + 1]),
                nodes[bounds[k] : bounds[k + 1]],
                begins[bounds[k] : bounds[k + 1]] - edges[k],
            )
            for k in range(len(turns))
        ]

    def best(self, nodes: np.ndarray, worth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of each of `nodes` (k,): the other end (k,) of highest weight + worth[other end], the
        first of equals and -1 without links; and the second-highest of these sums (k,), at least 0.
        """
        start = self.first[nodes]
        sizes = self.first[nodes + 1] - start
        chosen, second = np.full(len(nodes), -1, dtype=np.int64), np.zeros(len(nodes))
        some = np.flatnonzero(sizes)
        if not len(some):
            return chosen, second
        links = ranges(start[some], sizes[some])
        first = np.cumsum(sizes[some]) - sizes[some]
        value = worth[self.others[links]] + self.weights[links]
        highest = np.repeat(np.maximum.reduceat(value, first), sizes[some])
        at = np.flatnonzero(value == highest)[::-1]
        owner = np.repeat(np.arange(len(some)), sizes[some])
        place = np.empty(len(some), dtype=np.int64)
        place[owner[at]] = at  # reversed: the first of equals is written last
        chosen[some] = self.others[links[place]]
        value[place] = 0.0
        second[some] = np.maximum.reduceat(value, first)
        return chosen, second


def _add_up(
    scores: np.ndarray, frames: np.ndarray, links: _Links, backwards: bool = False
) -> np.ndarray:
    """Energy of the best path that ends at each node, or begins there: (n,).

    links: into each node, or out of it.
    """
    energies = scores.copy()
    turns = links.by_frame(frames)
    for rows, nodes, first in reversed(turns) if backwards else turns:
        worth = energies[links.others[rows]]
        worth += links.weights[rows]
        energies[nodes] += np.maximum.reduceat(worth, first)
    return energies


def _unbeatable(
    scores: np.ndarray, frames: np.ndarray, into: _Links, out: _Links, energies: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Paths through whose nodes every other path has less energy, by `MARGIN` at least: as
    `share_out` returns them.

    A path that leaves it for good at some node is worth the energies up to there and what is best
    from there on, so the links out of each node are compared: the best has to lead along the path,
    and what the second-best and stopping are worth has to stay below the path's energy.
    """
    onward = _add_up(scores, frames, out, backwards=True)
    ends = np.flatnonzero(out.sizes == 0)
    limits = energies[ends] * (1 - MARGIN)
    current, path = ends, np.arange(len(ends))
    holds = np.ones(len(ends), dtype=bool)
    walked, paths = [], []
    while len(current):
        walked.append(current)
        paths.append(path)
        before, _ = into.best(current, energies)
        goes_on = before >= 0
        current, before, path = current[goes_on], before[goes_on], path[goes_on]
        following, second = out.best(before, onward)
        fits = (following == current) & (energies[before] + second < limits[path])
        holds[path[~fits]] = False
        current, path = before[fits], path[fits]
    nodes = np.concatenate([np.zeros(0, dtype=np.int64), *walked[::-1]])
    paths = np.concatenate([np.zeros(0, dtype=np.int64), *paths[::-1]])
    kept = holds[paths]
    nodes, paths = nodes[kept], paths[kept]
    lengths = np.bincount(paths, minlength=len(ends))
    return nodes[np.argsort(paths, kind="stable")], lengths[holds]


def _meet(boxes: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Places of the pairs whose boxes share more than an edge."""
    x1, y1, x2, y2 = boxes.T
    left = np.flatnonzero((x1[a] < x2[b]) & (x1[b] < x2[a]))
    a, b = a[left], b[left]
    return left[(y1[a] < y2[b]) & (y1[b] < y2[a])]
