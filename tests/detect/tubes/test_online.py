import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stadet.detect.detections.detection_set import VideoDetections
from stadet.detect.structures import Detections
from stadet.detect.tubes.linking import LinkOptions, link_video
from stadet.detect.tubes.online import OnlineLinker, link_video_online

BOX = np.array([10.0, 10.0, 50.0, 90.0])
SHORT = LinkOptions(min_length=1, max_gap=2)


def at(*boxes_and_scores):
    boxes = np.array([box for box, _ in boxes_and_scores]).reshape(-1, 4)
    scores = np.array([np.atleast_1d(s) for _, s in boxes_and_scores], dtype=float)
    scores = scores.reshape(len(boxes), -1) if len(boxes) else np.zeros((0, 1))
    return Detections(boxes, np.full(len(boxes), np.nan), scores)


def test_a_tube_is_born_lives_over_a_gap_and_ends():
    linker = OnlineLinker(SHORT)
    assert linker.update(0, at((BOX, 0.8))) == []
    assert linker.update(1, at()) == []
    assert linker.update(3, at((BOX + 3, 0.4))) == []  # frame 2 left out, as missed
    (live,) = linker.live
    assert (live.id, live.label, live.last_frame) == (0, 0, 3)
    assert linker.update(6, at()) == []
    (tube,) = linker.update(7, at((BOX + 100, 0.9)))
    assert (tube.start, tube.stop) == (0, 4)
    np.testing.assert_allclose(tube.boxes, BOX + np.arange(4)[:, None])
    assert tube.score == pytest.approx(1.2 / 4)
    (rest,) = linker.finish()
    assert (rest.start, rest.stop) == (7, 8)
    assert linker.live == [] and linker.finish() == []


def test_the_better_tube_chooses_first():
    linker = OnlineLinker(SHORT)
    linker.update(0, at((BOX, 0.9), (BOX + 5, 0.3)))
    linker.update(1, at((BOX + 2, 0.8)))
    strong, weak = sorted(linker.finish(), key=lambda tube: -tube.score)
    assert len(strong) == 2 and len(weak) == 1
    np.testing.assert_array_equal(strong.boxes[0], BOX)


def test_classes_do_not_mix():
    linker = OnlineLinker(SHORT)
    for frame in range(4):
        linker.update(frame, at((BOX, [0.5, 0.0 if frame % 2 else 0.6])))
    tubes = linker.finish()
    assert sorted((t.label, len(t)) for t in tubes) == [(0, 4), (1, 3)]


def test_memory_is_bounded():
    rng = np.random.default_rng(0)
    linker = OnlineLinker(LinkOptions(max_gap=50, min_length=1), max_live=4, max_length=10)
    lengths = []
    for frame in range(200):
        corners = rng.uniform(0, 5000, (10, 2))
        boxes = np.concatenate([[BOX], np.concatenate([corners, corners + 5], axis=1)])
        scores = np.concatenate([[1.0], rng.uniform(0, 0.9, 10)])[:, None]
        lengths += map(len, linker.update(frame, Detections(boxes, np.full(11, np.nan), scores)))
        assert len(linker.live) <= 4
    assert max(lengths) == 10  # the box that never leaves is cut


def test_short_and_weak_tubes_are_dropped():
    linker = OnlineLinker(LinkOptions(min_length=3, min_score=0.2))
    for frame in range(2):
        linker.update(frame, at((BOX, 0.9), (BOX + 200, 0.1)))
    assert len(linker.live) == 1
    assert linker.finish() == []


def test_frames_must_rise():
    linker = OnlineLinker()
    linker.update(5, at())
    with pytest.raises(ValueError, match="after 5, found 5"):
        linker.update(5, at())


def video_of(seed, order=None):
    rng = np.random.default_rng(seed)
    frames = np.repeat(np.arange(15), 3)
    walk = rng.normal(0, 1, (15, 3, 2)).cumsum(axis=0) + rng.uniform(0, 80, (3, 2))
    corner = walk.reshape(-1, 2)
    boxes = np.concatenate([corner, corner + 30], axis=1)
    scores = rng.random((45, 2))
    if order is not None:
        frames, boxes, scores = frames[order], boxes[order], scores[order]
        again = np.argsort(frames, kind="stable")
        frames, boxes, scores = frames[again], boxes[again], scores[again]
    return VideoDetections("v", frames, boxes, np.full(45, np.nan), scores, np.array([[0, 14]]))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.permutations(range(45)))
def test_order_of_boxes_in_a_frame_does_not_matter(seed, order):
    straight, shuffled = link_video_online(video_of(seed)), link_video_online(video_of(seed, order))
    assert len(straight) == len(shuffled)
    for a, b in zip(straight, shuffled, strict=True):
        assert (a.start, a.label, a.score) == (b.start, b.label, b.score)
        np.testing.assert_array_equal(a.boxes, b.boxes)


def test_equals_offline_where_actors_stay_apart():
    frames = np.repeat(np.arange(12), 2)
    boxes = np.tile([BOX, BOX + 300], (12, 1)) + frames[:, None]
    scores = np.random.default_rng(1).uniform(0.5, 1, (24, 1))
    keep = frames % 5 != 3
    video = VideoDetections(
        "v",
        frames[keep],
        boxes[keep],
        np.full(keep.sum(), np.nan),
        scores[keep],
        np.array([[0, 11]]),
    )
    online, offline = link_video_online(video), link_video(video)
    assert len(online) == len(offline) == 2
    for a, b in zip(online, offline, strict=True):
        assert (a.start, a.label, a.score) == (b.start, b.label, pytest.approx(b.score))
        np.testing.assert_allclose(a.boxes, b.boxes)
