"""Frames put together are the frames that were put in."""

import numpy as np
import pytest

from stadet.detect.detections.collect import collect_detections
from stadet.detect.structures import Detections

NAMES = ("a", "b")


def frame(number, count, video="v", **fields):
    rng = np.random.default_rng(number)
    return Detections(
        rng.random((count, 4)),
        rng.random(count),
        rng.random((count, 2)),
        NAMES,
        video,
        number,
        **fields,
    )


def test_every_frame_comes_back():
    parts = [frame(4, 2), frame(0, 3), frame(1, 0), frame(2, 1, video="w")]
    found = collect_detections(parts)
    assert found.names == NAMES and len(found) == 6 and set(found.videos) == {"v", "w"}
    assert found.videos["v"].processed.tolist() == [[0, 1], [4, 4]]
    assert found.videos["v"][3] is None and found.videos["v"].clock is None
    for part in parts:
        again = found.videos[part.video][part.frame]
        for key in ("boxes", "objectness", "scores"):
            np.testing.assert_array_equal(getattr(again, key), getattr(part, key))


@pytest.mark.parametrize(
    ("frames", "seconds", "fps", "times"),
    [
        ([0, 1, 2, 3], [5, 5.04, 5.08, 5.12], 25, None),
        ([3, 5, 9], [0.3, 0.5, 0.9], 10, None),  # frames left out of an even rate
        ([0, 1, 2], [0, 0.1, 0.3], 2 / 0.3, [0, 0.1, 0.3]),
    ],
)
def test_times_are_told_by_the_detections(frames, seconds, fps, times):
    parts = [frame(f, 1, seconds=s) for f, s in zip(frames, seconds, strict=True)]
    clock = collect_detections(parts).videos["v"].clock
    assert clock.fps == pytest.approx(fps)
    if times is None:
        assert clock.constant
    else:
        np.testing.assert_allclose(clock.times, times)


@pytest.mark.parametrize(
    ("frames", "seconds"),
    [([0], [1]), ([0, 1], [0, None]), ([0, 1], [1, 1]), ([0, 1, 3], [0, 0.1, 0.9])],
)
def test_times_that_do_not_tell_make_no_clock(frames, seconds):
    parts = [frame(f, 1, seconds=s) for f, s in zip(frames, seconds, strict=True)]
    assert collect_detections(parts).videos["v"].clock is None


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([frame(1, 1), frame(1, 2)], "v: expected each frame once, found frame 1 twice"),
        ([Detections.empty(2, NAMES)], "expected detections with a frame"),
        ([frame(1, 1), Detections.empty(3)], "expected detections with a frame"),
        (
            [frame(0, 1), Detections(np.zeros((0, 4)), np.zeros(0), np.zeros((0, 3)), frame=1)],
            "of the",
        ),
        ([], "expected names of the classes"),
    ],
)
def test_what_does_not_fit_together_is_refused(parts, message):
    with pytest.raises(ValueError, match=message):
        collect_detections(parts)


def test_nothing_found_is_a_set_with_names():
    assert collect_detections([], NAMES).names == NAMES
