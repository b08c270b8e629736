import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stadet.detect.detections.detection_set import DetectionSet, VideoDetections
from stadet.detect.metrics.coco import coco_summary
from stadet.detect.metrics.columns import gather
from stadet.detect.metrics.frame_map import FrameMAP, frame_map
from stadet.detect.structures import AnnotationSet, VideoAnnotations
from stadet.engine.errors import UserError
from tests.detect.metrics.generated import coco_figures, random_problem, slow_voc_ap

PROBLEMS = [
    {},
    {"tied": True},
    {"tied": True, "classes": 1, "videos": 2, "detections": 30, "truths": 12},
    {"whole_pixels": False, "multi_label": True},
    {"unseen": True, "multi_label": True},
    {"truths": 0},
    {"detections": 0},
    {"detections": 130, "frames": 2, "classes": 2, "tied": True, "truths": 20},
    {"classes": 30, "frames": 2},
    {"ignored": 0.3},
    {"ignored": 0.5, "tied": True, "classes": 1, "detections": 30, "truths": 12},
    {"ignored": 1.0, "multi_label": True, "whole_pixels": False},
]


@pytest.mark.parametrize("options", PROBLEMS)
@pytest.mark.parametrize("seed", range(4))
def test_equals_pycocotools(seed, options):
    annotations, detections = random_problem(seed, **options)
    ours = coco_summary(gather(annotations, detections))
    for key, theirs in coco_figures(annotations, detections).items():
        if theirs == -1:
            assert np.isnan(ours[key]), key
        else:
            assert ours[key] == pytest.approx(theirs, abs=1e-9), key
    result = frame_map(annotations, detections, "coco")
    np.testing.assert_equal(result.mean, ours["AP"])
    np.testing.assert_equal(result.mean_at(0.5), ours["AP50"])


@pytest.mark.parametrize("options", [options for options in PROBLEMS if "ignored" not in options])
@pytest.mark.parametrize("protocol", ["voc", "yowo"])
def test_equals_the_slow_obvious_voc(protocol, options):
    annotations, detections = random_problem(5, **options)
    result = frame_map(annotations, detections, protocol, [0.3, 0.5, 0.75])
    for threshold in result.thresholds:
        slow = [
            slow_voc_ap(
                annotations,
                detections,
                label,
                threshold,
                extra=1.0 if protocol == "yowo" else 0.0,
                only_annotated=protocol == "yowo",
            )
            for label in range(len(annotations.names))
        ]
        np.testing.assert_allclose(result.at(threshold), slow, atol=1e-12, rtol=0)


def single_frame(truth_boxes, boxes, scores):
    """One frame, one class."""
    count = len(truth_boxes)
    truth = VideoAnnotations.build(
        "v", (100, 100), 25, [True], np.zeros(count), truth_boxes, np.ones((count, 1))
    )
    found = VideoDetections(
        "v",
        np.zeros(len(boxes), dtype=np.int64),
        np.array(boxes, dtype=float).reshape(-1, 4),
        np.full(len(boxes), np.nan),
        np.array(scores, dtype=float).reshape(-1, 1),
        np.array([[0, 0]]),
    )
    return AnnotationSet(("c",), {"v": truth}), DetectionSet(("c",), 0.0, {"v": found})


def test_matching_rules_differ_where_they_should():
    # both detections overlap the first truth best; COCO lets the second have the other truth
    truth = [[0, 0, 10, 10], [0, 4, 10, 14]]
    boxes = [[0, 0, 10, 10], [0, 1.5, 10, 11.5]]
    annotations, detections = single_frame(truth, boxes, [0.9, 0.8])
    assert frame_map(annotations, detections, "voc", [0.5]).mean_at(0.5) == 0.5
    assert frame_map(annotations, detections, "coco", [0.5]).mean_at(0.5) == pytest.approx(1.0)


def test_closed_forms():
    box = [[0, 0, 10, 10]]
    for boxes, scores, expected in (
        ([], [], 0.0),
        (box, [0.3], 1.0),
        (box * 2, [0.3, 0.2], 1.0),  # a duplicate after full recall costs nothing
        ([[50, 50, 60, 60], *box], [0.9, 0.3], 0.5),
    ):
        annotations, detections = single_frame(box, boxes, scores)
        assert frame_map(annotations, detections, "voc", [0.5]).mean_at(0.5) == expected
    annotations, detections = single_frame([], box, [0.3])
    assert np.isnan(frame_map(annotations, detections, "voc", [0.5]).mean_at(0.5))


