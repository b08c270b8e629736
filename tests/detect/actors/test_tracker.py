"""Ids of actors: what they survive, what they may not depend on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stadet.detect.actors.methods import METHODS
from stadet.detect.actors.offline import find_actors
from stadet.detect.actors.tracker import ActorOptions, ActorTracker
from stadet.detect.clock import Clock
from stadet.detect.detections.detection_set import VideoDetections
from stadet.detect.structures import NO_TRACK, Detections
from stadet.engine.errors import UserError

FPS = 15.0
every_method = pytest.mark.parametrize("method", METHODS)


@pytest.fixture(autouse=True)
def package():
    pytest.importorskip("trackers")


def at(*boxes_and_scores):
    boxes = np.array([box for box, _ in boxes_and_scores], dtype=float).reshape(-1, 4)
    scores = np.array([s for _, s in boxes_and_scores], dtype=float).reshape(-1, 2)
    return Detections(boxes, np.full(len(boxes), np.nan), scores)


def hand(frame, y=20.0, speed=2.0):
    x = 30 + speed * frame
    return [x, y, x + 40, y + 50]


def told(frames, options=None, fps=FPS):
    """Ids by frame of {frame: Detections}."""
    tracker = ActorTracker(options, fps=fps)
    return {frame: tracker.update(frame / fps, found) for frame, found in frames.items()}


@every_method
def test_an_actor_keeps_its_id_when_its_class_changes(method):
    frames = {f: at((hand(f), (0.9, 0) if f < 15 else (0, 0.8))) for f in range(40)}
    ids = told(frames, ActorOptions(method))
    assert {int(ids[f][0]) for f in range(1, 40)} == {0}


@every_method
def test_boxes_of_several_classes_at_one_place_are_one_actor(method):
    frames = {f: at((hand(f), (0.9, 0)), (hand(f + 1), (0, 0.4))) for f in range(10)}
    ids = told(frames, ActorOptions(method))
    assert all(ids[f].tolist() == [0, 0] for f in range(1, 10))


@every_method
def test_an_occlusion_of_half_a_second_is_survived_and_a_long_one_is_not(method):
    def ids_after(seconds):
        gap = round(seconds * FPS)
        frames = {f: at((hand(f, speed=0.5), (0.9, 0))) for f in range(20)}
        frames |= {f: at() for f in range(20, 20 + gap)}
        frames |= {f: at((hand(f, speed=0.5), (0, 0.9))) for f in range(20 + gap, 40 + gap)}
        return told(frames, ActorOptions(method, max_gap=1.0))[39 + gap].tolist()

    assert ids_after(0.5) == [0]
    assert ids_after(2.0) == [1]


def test_a_moving_hand_is_found_again_behind_something():
    """By its motion: its boxes before and after do not overlap."""
    frames = {f: at((hand(f, speed=6), (0.9, 0))) for f in range(15)}
    frames |= {f: at((hand(f, speed=6), (0.9, 0))) for f in range(23, 40)}
    assert hand(14, speed=6)[2] < hand(23, speed=6)[0]
    ids = told(frames)
    assert ids[39].tolist() == [0]


@every_method
def test_two_actors_have_two_ids(method):
    frames = {f: at((hand(f), (0.9, 0)), (hand(f, y=150), (0.8, 0))) for f in range(10)}
    ids = told(frames, ActorOptions(method))[9].tolist()
    assert sorted(ids) == [0, 1]


@every_method
def test_empty_frames_and_weak_boxes_are_nobodys(method):
    frames = {0: at(), 1: at((hand(1), (0.05, 0))), 2: at((hand(2), (0.05, 0))), 3: at()}
    ids = told(frames, ActorOptions(method))
    assert [own.tolist() for own in ids.values()] == [[], [NO_TRACK], [NO_TRACK], []]


@every_method
def test_a_cut_begins_anew_and_ids_are_not_given_twice(method):
    tracker = ActorTracker(ActorOptions(method), fps=FPS)
    before = [tracker.update(f / FPS, at((hand(f), (0.9, 0)))).tolist() for f in range(5)]
    tracker.reset()
    after = [tracker.update(f / FPS, at((hand(f), (0.9, 0)))).tolist() for f in range(5, 10)]
    assert before[-1] == [0] and after[-1] == [1]


@every_method
@pytest.mark.parametrize("jump", [-3.0, 10.0])
def test_a_clock_that_jumps_begins_anew(method, jump):
    tracker = ActorTracker(ActorOptions(method), fps=FPS)
    for f in range(5):
        tracker.update(f / FPS, at((hand(f), (0.9, 0))))
    for f in range(5, 8):
        ids = tracker.update(f / FPS + jump, at((hand(f), (0.9, 0))))
    assert ids.tolist() == [1]


@every_method
@pytest.mark.parametrize("pause, own", [(0.8, 0), (1.3, 1)])
def test_ids_last_for_max_gap_seconds_without_a_frame(method, pause, own):
    tracker = ActorTracker(ActorOptions(method, max_gap=1.0), fps=FPS)
    standing = at((hand(0), (0.9, 0)))
    for f in range(10):
        tracker.update(f / FPS, standing)
    for f in range(10, 13):
        ids = tracker.update(f / FPS + pause, standing)
    assert ids.tolist() == [own]


def random_video(seed, order=None):
    """Three walkers of two classes, doubled, dropped, and some noise; `order` shuffles."""
    rng = np.random.default_rng(seed)
    rows = []
    corner = rng.uniform(0, 200, (3, 2))
    speed = rng.normal(0, 3, (3, 2))
    for f in range(40):
        corner = corner + speed
        for place in corner[rng.random(3) < 0.85]:
            for _ in range(rng.integers(1, 3)):
                low = place + rng.normal(0, 2, 2)
                scores = np.zeros(2)
                scores[rng.integers(2)] = rng.uniform(0.2, 1)
                rows.append((f, [*low, *(low + np.array([40, 60]))], scores))
        if rng.random() < 0.3:
            low = rng.uniform(0, 250, 2)
            rows.append((f, [*low, *(low + 30)], np.array([rng.uniform(0.05, 0.5), 0])))
    frames = np.array([row[0] for row in rows])
    order = np.arange(len(rows)) if order is None else order(frames)
    return VideoDetections(
        "v",
        frames[order],
        np.array([rows[i][1] for i in order]),
        np.full(len(rows), np.nan),
        np.array([rows[i][2] for i in order]),
        np.array([[0, 39]]),
        Clock(FPS),
    )


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(METHODS))
def test_the_order_of_boxes_in_a_frame_does_not_matter(seed, method):
    rng = np.random.default_rng(seed + 1)
    order = None

    def shuffled(frames):
        nonlocal order
        order = np.lexsort((rng.random(len(frames)), frames))
        return order

    options = ActorOptions(method)
    straight = find_actors(random_video(seed), options)
    mixed = find_actors(random_video(seed, shuffled), options)
    assert mixed.actor_ids.tolist() == straight.actor_ids[order].tolist()


@every_method
def test_offline_is_what_a_stream_is_told_and_no_frame_looks_ahead(method):
    video = random_video(7)
    whole = find_actors(video, ActorOptions(method)).actor_ids
    assert len(set(whole.tolist())) > 2
    tracker = ActorTracker(ActorOptions(method), fps=FPS)
    live = [tracker.update(f / FPS, video[f]) for f in range(40)]
    assert np.concatenate(live).tolist() == whole.tolist()
    early = np.searchsorted(video.frames, 20)
    part = VideoDetections(
        "v",
        video.frames[:early],
        video.boxes[:early],
        video.objectness[:early],
        video.scores[:early],
        np.array([[0, 19]]),
        Clock(FPS),
    )
    assert find_actors(part, ActorOptions(method)).actor_ids.tolist() == whole[:early].tolist()


def test_an_id_is_on_one_place_of_a_frame():
    video = random_video(3)
    ids = find_actors(video).actor_ids
    for frame in range(40):
        rows = np.flatnonzero((video.frames == frame) & (ids != NO_TRACK))
        for own in np.unique(ids[rows]):
            boxes = video.boxes[rows[ids[rows] == own]]
            assert np.ptp(boxes, axis=0).max() < 30  # jitter of doubled boxes only


def test_known_ids_are_forgotten():
    tracker = ActorTracker(ActorOptions(max_gap=0.5), fps=FPS)
    for f in range(2000):
        tracker.update(f / FPS, at((hand(f % 10, y=100.0 * (f // 10 % 7)), (0.9, 0))))
    assert len(tracker._known) < 10 and tracker._next > 100


def test_bad_input():
    with pytest.raises(UserError, match=r"expected one of cbiou, bytetrack, tubes, found 'sort'"):
        ActorOptions("sort")
    with pytest.raises(UserError, match="max_gap: expected at least 0"):
        ActorOptions(max_gap=-1)
    with pytest.raises(UserError, match="frames a second above 0, found 0"):
        ActorTracker(fps=0)
    with pytest.raises(ValueError, match="seconds of the frame"):
        ActorTracker().update(float("nan"), at())
    video = random_video(0)
    nowhere = VideoDetections(
        "v", video.frames, video.boxes, video.objectness, video.scores, video.processed
    )
    with pytest.raises(UserError, match=r"v: expected its frames a second.*--fps"):
        find_actors(nowhere)
    assert (find_actors(nowhere, clock=Clock(FPS)).actor_ids >= 0).any()


def test_a_missing_package_is_told(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "trackers", None)
    with pytest.raises(UserError, match=r"pip install 'stadet\[actors\]', or choose tubes"):
        ActorTracker()
    ActorTracker(ActorOptions("tubes"))
