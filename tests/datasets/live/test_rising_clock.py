"""Clocks of sources that jump, fall back and stand still."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stadet.datasets.live.rising_clock import RisingClock


def run(seconds, elapsed=0.0):
    clock = RisingClock()
    return [clock.update(s, elapsed) for s in seconds]


def test_a_rising_clock_is_left_as_it_is():
    steps = [0.0, 0.04, 0.08, 60.0, 60.04]
    assert run(steps, elapsed=7.0) == steps


def test_a_clock_set_back_goes_on_from_where_it_was():
    hour = [3600 + f / 10 for f in range(5)]
    again = [f / 10 for f in range(5)]
    np.testing.assert_allclose(run([*hour, *again]), 3600 + np.arange(10) / 10)
    # of a camera that was silent for 3 s meanwhile
    clock = RisingClock()
    before = [clock.update(s, 0.1) for s in hour]
    assert clock.update(0.0, 3.0) == pytest.approx(before[-1] + 3.0)
    assert clock.update(0.1, 0.1) == pytest.approx(before[-1] + 3.1)


def test_frames_out_of_order_catch_up():
    found = run([0.0, 0.1, 0.3, 0.2, 0.4])
    np.testing.assert_allclose(found, [0.0, 0.1, 0.3, 0.301, 0.4])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20), st.floats(0, 30))
def test_it_always_rises(seconds, elapsed):
    assert (np.diff(run(seconds, elapsed)) > 0).all()
