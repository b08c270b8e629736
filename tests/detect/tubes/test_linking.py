import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stadet.detect.detections.detection_set import VideoDetections
from stadet.detect.tubes.linking import LinkOptions, link_video

ANY_LENGTH = LinkOptions(min_length=1)
BOX = np.array([10.0, 10.0, 50.0, 90.0])


def detections(frames, boxes, scores):
    count = len(frames)
    order = np.argsort(frames, kind="stable")
    return VideoDetections(
        "v",
        np.asarray(frames, dtype=np.int64)[order],
        np.asarray(boxes, dtype=np.float64).reshape(-1, 4)[order],
        np.full(count, np.nan),
        np.asarray(scores, dtype=np.float64).reshape(
            count, np.shape(scores)[1] if np.ndim(scores) == 2 else 1
        )[order],
        np.array([[0, 1000]]),
    )


def random_detections(seed, num_classes=3):
    rng = np.random.default_rng(seed)
    frames = np.sort(rng.integers(0, 12, 30))
    corner = rng.uniform(0, 40, (30, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(20, 40, (30, 2))], axis=1)
    return frames, boxes, rng.random((30, num_classes)) * (rng.random((30, num_classes)) < 0.7)


def same(a, b, atol=0.0):
    assert [(t.start, t.label) for t in a] == [(t.start, t.label) for t in b]
    for x, y in zip(a, b, strict=True):
        np.testing.assert_allclose(x.boxes, y.boxes, atol=atol)
        assert x.score == pytest.approx(y.score, abs=1e-12)


def test_one_actor_is_one_tube():
    frames = np.arange(5, 25)
    boxes = BOX + frames[:, None]
    (tube,) = link_video(detections(frames, boxes, np.full(20, 0.8)), ANY_LENGTH)
    assert (tube.start, tube.stop, tube.label) == (5, 25, 0)
    assert tube.score == pytest.approx(0.8)
    np.testing.assert_array_equal(tube.boxes, boxes)


def test_no_detections_no_tubes():
    assert link_video(detections([], [], np.zeros((0, 3)))) == []


def test_a_short_gap_is_bridged_with_linear_boxes_and_a_long_one_is_not():
    frames = np.array([0, 1, 2, 6, 7])
    boxes = BOX + frames[:, None] * 2.0
    scores = np.full(5, 0.9)
    (tube,) = link_video(detections(frames, boxes, scores), LinkOptions(min_length=1, max_gap=3))
    np.testing.assert_allclose(tube.boxes, BOX + np.arange(8)[:, None] * 2.0)
    assert tube.score == pytest.approx(0.9 * 5 / 8)  # the three bridged frames count 0
    assert (
        len(link_video(detections(frames, boxes, scores), LinkOptions(min_length=1, max_gap=2)))
        == 2
    )


def test_two_actors_of_one_class_are_two_tubes_and_two_classes_of_one_actor_too():
    frames = np.repeat(np.arange(10), 2)
    boxes = np.tile([BOX, BOX + 200], (10, 1))
    tubes = link_video(detections(frames, boxes, np.full(20, 0.7)), ANY_LENGTH)
    assert sorted(tube.boxes[0, 0] for tube in tubes) == [10, 210]
    both = link_video(detections(np.arange(10), np.tile(BOX, (10, 1)), np.full((10, 2), 0.7)))
    assert [tube.label for tube in both] == [0, 1]


def test_a_path_is_trimmed_to_the_action():
    scores = np.concatenate([np.full(20, 0.05), np.full(30, 0.9), np.full(20, 0.05)])
    video = detections(np.arange(70), np.tile(BOX, (70, 1)), scores)
    (tube,) = link_video(video)
    assert (tube.start, tube.stop) == (20, 50)
    (whole,) = link_video(video, LinkOptions(min_length=1, switch_cost=None))
    assert (whole.start, whole.stop) == (0, 70)


def test_weak_boxes_short_tubes_and_double_tubes_are_dropped():
    weak = detections(np.arange(4), np.tile(BOX, (4, 1)), np.full(4, 0.05))
    assert link_video(weak, LinkOptions(min_length=1, min_score=0.1)) == []
    assert len(link_video(weak, LinkOptions(min_length=4))) == 1
    assert link_video(weak, LinkOptions(min_length=5)) == []
    frames = np.repeat(np.arange(10), 2)
    doubled = detections(frames, np.tile([BOX, BOX + 2], (10, 1)), np.tile([0.9, 0.5], 10))
    assert len(link_video(doubled)) == 1
    assert len(link_video(doubled, LinkOptions(min_length=1, max_tube_overlap=1.0))) == 2


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.randoms(use_true_random=False))
def test_order_of_boxes_in_a_frame_does_not_matter(seed, random):
    frames, boxes, scores = random_detections(seed)
    order = list(range(30))
    random.shuffle(order)
    same(
        link_video(detections(frames, boxes, scores), ANY_LENGTH),
        link_video(detections(frames[order], boxes[order], scores[order]), ANY_LENGTH),
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.permutations(range(3)))
def test_permuted_classes_permute_the_tubes(seed, permutation):
    frames, boxes, scores = random_detections(seed)
    straight = link_video(detections(frames, boxes, scores), ANY_LENGTH)
    permuted = link_video(detections(frames, boxes, scores[:, permutation]), ANY_LENGTH)
    for label, source in enumerate(permutation):
        a = [t for t in straight if t.label == source]
        b = [t for t in permuted if t.label == label]
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert (x.start, x.score) == (y.start, y.score)
            np.testing.assert_array_equal(x.boxes, y.boxes)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.25, 2.0, 4.0]))  # exact in binary
def test_scale_of_the_image_does_not_matter(seed, scale):
    frames, boxes, scores = random_detections(seed)
    straight = link_video(detections(frames, boxes, scores), ANY_LENGTH)
    scaled = link_video(detections(frames, boxes * scale, scores), ANY_LENGTH)
    assert [(t.start, t.label, t.score) for t in straight] == [
        (t.start, t.label, t.score) for t in scaled
    ]
    for a, b in zip(straight, scaled, strict=True):
        np.testing.assert_allclose(a.boxes * scale, b.boxes)


def test_videos_far_apart_in_time_are_linked_alike():
    frames, boxes, scores = random_detections(1)
    early, late = (link_video(detections(frames + s, boxes, scores), ANY_LENGTH) for s in (0, 500))
    assert [t.start + 500 for t in early] == [t.start for t in late]
