"""Cutting by class against a search through every labelling."""

from itertools import pairwise, product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stadet.detect.tubes.segments import cut_by_class


def worth(labels, scores, background, cost):
    gains = [background if c == scores.shape[1] else scores[t, c] for t, c in enumerate(labels)]
    return sum(gains) - cost * sum(a != b for a, b in pairwise(labels))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), length=st.integers(1, 6), cost=st.sampled_from([0.0, 0.4, 2.0]))
def test_no_labelling_is_worth_more(seed, length, cost):
    scores = np.random.default_rng(seed).uniform(0, 1, (length, 2))
    found = np.full(length, 2)
    for first, stop, label in cut_by_class(scores, 0.5, cost):
        found[first:stop] = label
    best = max(worth(labels, scores, 0.5, cost) for labels in product(range(3), repeat=length))
    assert abs(worth(found.tolist(), scores, 0.5, cost) - best) < 1e-9


def test_a_flicker_does_not_cut_and_a_change_does():
    scores = np.full((30, 2), 0.05)
    scores[3:15, 0], scores[15:25, 1] = 0.9, 0.9
    scores[8] = [0.1, 0.8]  # one frame
    assert cut_by_class(scores, 0.2, 0.4) == [(3, 15, 0), (15, 25, 1)]
    assert cut_by_class(np.zeros((0, 2)), 0.2, 1.0) == []
