import math

import numpy as np
import pytest

from stadet.detect.detections.detection_set import DetectionSet, VideoDetections
from stadet.detect.metrics.video_map import VideoMAP, near_looked_at, video_map
from stadet.detect.structures import AnnotationSet, Tube, VideoAnnotations
from stadet.detect.tubes.linking import LinkOptions
from tests.detect.metrics import slow_video_map as slow

NAMES = ("wipe", "pour", "cut")


def truth_of(name, rng, num_frames=30, actors=3, gaps=False):
    frames, boxes, labels, tracks = [], [], [], []
    looked = np.ones(num_frames, dtype=bool)
    if gaps:
        looked = rng.random(num_frames) < 0.7
        looked[10:20] = False
    for track in range(actors):
        first, stop = sorted(rng.choice(num_frames + 1, 2, replace=False))
        corner = rng.uniform(0, 60, 2)
        label = rng.integers(len(NAMES))
        for frame in range(first, stop):
            corner = corner + rng.normal(0, 1, 2)
            if looked[frame] and not (track == 1 and frame == 12):
                frames.append(frame)
                boxes.append([*corner, *(corner + np.array([20, 30]))])
                labels.append(np.arange(len(NAMES)) == label)
                tracks.append(track)
    return VideoAnnotations.build(
        name,
        (120, 120),
        10.0,
        looked,
        frames,
        np.array(boxes).reshape(-1, 4),
        np.array(labels, dtype=bool).reshape(-1, len(NAMES)),
        tracks,
    )


def detections_of(truth, rng, noise=2.0, clutter=10):
    frames = np.concatenate([truth.frames, rng.integers(0, truth.num_frames, clutter)])
    corner = rng.uniform(0, 80, (clutter, 2))
    boxes = np.concatenate([truth.boxes, np.concatenate([corner, corner + 25], axis=1)])
    boxes = boxes + rng.normal(0, noise, boxes.shape)
    scores = rng.random((len(frames), len(NAMES))) * (rng.random((len(frames), len(NAMES))) < 0.4)
    scores[: len(truth.frames)] += truth.labels * rng.uniform(0.2, 0.9, truth.labels.shape)
    keep = rng.random(len(frames)) < 0.85
    order = np.flatnonzero(keep)[np.argsort(frames[keep], kind="stable")]
    return VideoDetections(
        truth.name,
        frames[order],
        boxes[order],
        np.full(len(order), np.nan),
        scores[order],
        np.array([[0, truth.num_frames - 1]]),
    )


def random_sets(seed, videos=3, gaps=False):
    rng = np.random.default_rng(seed)
    truths = {f"v{i}": truth_of(f"v{i}", rng, gaps=gaps) for i in range(videos)}
    found = {name: detections_of(truth, rng) for name, truth in truths.items()}
    return AnnotationSet(NAMES, truths), DetectionSet(NAMES, 0.0, found)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        LinkOptions(),
        LinkOptions(min_length=1),
        LinkOptions(max_gap=2, switch_cost=0.7, max_tube_overlap=0.2, min_score=0.1, min_length=2),
    ],
)
def test_equal_to_the_slow_obvious_program(seed, gaps, options):
    annotations, detections = random_sets(seed, gaps=gaps)
    got = video_map(annotations, detections, (0.1, 0.2, 0.5, 0.75), options)
    for threshold in (0.1, 0.2, 0.5, 0.75):
        want = slow.video_map(annotations, detections, threshold, options)
        assert got[f"{threshold:g}"] == pytest.approx(want, abs=1e-12)
    steps = [0.5 + 0.05 * k for k in range(10)]
    means = [slow.video_map(annotations, detections, s, options) for s in steps]
    assert got["0.5:0.95"] == pytest.approx(np.mean(means), abs=1e-12)


