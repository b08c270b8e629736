"""Segment mAP, F1@k and edit score against slow programs written from their definitions."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stadet.detect.metrics.temporal import (
    Spans,
    edit_score,
    f1_of_counts,
    match_onsets,
    match_spans,
    segment_map,
    segmental_f1,
    temporal_iou,
)

VIDEOS, CLASSES = 2, 3
SPAN = st.tuples(
    st.integers(0, VIDEOS - 1),
    st.integers(0, CLASSES - 1),
    st.integers(0, 20),
    st.integers(1, 10),
)


def spans(rows, scores=None):
    scores = np.ones(len(rows)) if scores is None else scores
    return [(v, c, float(a), float(a + n), s) for (v, c, a, n), s in zip(rows, scores, strict=True)]


def tiou(one, other):
    shared = max(0.0, min(one[3], other[3]) - max(one[2], other[2]))
    return shared / (max(one[3], other[3]) - min(one[2], other[2])) if shared else 0.0


def slow_map(found, truth, threshold):
    """As ActivityNet's evaluation goes: prediction by prediction, truths by falling overlap."""
    means = []
    for label in sorted({row[1] for row in truth}):
        wanted = [row for row in truth if row[1] == label]
        mine = sorted((row for row in found if row[1] == label), key=lambda row: -row[4])
        taken, right = set(), []
        for row in mine:
            near = [i for i, other in enumerate(wanted) if other[0] == row[0]]
            near = [i for i in near if i not in taken and tiou(row, wanted[i]) >= threshold]
            if near:
                taken.add(max(near, key=lambda i: (tiou(row, wanted[i]), i)))
            right.append(bool(near))
        precision = [sum(right[: k + 1]) / (k + 1) for k in range(len(right))]
        means.append(sum(max(precision[k:]) for k in range(len(right)) if right[k]) / len(wanted))
    return float(np.mean(means))


@settings(max_examples=150, deadline=None)
@given(st.lists(SPAN, max_size=12), st.lists(SPAN, min_size=1, max_size=8), st.randoms())
def test_segment_map_equals_the_slow_program(found, truth, random):
    scores = random.sample(range(100), len(found))
    found, truth = spans(found, np.array(scores) / 100), spans(truth)
    got = segment_map(Spans.build(found), Spans.build(truth), CLASSES, (0.3, 0.5, 0.95))
    for threshold, value in got.items():
        assert value == pytest.approx(slow_map(found, truth, threshold), abs=1e-12)


def test_no_truth_is_not_a_number():
    nothing = Spans.build([])
    assert np.isnan(segment_map(Spans.build([(0, 0, 0, 1, 1)]), nothing, 1)[0.5])
    assert segment_map(nothing, Spans.build([(0, 0, 0, 1, 1)]), 1)[0.5] == 0


def test_one_to_one_and_nearest_onset():
    truth = Spans.build([(0, 0, 10, 14, 1), (0, 0, 20, 24, 1), (0, 1, 10, 14, 1)])
    found = Spans.build([(0, 0, 10.6, 13, 0.9), (0, 0, 9.5, 14, 0.5), (1, 0, 20, 24, 1)])
    assert match_onsets(found, truth, 1.0).truth.tolist() == [0, -1, -1]
    assert match_onsets(found, truth, 0.5).truth.tolist() == [-1, 0, -1]  # exactly 0.5 s counts
    assert match_spans(found, truth, 0.5).truth.tolist() == [0, -1, -1]
    np.testing.assert_allclose(temporal_iou(found.times[:1], truth.times[:1]), [2.4 / 4])


FRAMES = st.lists(st.integers(0, 3), min_size=1, max_size=40)


def segments(frames):
    """Runs of equal labels; 0 is the background."""
    edges = [0, *(i for i in range(1, len(frames)) if frames[i] != frames[i - 1]), len(frames)]
    runs = pairwise(edges)
    return [(frames[a], float(a), float(b)) for a, b in runs if frames[a]]


@settings(max_examples=200, deadline=None)
@given(FRAMES, FRAMES, st.sampled_from([0.1, 0.25, 0.5]))
def test_segmental_f1_equals_counting_frames(found, truth, threshold):
    mine, theirs = segments(found), segments(truth)
    taken, right = set(), 0
    for label, start, stop in mine:
        here = set(range(int(start), int(stop)))
        overlaps = []
        for wanted, first, last in theirs:
            there = set(range(int(first), int(last)))
            overlaps.append(len(here & there) / len(here | there) if wanted == label else 0.0)
        if overlaps and max(overlaps) >= threshold and overlaps.index(max(overlaps)) not in taken:
            taken.add(overlaps.index(max(overlaps)))
            right += 1
    counts = segmental_f1(mine, theirs, threshold)
    assert counts == (right, len(mine) - right, len(theirs) - right)
    if mine == theirs and mine:
        assert f1_of_counts(*counts) == 1


def slow_distance(a, b):
    if not a or not b:
        return len(a) + len(b)
    if a[0] == b[0]:
        return slow_distance(a[1:], b[1:])
    return 1 + min(slow_distance(a[1:], b), slow_distance(a, b[1:]), slow_distance(a[1:], b[1:]))


@given(st.lists(st.integers(0, 2), max_size=6), st.lists(st.integers(0, 2), max_size=6))
def test_edit_score_equals_the_recursion(found, truth):
    longest = max(len(found), len(truth))
    want = 1 - slow_distance(found, truth) / longest if longest else 1.0
    assert edit_score(found, truth) == pytest.approx(want)
