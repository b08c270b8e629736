import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stadet.datasets.clips.streams import coverage, stream_spans
from tests.datasets.small_truth import annotation_set, video

FLAGS = st.lists(st.booleans(), min_size=1, max_size=40)


def spans(looked_at, visible=None, lead_in=None):
    looked_at = np.array(looked_at, dtype=bool)
    visible = np.ones_like(looked_at) if visible is None else np.array(visible, dtype=bool)
    return stream_spans(video("a", looked_at, {}), visible, lead_in)


@pytest.mark.parametrize(
    ("looked_at", "visible", "lead_in", "expected"),
    [
        ([0, 0, 1, 0, 0, 1, 0], None, None, [(0, 6)]),  # through frames nobody looked at
        ([0, 0, 1, 0, 0, 1, 0], [1, 1, 1, 1, 0, 1, 1], None, [(0, 3), (5, 6)]),  # a border
        ([0, 0, 1, 0, 0, 1, 0], [0, 1, 1, 0, 1, 1, 1], None, [(1, 3), (4, 6)]),
        ([0, 0, 1, 0, 0, 1, 0], None, 0.04, [(1, 3), (4, 6)]),  # a frame at 25 a second
        ([0, 0, 1, 0, 0, 1, 0], None, 0.08, [(0, 6)]),
        ([0, 0, 1, 0, 0, 1, 0], None, 0.0, [(2, 3), (5, 6)]),
        ([0, 0, 0], None, None, []),
        ([1, 1, 1], [0, 0, 0], None, [(0, 3)]),
    ],
)
def test_as_a_table(looked_at, visible, lead_in, expected):
    assert spans(looked_at, visible, lead_in) == expected


@given(FLAGS, st.data(), st.one_of(st.none(), st.integers(0, 12)))
def test_against_walking_frame_by_frame(looked_at, data, lead):
    visible = data.draw(st.lists(st.booleans(), min_size=len(looked_at), max_size=len(looked_at)))
    shown = [False] * len(looked_at)
    for key in np.flatnonzero(looked_at):
        back = key
        while back >= 0 and (visible[back] or looked_at[back]):
            if lead is None or key - back <= lead:
                shown[back] = True
            back -= 1
    walked = {frame for frame, flag in enumerate(shown) if flag}
    found = spans(looked_at, visible, None if lead is None else lead / 25)
    assert {frame for start, stop in found for frame in range(start, stop)} == walked
    for (_, stop), (start, _) in itertools.pairwise(found):
        assert stop < start or not (visible[stop] or looked_at[stop]) or lead is not None


def test_coverage_counts_and_says():
    a = video("a", [0, 1, 1, 0, 0, 1, 0, 0], {1: 0})
    b = video("b", [1, 0], {0: 1})
    visible = {"a": np.array([1, 1, 1, 1, 0, 1, 1, 1], bool), "b": np.ones(2, bool)}
    found = coverage(annotation_set(a, b), visible)
    assert (found.frames, found.looked_at) == (9, 4)
    assert found.stretches == (2, 1, 1) and found.streams == (3, 1, 1)
    assert str(found) == (
        "4 of 9 frames looked at (44 %) in 3 stretches of 1 to 2 frames (median 1); detectors with "
        "memory run through 5 frames in 3 streams of 1 to 3 frames (median 1)"
    )
    assert "1 stretch of 1 frames" in str(coverage(annotation_set(b), visible))
