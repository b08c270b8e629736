"""Resampling against hand-made ticks and a slow scan over the frames."""

import numpy as np
import pytest

from stadet.datasets.clips.resample import (
    HOLD_SECONDS,
    LiveResampler,
    clip_by_time,
    resample,
    resampled_annotations,
    same_rate,
)
from stadet.detect.clock import Clock
from stadet.detect.structures import VideoAnnotations


def variable(*gaps):
    times = np.cumsum([0, *gaps]).astype(float)
    return Clock(len(gaps) / times[-1], times)


def test_half_of_the_frames_at_half_the_rate():
    stream = resample(Clock(30.0), 7, 15)
    assert stream.shown.tolist() == [0, 2, 4, 6]
    assert stream.ticks.tolist() == [0, 0, 1, 1, 2, 2, 3]
    assert [list(stream.frames_of(tick)) for tick in range(4)] == [[0, 1], [2, 3], [4, 5], [6]]


def test_frames_stand_still_at_a_higher_rate():
    stream = resample(Clock(10.0), 4, 20)
    assert stream.shown.tolist() == [0, 0, 1, 1, 2, 2, 3]
    assert stream.ticks.tolist() == [0, 2, 4, 6]
    assert list(stream.frames_of(1)) == []


@pytest.mark.parametrize("rate", [15.0, 15000 / 1001, 14.8])
def test_the_rate_of_training_is_left_alone(rate):
    assert same_rate(Clock(rate), 15.0)
    stream = resample(Clock(15.0), 40, 15.0)
    assert (stream.shown == np.arange(40)).all()
    assert (stream.ticks == np.arange(40)).all()


@pytest.mark.parametrize("clock", [Clock(15.5), Clock(30.0), variable(*[1 / 15] * 9, 0.07)])
def test_other_rates_and_uneven_frames_are_not(clock):
    assert not same_rate(clock, 15.0)


def test_jitter_and_rounded_timestamps_move_no_frame():
    rng = np.random.default_rng(0)
    even = np.arange(300) / 30
    for times in (np.round(even, 3), even + rng.uniform(0, 0.005, 300)):
        stream = resample(Clock(30.0, times - times[0]), 300, 15.0)
        assert stream.shown.tolist() == list(range(0, 300, 2))


def test_every_frame_has_the_answer_of_a_frame_at_or_before_it_less_than_a_tick_away():
    rng = np.random.default_rng(1)
    clock = variable(*rng.choice([1 / 60, 1 / 30, 1 / 10], 400))
    stream = resample(clock, 401, 15.0)
    shown = stream.shown[stream.ticks]
    assert (shown <= np.arange(401)).all()
    assert (clock.times - clock.times[shown] < 1 / 15).all()
    # ticks follow the clock: the frame of tick k begins from 0.3 of a tick before k / 15 s on
    for tick in np.unique(stream.ticks):
        within = clock.times[stream.shown[tick]] * 15 - tick
        assert -0.3 - 1e-9 <= within < 0.7


def test_a_long_pause_is_shortened():
    stream = resample(variable(0.1, 3600.0, 0.1), 4, 10.0)
    assert len(stream) == 1 + 1 + HOLD_SECONDS * 10 + 1
    assert stream.shown[1:21].tolist() == [1] * 20
    assert stream.shown[-2:].tolist() == [2, 3]


def test_ticks_prefer_frames_with_truth():
    looked_at = np.array([False, True, False, False, True, True])
    stream = resample(Clock(30.0), 6, 15.0, prefer=looked_at)
    assert stream.shown.tolist() == [1, 2, 4]


def test_truth_follows_the_shown_frames():
    looked_at = np.array([True, True, False, False, False, True, True])
    video = VideoAnnotations.build(
        "a",
        (10, 10),
        30.0,
        looked_at,
        [0, 1, 6, 6],
        np.arange(16).reshape(4, 4),
        np.array([[1, 0], [0, 1], [1, 1], [0, 1]], dtype=bool),
        [5, 6, 7, 8],
    )
    truth = resampled_annotations(video, resample(video.clock, 7, 15.0))
    assert truth.fps == 15.0 and truth.num_frames == 4
    assert truth.looked_at.tolist() == [True, False, True, True]  # frame 5 is in tick 2
    assert truth.frames.tolist() == [0, 3, 3]
    assert truth.track_ids.tolist() == [5, 7, 8]
    assert truth.boxes.tolist() == video.boxes[[0, 2, 3]].tolist()
    twice = resampled_annotations(video, resample(video.clock, 7, 60.0))
    assert twice.track_ids.tolist() == [5, 5, 6, 6, 7, 8]


@pytest.mark.parametrize("window", [1, 3, 100])
@pytest.mark.parametrize("fps", [5.0, 15.0, 24.0])
def test_a_live_stream_is_resampled_as_a_file_is(window, fps):
    rng = np.random.default_rng(2)
    clock = variable(*rng.choice([1 / 60, 1 / 30, 1 / 10], 90))
    expected = resample(clock, 91, fps)
    live = LiveResampler(fps)
    frames = ((i, clock.times[i], np.array([i])) for i in range(91))
    seen = []

    def model():
        """Answers a window of ticks at a time with the frame that each showed."""
        waiting = []
        for tick, image in live.shown(frames):
            seen.append(int(image[0]))
            waiting.append((tick, int(image[0])))
            if len(waiting) == window:
                yield from waiting
                waiting = []
        yield from waiting

    answers = list(live.answers(model()))
    filled = np.isin(np.arange(len(expected)), expected.ticks)
    assert np.array(seen)[filled].tolist() == expected.shown[filled].tolist()
    assert [frame for frame, _ in answers] == list(range(91))
    assert [shown for _, shown in answers] == expected.shown[expected.ticks].tolist()


def test_clips_by_time_take_the_nearest_frames():
    times = np.arange(40) / 30
    assert clip_by_time(times, 4, 1 / 15).tolist() == [33, 35, 37, 39]
    assert clip_by_time(times[:4], 4, 1 / 15).tolist() == [0, 0, 1, 3]
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.uniform(0.01, 0.1, 50))
    wanted = times[-1] - 0.08 * np.arange(7, -1, -1)
    nearest = [int(np.abs(times - second).argmin()) for second in wanted]
    assert clip_by_time(times, 8, 0.08).tolist() == nearest
