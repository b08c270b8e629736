"""Gaps and lengths in seconds: of an even rate as many frames, of an uneven one by its times."""

import numpy as np
import pytest

from stadet.detect.clock import Clock
from stadet.detect.detections.detection_set import VideoDetections
from stadet.detect.tubes.linking import LinkBounds, LinkOptions, link_video
from stadet.detect.tubes.online import link_video_online

TIMES = np.array([0.0, 0.1, 0.2, 0.9, 1.0, 1.1, 1.15, 1.2, 3.0])


def video(frames):
    """One still box of one class on each of these frames."""
    frames = np.array(frames)
    boxes = np.tile([10.0, 10.0, 30.0, 30.0], (len(frames), 1))
    sure = np.ones((len(frames), 1))
    seen = np.array([[0, int(frames[-1])]])
    return VideoDetections("v", frames, boxes, sure[:, 0], sure, seen)


def spans(tubes):
    return [(tube.start, tube.stop) for tube in tubes]


@pytest.mark.parametrize("link", [link_video, link_video_online])
@pytest.mark.parametrize("fps", [10.0, 25.0, 29.97])
def test_at_an_even_rate_seconds_are_frames(link, fps):
    rng = np.random.default_rng(0)
    for gap, least in ((0, 1), (2, 3), (5, 8)):
        found = video(np.flatnonzero(rng.random(300) < 0.35))
        frames = link(found, LinkOptions(max_gap=gap, min_length=least))
        seconds = LinkOptions(max_gap_seconds=gap / fps, min_seconds=least / fps)
        assert spans(link(found, seconds, Clock(fps))) == spans(frames)
        assert len(frames) > 1


def test_bounds_are_those_of_the_times():
    """Against what the options say, frame by frame."""
    clock = Clock(5.0, TIMES)
    for gap in (0.0, 0.05, 0.1, 0.7, 0.75, 5.0):
        bounds = LinkBounds(LinkOptions(max_gap_seconds=gap, min_seconds=gap), clock)
        frames = np.arange(len(TIMES))
        earliest = bounds.earliest(frames)
        for late in frames:
            for early in range(late):
                between = TIMES[late] - TIMES[early + 1]  # without a box
                assert (early >= earliest[late]) == (between <= gap + 1e-6), (early, late, gap)
            for early in range(late):
                lasting = TIMES[late] - TIMES[early]
                assert bounds.long_enough(early, late - 1) == (lasting >= gap - 1e-6)


@pytest.mark.parametrize("link", [link_video, link_video_online])
def test_at_an_uneven_rate_gaps_end_tubes_by_time(link):
    found, clock = video([0, 1, 3, 4, 5, 8]), Clock(5.0, TIMES)
    options = LinkOptions(max_gap_seconds=0.5, min_seconds=0.0)
    assert spans(link(found, options, clock)) == [(0, 2), (3, 6), (8, 9)]
    assert spans(link(found, LinkOptions(max_gap_seconds=2.0, min_seconds=0.0), clock)) == [(0, 9)]
    least = LinkOptions(max_gap_seconds=0.5, min_seconds=0.22)
    assert spans(link(found, least, clock))[:1] == [(3, 6)]  # .9 to 1.15 s; the first lasts .2 s


def test_seconds_without_a_clock_are_an_error():
    with pytest.raises(ValueError, match="expected the clock"):
        link_video(video([0, 1]), LinkOptions(min_seconds=1.0))
