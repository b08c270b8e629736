"""Paths against an exhaustive search over all paths of tiny videos, and against the old program."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stadet.detect.boxes import pairwise_iou
from stadet.detect.tubes import graph, greedy
from stadet.detect.tubes.graph import best_paths, link_boxes
from stadet.detect.tubes.greedy import paths_in_turn
from tests.detect.tubes import every_round


def random_video(seed, num_frames=5, num_classes=2):
    rng = np.random.default_rng(seed)
    frames = np.sort(rng.integers(0, num_frames, rng.integers(1, 10)))
    corner = rng.integers(0, 6, (len(frames), 2))
    boxes = np.concatenate([corner, corner + rng.integers(3, 8, (len(frames), 2))], axis=1)
    scores = rng.random((len(frames), num_classes)).round(2)
    scores[rng.random(scores.shape) < 0.3] = 0
    return frames, boxes.astype(float), scores


def greedy_by_exhaustion(frames, boxes, scores, label, min_score, min_overlap, max_gap, weight):
    """All paths are enumerated, the best is taken, its boxes are removed, and again."""
    free = [i for i in range(len(frames)) if scores[i, label] > 0 and scores[i, label] >= min_score]
    iou = pairwise_iou(boxes, boxes)
    result = []
    while free:
        best, best_path = -1.0, None
        stack = [([i], scores[i, label]) for i in free]
        while stack:
            path, energy = stack.pop()
            if energy > best:
                best, best_path = energy, path
            for j in free:
                lag = frames[j] - frames[path[-1]]
                overlap = iou[path[-1], j]
                if 1 <= lag <= max_gap + 1 and overlap >= min_overlap and overlap > 0:
                    stack.append(([*path, j], energy + scores[j, label] + weight * overlap))
        result.append((best, tuple(best_path)))
        free = [i for i in free if i not in best_path]
    return result


def paths_of(frames, boxes, scores, *, min_score, min_overlap, max_gap, weight):
    """{class: list of paths (tuples of rows)}."""
    links = link_boxes(frames, boxes, frames - (max_gap + 1), min_overlap=min_overlap)
    taking_part = np.where(scores >= min_score, scores, 0.0)
    found = best_paths(frames, links, enumerate(taking_part.T), weight)
    return {
        label: [tuple(path.tolist()) for path in np.split(rows, np.cumsum(lengths)[:-1])]
        for label, rows, lengths in found
        if len(rows)
    }


def old_paths_of(frames, boxes, scores, *, min_score, min_overlap, max_gap, weight):
    old = every_round.build_graph(
        frames, boxes, scores, min_score=min_score, min_overlap=min_overlap, max_gap=max_gap
    )
    nodes, lengths = every_round.extract_paths(old, weight)
    found = {}
    for path in np.split(nodes, np.cumsum(lengths)[:-1]) if len(nodes) else []:
        found.setdefault(int(old.classes[path[0]]), []).append(tuple(old.rows[path].tolist()))
    return found


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6), st.integers(0, 2), st.sampled_from([0.0, 0.2, 0.5]), st.floats(0.0, 2.0)
)
def test_paths_equal_exhaustive_search(seed, max_gap, min_overlap, weight):
    frames, boxes, scores = random_video(seed)
    options = {"min_score": 0.1, "min_overlap": min_overlap, "max_gap": max_gap, "weight": weight}
    paths = paths_of(frames, boxes, scores, **options)
    overlap = pairwise_iou(boxes, boxes)
    for label in range(scores.shape[1]):
        want = greedy_by_exhaustion(frames, boxes, scores, label, 0.1, min_overlap, max_gap, weight)
        got = []
        for path in paths.get(label, []):
            rows = np.array(path)
            energy = scores[rows, label].sum() + weight * overlap[rows[:-1], rows[1:]].sum()
            got.append((energy, path))
        got.sort(reverse=True)
        want.sort(reverse=True)
        # equal energies may be broken differently: the multiset of energies may not
        np.testing.assert_allclose([e for e, _ in got], [e for e, _ in want], atol=1e-9)
        if len({round(e, 9) for e, _ in want}) == len(want) and weight > 0.01:
            assert sorted(p for _, p in got) == sorted(p for _, p in want)


def crowd(seed, *, frames=25, boxes=14, classes=3, tied=False):
    """Many boxes that overlap many others; `tied` draws boxes and scores from few values."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, boxes, frames) * (rng.random(frames) < 0.9)
    number = np.repeat(np.arange(frames), counts)
    corner = rng.uniform(0, 60, (len(number), 2))
    sides = rng.uniform(20, 50, (len(number), 2))
    if tied:
        corner, sides = (corner // 15) * 15, np.full_like(sides, 30.0)
    scores = rng.random((len(number), classes))
    scores = np.ceil(scores * 3) / 3 if tied else scores
    scores[rng.random(scores.shape) < 0.2] = 0
    return number, np.concatenate([corner, corner + sides], axis=1), scores


@pytest.mark.parametrize("few", [0.0, 0.01, 1.0])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_the_same_paths_as_the_old_program(monkeypatch, seed, tied, few):
    """few = 0: never one after another unless nothing else is left; 1: from the first pass on."""
    monkeypatch.setattr(graph, "FEW", few or 1e-9)
    monkeypatch.setattr(graph, "LINKS_AT_ONCE", 500 if seed % 2 else 1 << 20)
    monkeypatch.setattr(graph, "PAIRS_AT_ONCE", 100)
    monkeypatch.setattr(graph, "NODES_AT_ONCE", 1 if seed == 2 else 1 << 20)
    monkeypatch.setattr(greedy, "LINKS_AT_ONCE", 30 if seed == 3 else 1 << 18)
    monkeypatch.setattr(greedy, "TIDY", 1 if seed == 4 else 64)
    options = {"min_score": 0.05, "min_overlap": 0.2, "max_gap": seed % 4, "weight": 1.0}
    problem = crowd(seed, tied=tied)
    new, old = paths_of(*problem, **options), old_paths_of(*problem, **options)
    assert new.keys() == old.keys()
    for label, paths in new.items():
        assert sorted(paths) == sorted(old[label])


@pytest.mark.parametrize("seed", range(20))
def test_every_box_of_a_class_is_in_exactly_one_path(seed):
    frames, boxes, scores = random_video(seed)
    found = paths_of(frames, boxes, scores, min_score=0.0, min_overlap=0.1, max_gap=1, weight=1.0)
    for label in range(scores.shape[1]):
        paths = found.get(label, [])
        rows = sorted(row for path in paths for row in path)
        assert rows == np.flatnonzero(scores[:, label] > 0).tolist()
        for path in paths:
            assert (np.diff(frames[list(path)]) > 0).all()


def test_one_after_another_by_hand():
    # 0 and 1 lead to 2: over 0 it is worth 1 + .3 + 1, over 1 it is worth .5 + .9 + 1;
    # the second class has no box 1, and only box 0 of the third takes part
    scores = np.array([[1.0, 1.0, 0.4], [0.5, 0.0, 0.0], [1.0, 1.0, 0.0]])
    links = np.array([0, 0, 0, 2]), np.array([0, 1], dtype=np.int32), np.array([0.3, 0.9])
    found = paths_in_turn(np.array([4, 4, 5]), scores, *links, 1.0)
    assert [(nodes.tolist(), lengths.tolist()) for nodes, lengths in found] == [
        ([1, 2, 0], [2, 1]),
        ([0, 2], [2]),
        ([0], [1]),
    ]


def test_no_boxes_no_paths():
    nothing = np.zeros(0, dtype=np.int64), np.zeros((0, 4)), np.zeros((0, 3))
    options = {"min_score": 0.0, "min_overlap": 0.1, "max_gap": 5, "weight": 1.0}
    assert paths_of(*nothing, **options) == {}
    links = link_boxes(*nothing[:2], nothing[0], min_overlap=0.1)
    assert len(links.sources) == 0 and links.first.tolist() == [0]