def test_perfect_detections_score_one():
    annotations, _ = random_sets(0)
    found = {
        video.name: VideoDetections(
            video.name,
            video.frames,
            video.boxes,
            np.full(len(video.frames), np.nan),
            video.labels * 0.9,
            np.array([[0, 29]]),
        )
        for video in annotations
    }
    options = LinkOptions(max_gap=0, min_length=1)
    result = video_map(annotations, DetectionSet(NAMES, 0.0, found), options=options)
    assert result == dict.fromkeys(["0.1", "0.2", "0.5", "0.75", "0.5:0.95"], pytest.approx(1.0))


def test_merged_in_any_order_is_fed_at_once():
    annotations, detections = random_sets(3, videos=4)
    whole, first, second = (VideoMAP(NAMES) for _ in range(3))
    for truth in annotations:
        whole.update(truth, detections.videos[truth.name])
    for truth in reversed(list(annotations)):
        (first if truth.name in ("v1", "v2") else second).update(
            truth, detections.videos[truth.name]
        )
    second.merge(first)
    np.testing.assert_array_equal(whole.compute().ap, second.compute().ap)
    with pytest.raises(ValueError, match="v1"):
        second.merge(first)


def test_permuted_classes_give_the_same_mean():
    annotations, detections = random_sets(5)
    order = [2, 0, 1]
    names = tuple(NAMES[i] for i in order)
    moved_truth = AnnotationSet(
        names,
        {
            v.name: VideoAnnotations(
                v.name,
                v.size,
                v.fps,
                v.looked_at,
                v.frames,
                v.boxes,
                v.labels[:, order],
                v.track_ids,
            )
            for v in annotations
        },
    )
    moved_found = DetectionSet(
        names,
        0.0,
        {
            v.name: VideoDetections(
                v.name, v.frames, v.boxes, v.objectness, v.scores[:, order], v.processed
            )
            for v in detections
        },
    )
    options = LinkOptions(min_length=1)
    assert video_map(moved_truth, moved_found, options=options) == pytest.approx(
        video_map(annotations, detections, options=options), abs=1e-12
    )


def test_empty_truth_and_empty_detections():
    annotations, detections = random_sets(1)
    nothing = DetectionSet(NAMES, 0.0, {})
    assert set(video_map(annotations, nothing).values()) == {0.0}
    nobody = AnnotationSet(NAMES, {})
    assert all(map(math.isnan, video_map(nobody, detections).values()))


def test_a_class_without_truth_has_no_ap():
    annotations, detections = random_sets(2, videos=1)
    metric = VideoMAP(NAMES)
    (truth,) = annotations
    metric.update(truth, detections.videos[truth.name])
    result = metric.compute()
    missing = result.truths == 0
    assert missing.any() and np.isnan(result.ap[:, missing]).all()
    assert not np.isnan(result.ap[:, ~missing]).any()


def test_tubes_on_frames_nobody_looked_at_do_not_count():
    annotations, _ = random_sets(1, videos=1, gaps=True)
    (truth,) = annotations
    unseen = Tube(11, np.tile([0.0, 0, 10, 10], (5, 1)), 0, 0.99)
    metric = VideoMAP(NAMES)
    metric.update_tubes(truth, [unseen])
    assert metric.compute().detected.sum() == 0


def test_wrong_use_is_refused():
    annotations, _ = random_sets(1, videos=1)
    (truth,) = annotations
    metric = VideoMAP(NAMES)
    metric.update(truth, None)
    with pytest.raises(ValueError, match="fed twice"):
        metric.update(truth, None)
    with pytest.raises(ValueError, match="frame 34 of 30"):
        VideoMAP(NAMES).update_tubes(truth, [Tube(30, np.zeros((5, 4)), 0)])
    with pytest.raises(ValueError, match="classes"):
        video_map(annotations, DetectionSet(("a",), 0.0, {}))


def test_near_looked_at():
    looked = np.array([0, 1, 0, 0, 1, 0, 0, 0, 1, 0], dtype=bool)
    assert np.flatnonzero(near_looked_at(looked, 2)).tolist() == [1, 2, 3, 4, 8]
    assert np.flatnonzero(near_looked_at(looked, 0)).tolist() == [1, 4, 8]
