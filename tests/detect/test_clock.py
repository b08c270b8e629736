"""Frames and seconds against a slow scan of the timestamps."""

import numpy as np
import pytest

from stadet.detect.clock import Clock, seconds_in_videos

# 25 frames a second, then pauses of one and two frames: what a phone writes in the dark
TIMES = np.r_[np.arange(21) * 0.04, 0.88, 1.0, 1.08, 1.2]
VARIABLE = Clock(1 / np.diff(TIMES).mean(), TIMES)


def shown_at(second):
    """The last frame that begins at or before a second, by looking at each."""
    return max(f for f, time in enumerate(TIMES) if time <= second + 1e-6)


def nearest_to(second):
    return min(range(len(TIMES)), key=lambda f: (round(abs(TIMES[f] - second), 6), f))


def test_a_constant_rate_counts_frames():
    clock = Clock(30000 / 1001)
    frames = np.arange(0, 3000, 7)
    seconds = clock.seconds(frames)
    np.testing.assert_allclose(seconds, frames * 1001 / 30000)
    assert (clock.frame_at(seconds) == frames).all()
    assert (clock.nearest_frame(seconds) == frames).all()
    assert clock.duration(10, 40) == pytest.approx(1.001)
    assert clock.constant and not VARIABLE.constant


def test_a_variable_rate_follows_its_timestamps():
    assert VARIABLE.seconds(np.arange(25)) == pytest.approx(TIMES)
    for second in np.arange(0, 1.21, 0.011):
        assert VARIABLE.frame_at(second) == shown_at(second)
        assert VARIABLE.nearest_frame(second) == nearest_to(second)
    assert VARIABLE.duration(5, 10) == pytest.approx(0.2)
    assert VARIABLE.duration(20, 23) == pytest.approx(0.28)


def test_the_last_frame_is_shown_for_the_median_distance():
    assert VARIABLE.seconds(25) == pytest.approx(1.24)
    assert VARIABLE.nearest_frame(1.24) == 25
    assert VARIABLE.nearest_frame(-0.04) == -1
    assert VARIABLE.frame_at(99.0) == 24
    assert VARIABLE.frame_at(-1.0) == 0


def test_a_stretch_begins_at_zero():
    part = VARIABLE[20:23]
    assert part.times == pytest.approx([0, 0.08, 0.2])
    assert Clock(25.0)[3:7].constant


@pytest.mark.parametrize(
    ("fps", "times"),
    [(0.0, None), (np.nan, None), (-5.0, None), (1.0, [0, 1, 1]), (1.0, [0, np.inf]), (1.0, [])],
)
def test_a_clock_that_does_not_run_is_refused(fps, times):
    with pytest.raises(ValueError, match="expected"):
        Clock(fps, None if times is None else np.array(times, dtype=float))


def test_frames_of_several_videos():
    video, frames = np.array([1, 0, 1]), np.array([22, 50, 3])
    found = seconds_in_videos([Clock(25.0), VARIABLE], video, frames)
    assert found == pytest.approx([1.0, 2.0, 0.12])
