"""Paths against an exhaustive search over all paths of tiny videos."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stadet.detect.boxes import pairwise_iou
from stadet.detect.tubes.graph import build_graph, extract_paths


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


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6), st.integers(0, 2), st.sampled_from([0.0, 0.2, 0.5]), st.floats(0.0, 2.0)
)
def test_paths_equal_exhaustive_search(seed, max_gap, min_overlap, weight):
    frames, boxes, scores = random_video(seed)
    graph = build_graph(
        frames, boxes, scores, min_score=0.1, min_overlap=min_overlap, max_gap=max_gap
    )
    nodes, lengths = extract_paths(graph, weight)
    paths = np.split(nodes, np.cumsum(lengths)[:-1])
    overlap = pairwise_iou(boxes, boxes)
    for label in range(scores.shape[1]):
        want = greedy_by_exhaustion(frames, boxes, scores, label, 0.1, min_overlap, max_gap, weight)
        got = []
        for path in paths:
            if len(path) and graph.classes[path[0]] == label:
                rows = graph.rows[path]
                energy = graph.scores[path].sum() + weight * overlap[rows[:-1], rows[1:]].sum()
                got.append((energy, tuple(rows.tolist())))
        got.sort(reverse=True)
        want.sort(reverse=True)
        # equal energies may be broken differently: the multiset of energies may not
        np.testing.assert_allclose([e for e, _ in got], [e for e, _ in want], atol=1e-9)
        if len({round(e, 9) for e, _ in want}) == len(want) and weight > 0.01:
            assert sorted(p for _, p in got) == sorted(p for _, p in want)


@pytest.mark.parametrize("seed", range(20))
def test_every_node_is_in_exactly_one_path(seed):
    graph = build_graph(*random_video(seed), min_score=0.0, min_overlap=0.1, max_gap=1)
    nodes, lengths = extract_paths(graph, 1.0)
    assert sorted(nodes.tolist()) == list(range(len(graph.rows)))
    assert lengths.sum() == len(nodes)
    for path in np.split(nodes, np.cumsum(lengths)[:-1]):
        assert (np.diff(graph.frames[path]) > 0).all()
        assert len(set(graph.classes[path].tolist())) <= 1


def test_no_boxes_no_paths():
    graph = build_graph(
        np.zeros(0, dtype=np.int64),
        np.zeros((0, 4)),
        np.zeros((0, 3)),
        min_score=0.0,
        min_overlap=0.1,
        max_gap=5,
    )
    nodes, lengths = extract_paths(graph, 1.0)
    assert len(nodes) == len(lengths) == 0
