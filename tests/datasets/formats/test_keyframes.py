"""Thinning against a search through every choice of keyframes."""

from itertools import combinations, pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stadet.datasets.formats.keyframes import interpolated, keyframes


def restored(boxes, places):
    """Linear interpolation between chosen places, box by box."""
    out = np.empty_like(boxes)
    for first, last in pairwise(places):
        for k in range(first, last + 1):
            share = (k - first) / (last - first)
            out[k] = boxes[first] + (boxes[last] - boxes[first]) * share
    if len(places) == 1:
        out[places[0]] = boxes[places[0]]
    return out


def fewest(boxes, tolerance, fixed):
    """The least number of keyframes, by trying all."""
    inner = [k for k in range(1, len(boxes) - 1) if not fixed[k]]
    must = sorted({0, len(boxes) - 1, *np.flatnonzero(fixed).tolist()})
    for count in range(len(inner) + 1):
        for chosen in combinations(inner, count):
            places = sorted([*must, *chosen])
            if np.abs(restored(boxes, places) - boxes).max() <= tolerance + 1e-9:
                return len(places)
    raise AssertionError("all boxes are keyframes: no error")


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    length=st.integers(1, 10),
    tolerance=st.sampled_from([0.0, 0.5, 2.0, 6.0]),
    share=st.sampled_from([0.0, 0.3]),
)
def test_as_few_as_any_choice_and_within_the_tolerance(seed, length, tolerance, share):
    rng = np.random.default_rng(seed)
    boxes = np.cumsum(rng.integers(-4, 5, (length, 4)), axis=0).astype(float)
    fixed = rng.uniform(size=length) < share
    key = keyframes(boxes, tolerance, fixed)
    places = np.flatnonzero(key).tolist()
    assert key[fixed].all() and key[0] and key[-1]
    assert np.abs(restored(boxes, places) - boxes).max() <= tolerance + 1e-9
    assert len(places) == fewest(boxes, tolerance, fixed)
    np.testing.assert_allclose(interpolated(boxes, key), restored(boxes, places), atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), tolerance=st.sampled_from([0.5, 2.0, 8.0]))
def test_long_runs_stay_within_the_tolerance(seed, tolerance):
    """Longer than what is looked ahead at once."""
    rng = np.random.default_rng(seed)
    boxes = np.cumsum(rng.normal(0, 0.6, (400, 4)), axis=0)
    key = keyframes(boxes, tolerance)
    assert np.abs(interpolated(boxes, key) - boxes).max() <= tolerance + 1e-9
    # any two neighbouring lines in place of which one would do are one
    assert key.sum() < 400


def test_a_long_stop_is_two_keyframes():
    boxes = np.tile([10.0, 20.0, 30.0, 40.0], (5000, 1)) + np.sin(np.arange(5000))[:, None]
    assert np.flatnonzero(keyframes(boxes, 2.0)).tolist() == [0, 4999]
    assert keyframes(np.zeros((0, 4)), 1.0).shape == (0,)
    assert keyframes(np.zeros((1, 4)), 1.0).tolist() == [True]
