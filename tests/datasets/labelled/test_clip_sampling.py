"""The reports' sampling as a table, and what holds for every policy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stadet.datasets.labelled.clip_sampling import (
    SamplingConfig,
    dense,
    evaluation_clips,
    one_clip,
    random_frames,
    slowed,
    strided,
    training_clip,
    uniform_clips,
    uniform_frames,
)
from stadet.engine.errors import UserError

POLICIES = (
    "uniform-frames",
    "dense",
    "one-clip",
    "uniform-clips",
    "strided",
    "random-frames",
    "slowed",
)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        # every fourth frame, to 32 (the hand-washing report)
        (strided(125, 32, 4), list(range(0, 125, 4))),
        (strided(129, 32, 4), list(range(2, 127, 4))),
        (strided(9, 4, 4), [0, 4, 8, 8]),
        (strided(1, 3, 4), [0, 0, 0]),
        # one clip of consecutive frames (the action-recognition report)
        (one_clip(16, 16), list(range(16))),
        (one_clip(20, 16), list(range(2, 18))),
        # five uniform frames (the action-recognition report)
        (uniform_frames(5, 5), [0, 1, 2, 3, 4]),
        (uniform_frames(100, 5), [10, 30, 50, 70, 90]),
        (uniform_frames(3, 5), [0, 0, 1, 2, 2]),
        (uniform_frames(1, 5), [0] * 5),
        # five uniform clips of 16 (the action-recognition report), overlapping below 80 frames
        (uniform_clips(80, 16, 5)[:, 0], [0, 16, 32, 48, 64]),
        (uniform_clips(24, 16, 5)[:, 0], [0, 2, 4, 6, 8]),
        (uniform_clips(16, 16, 5)[:, 0], [0] * 5),
        (uniform_clips(80, 16, 5)[1], list(range(16, 32))),
        # 40 frames, the first ones twice in a shorter video (the hand-gesture thesis)
        (slowed(40, 40), list(range(40))),
        (slowed(44, 40), list(range(2, 42))),
        (slowed(37, 40), [0, 0, 1, 1, 2, 2, *range(3, 37)]),
        (slowed(2, 5), [0, 0, 0, 1, 1]),
        # the whole video, both ends
        (dense(9, 3), [0, 4, 8]),
        (dense(100, 4), [0, 33, 66, 99]),
        (dense(10, 1), [0]),
    ],
)
def test_fixed_clips(found, expected):
    assert found.tolist() == expected
    assert found.dtype == np.int64


def test_random_frames_are_different_and_in_order():
    rng = np.random.default_rng(0)
    for length in (20, 30):
        frames = random_frames(100, length, rng)
        assert len(frames) == length and (np.diff(frames) > 0).all()
    assert random_frames(3, 8, rng).tolist().count(1) in (2, 3)
    drawn = np.concatenate([random_frames(50, 5, rng) for _ in range(2000)])
    counts = np.bincount(drawn, minlength=50)
    assert counts.min() > 130 and counts.max() < 280  # 200 each on average


def test_jitter_stays_within_its_segment():
    rng = np.random.default_rng(1)
    for _ in range(200):
        frames = uniform_frames(100, 5, rng)
        assert (frames // 20).tolist() == [0, 1, 2, 3, 4]


@given(
    st.sampled_from(POLICIES),
    st.integers(1, 200),
    st.integers(1, 40),
    st.integers(1, 6),
    st.integers(1, 4),
    st.integers(0, 5),
)
def test_every_clip_is_in_order_and_inside(policy, num_frames, length, step, clips, seed):
    config = SamplingConfig(policy, length, step, clips, test_clips=clips, pad_short=True)
    rng = np.random.default_rng(seed)
    shown = [
        training_clip(num_frames, config, number, rng) for number in range(config.clips_a_video)
    ]
    fixed = evaluation_clips(num_frames, config)
    assert fixed.shape == (clips, length)
    for frames in [*shown, *fixed]:
        assert frames.shape == (length,)
        assert frames.min() >= 0 and frames.max() < num_frames
        assert (np.diff(frames) >= 0).all()
    np.testing.assert_array_equal(fixed, evaluation_clips(num_frames, config))


@given(st.sampled_from(("one-clip", "uniform-clips", "strided")), st.integers(2, 20))
def test_long_enough_videos_never_repeat_a_frame(policy, length):
    config = SamplingConfig(policy, length, step=3)
    assert config.least_frames == (length - 1) * (3 if policy == "strided" else 1) + 1
    rng = np.random.default_rng(0)
    for frames in [
        training_clip(config.least_frames, config, 0, rng),
        *evaluation_clips(config.least_frames, config),
    ]:
        assert (np.diff(frames) > 0).all()


def test_without_jitter_training_sees_what_evaluation_sees():
    rng = np.random.default_rng(0)
    for policy in POLICIES:
        config = SamplingConfig(policy, 8, jitter=False)
        fixed = evaluation_clips(90, config)
        for number in range(config.clips_a_video):
            np.testing.assert_array_equal(training_clip(90, config, number, rng), fixed[number])


@given(st.integers(2, 60), st.integers(2, 6), st.integers(1, 9), st.floats(1.01, 4), st.data())
def test_speed_varies_the_step_of_training_within_the_video(frames, length, step, speed, data):
    config = SamplingConfig("strided", length, step, speed=speed, pad_short=True)
    seed = data.draw(st.integers(0, 9))
    clip = training_clip(frames, config, 0, np.random.default_rng(seed))
    steps = np.diff(clip)
    if frames > (length - 1) * step:
        (drawn,) = set(steps.tolist())
        assert max(1, round(step / speed)) <= drawn <= max(1, round(step * speed))
    still = SamplingConfig("strided", length, step, pad_short=True)
    np.testing.assert_array_equal(evaluation_clips(frames, config), evaluation_clips(frames, still))


def test_speed_draws_every_step_up_to_its_factor_as_often_faster_as_slower():
    config = SamplingConfig("strided", 2, step=8, speed=2.0)
    rng = np.random.default_rng(0)
    steps = [int(np.diff(training_clip(300, config, 0, rng))[0]) for _ in range(2000)]
    assert set(steps) == set(range(4, 17))
    assert np.mean(np.array(steps) < 8) == pytest.approx(0.45, abs=0.05)  # 8 takes its share
    assert {int(np.diff(training_clip(10, config, 0, rng))[0]) for _ in range(99)} == {
        4,
        5,
        6,
        7,
        8,
        9,
    }


def test_a_speed_below_one_is_refused():
    with pytest.raises(UserError, match=r"sampling.speed: expected a factor from 1 to 10, found 0"):
        SamplingConfig(speed=0.5)


def test_a_count_below_one_is_refused():
    with pytest.raises(UserError, match=r"sampling.frames: expected 1 or more, found 0"):
        SamplingConfig(frames=0)
