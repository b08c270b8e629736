"""Every event of a timeline can be seen: marks of a lane do not touch, none leaves the width."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stadet.tools.service.timeline import LEAST_SHARE, axis_ticks, timeline_rows

SECONDS = 60.0
times = st.floats(0, SECONDS)
events = st.lists(
    st.builds(
        lambda name, a, b: {"class": name, "start": min(a, b), "end": max(a, b), "score": 0.5},
        st.sampled_from(["take", "put", "wipe"]),
        times,
        times,
    ),
    max_size=30,
)


@given(events)
def test_no_event_hides_another(found):
    rows = timeline_rows(found, SECONDS)
    assert sorted(row.name for row in rows) == sorted({event["class"] for event in found})
    shown = [mark.event for row in rows for mark in row.marks]
    assert sorted(map(id, shown)) == sorted(map(id, found))
    for row in rows:
        assert {mark.lane for mark in row.marks} == set(range(row.lanes))
        drawn = [
            (mark.lane, mark.left, mark.left + max(mark.width, 100 * LEAST_SHARE))
            for mark in row.marks
        ]
        for lane, left, right in drawn:
            assert left >= 0 and right <= 100.01
            others = [o for o in drawn if o[0] == lane and o != (lane, left, right)]
            assert all(right <= start + 0.01 or end <= left + 0.01 for _, start, end in others)


def test_places_are_shares_of_the_whole_video():
    (row,) = timeline_rows([{"class": "take", "start": 15.0, "end": 30.0, "score": 1}], SECONDS)
    (mark,) = row.marks
    assert (mark.left, mark.width, mark.lane) == (25.0, 25.0, 0)


def test_as_many_lanes_as_overlap_and_no_more():
    spans = [(0, 20), (10, 30), (21, 40), (31, 50)]
    found = [{"class": "take", "start": a, "end": b, "score": 1} for a, b in spans]
    (row,) = timeline_rows(found, SECONDS)
    assert row.lanes == 2 and [mark.lane for mark in row.marks] == [0, 1, 0, 1]


@pytest.mark.parametrize("seconds", [0.1, 1.0, 2.4, 61.0, 3599.0, 200_000.0])
def test_a_handful_of_ticks(seconds):
    ticks = axis_ticks(seconds)
    assert 2 <= len(ticks) <= 7 and ticks[0] == 0 and ticks[-1] <= seconds
