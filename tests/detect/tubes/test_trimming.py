from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stadet.detect.tubes.trimming import trim


def exhaustive(scores, cost):
    """Best total over all 2^L labellings."""
    count = len(scores)
    peak = np.sort(scores)[::-1][: max(1, count // 4)].mean()
    gains = 2 * np.array(scores) / peak - 1
    return max(
        sum(g for g, acts in zip(gains, labels, strict=True) if acts)
        - cost * sum(a != b for a, b in pairwise(labels))
        for labels in product([False, True], repeat=count)
    ), gains


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.floats(0.01, 1.0), min_size=1, max_size=10), st.sampled_from([0.1, 0.5, 1.0, 3.0])
)
def test_labelling_is_the_best_of_all(scores, cost):
    stretches = trim(np.array(scores), cost)
    best, gains = exhaustive(scores, cost)
    labels = np.zeros(len(scores), dtype=bool)
    for first, stop in stretches:
        labels[first:stop] = True
    total = gains[labels].sum() - cost * np.abs(np.diff(labels.astype(int))).sum()
    if best <= 1e-9:  # all background: left whole
        assert labels.all() or total == pytest.approx(best, abs=1e-9)
    else:
        np.testing.assert_allclose(total, best, atol=1e-9)


def test_quiet_ends_and_a_pause_are_cut_and_a_dip_is_not():
    scores = np.concatenate([np.full(20, 0.05), np.full(30, 0.9), [0.1], np.full(30, 0.9)])
    assert trim(scores, 3.0) == [(20, 81)]
    pause = np.concatenate([np.full(30, 0.9), np.full(20, 0.05), np.full(30, 0.9)])
    assert trim(pause, 3.0) == [(0, 30), (50, 80)]


def test_scale_of_the_scores_does_not_matter():
    scores = np.random.default_rng(0).random(60) ** 3 + 1e-3
    assert trim(scores, 1.0) == trim(scores * 0.03, 1.0)


def test_empty_and_single():
    assert trim(np.zeros(0), 3.0) == []
    assert trim(np.array([0.2]), 3.0) == [(0, 1)]