def test_frames_nobody_looked_at_take_no_part():
    annotations, detections = random_problem(1, unseen=True)
    before = frame_map(annotations, detections, "voc").ap
    moved = {
        video.name: VideoDetections(
            video.name,
            video.frames,
            np.where(
                annotations.videos[video.name].looked_at[video.frames][:, None], video.boxes, 7.0
            ),
            video.objectness,
            video.scores,
            video.processed,
        )
        for video in detections
    }
    after = frame_map(annotations, DetectionSet(detections.names, 0.0, moved), "voc").ap
    np.testing.assert_array_equal(before, after)


def test_unknown_protocol_names_its_neighbour():
    with pytest.raises(UserError, match="did you mean yowo"):
        FrameMAP(("c",), "yolo")


def feed_frames(metric, annotations, detections, pairs):
    for name, frame in pairs:
        found = detections.videos[name][frame]
        metric.update(name, frame, annotations.videos[name][frame], found)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), protocol=st.sampled_from(["voc", "yowo", "coco"]))
def test_feeding_order_and_merging_change_nothing(seed, protocol):
    annotations, detections = random_problem(seed, tied=True, unseen=True)
    whole = frame_map(annotations, detections, protocol)
    rng = np.random.default_rng(seed)
    pairs = [(video.name, f) for video in annotations for f in range(video.num_frames)]
    pairs = [pairs[i] for i in rng.permutation(len(pairs))]
    cut = rng.integers(0, len(pairs) + 1)
    one, two = (FrameMAP(annotations.names, protocol) for _ in range(2))
    feed_frames(one, annotations, detections, pairs[:cut])
    feed_frames(two, annotations, detections, pairs[cut:])
    two.merge(one)
    np.testing.assert_array_equal(two.compute().ap, whole.ap)


def test_a_frame_fed_twice_is_refused():
    annotations, detections = random_problem(0)
    metric = FrameMAP(annotations.names)
    feed_frames(metric, annotations, detections, [("video 0", 1), ("video 0", 1)])
    with pytest.raises(ValueError, match="frame 1 was fed twice"):
        metric.compute()


def test_no_input_gives_nan():
    result = FrameMAP(("a", "b")).compute()
    assert result.ap.shape == (10, 2)
    assert np.isnan(result.mean)


def changed(detections, boxes=lambda b: b, scores=lambda s: s, names=None):
    videos = {
        v.name: VideoDetections(
            v.name, v.frames, boxes(v.boxes), v.objectness, scores(v.scores), v.processed
        )
        for v in detections
    }
    return DetectionSet(names or detections.names, 0.0, videos)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), protocol=st.sampled_from(["voc", "coco"]))
def test_invariances(seed, protocol):
    annotations, detections = random_problem(seed, tied=True)
    whole = frame_map(annotations, detections, protocol).ap
    # a monotone transform of scores
    squared = changed(detections, scores=lambda s: s**3 / 7)
    np.testing.assert_array_equal(frame_map(annotations, squared, protocol).ap, whole)
    # the unit of length (a power of two is exact)
    scaled = AnnotationSet(
        annotations.names,
        {
            v.name: VideoAnnotations.build(
                v.name, v.size, v.fps, v.looked_at, v.frames, v.boxes * 4, v.labels
            )
            for v in annotations
        },
    )
    larger = changed(detections, boxes=lambda b: b * 4)
    np.testing.assert_array_equal(frame_map(scaled, larger, protocol).ap, whole)
    # the order of classes
    order = np.random.default_rng(seed).permutation(len(annotations.names))
    names = tuple(annotations.names[i] for i in order)
    permuted = AnnotationSet(
        names,
        {
            v.name: VideoAnnotations.build(
                v.name, v.size, v.fps, v.looked_at, v.frames, v.boxes, v.labels[:, order]
            )
            for v in annotations
        },
    )
    relabelled = changed(detections, scores=lambda s: s[:, order], names=names)
    np.testing.assert_array_equal(frame_map(permuted, relabelled, protocol).ap, whole[:, order])
