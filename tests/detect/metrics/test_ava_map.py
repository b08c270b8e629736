import math

import numpy as np
import pytest

from stadet.detect.detections.detection_set import DetectionSet, VideoDetections
from stadet.detect.metrics.ava_map import AvaMAP, ava_map
from stadet.detect.metrics.frame_map import frame_map
from stadet.detect.metrics.protocols import AVA_NOT_EVALUATED
from stadet.detect.structures import AnnotationSet, VideoAnnotations
from tests.detect.metrics.literal_ava import literal_ava

NAMES = tuple(f"action {i}" for i in range(6))


def random_sets(seed, videos=3, boxes=40, tied=False):
    rng = np.random.default_rng(seed)
    truths, found = {}, {}
    for index in range(videos):
        name = f"v{index}"
        looked = rng.random(12) < 0.8
        looked[0] = True

        def some(count, looked=looked):
            corner = rng.uniform(0, 0.5, (count, 2))
            return (
                np.sort(rng.choice(np.flatnonzero(looked), count)),
                np.concatenate([corner, corner + rng.uniform(0.2, 0.4, (count, 2))], axis=1),
            )

        frames, corners = some(boxes // 2)
        labels = rng.random((len(frames), len(NAMES))) < 0.3
        truths[name] = VideoAnnotations.build(name, (1, 1), 1.0, looked, frames, corners, labels)
        frames, noise = some(boxes)
        near = rng.integers(0, boxes // 2, boxes)
        corners = np.where(
            rng.random((boxes, 1)) < 0.7,
            truths[name].boxes[near] + rng.normal(0, 0.02, (boxes, 4)),
            noise,
        )
        frames = truths[name].frames[near]
        order = np.argsort(frames, kind="stable")
        scores = rng.random((boxes, len(NAMES))) * (rng.random((boxes, len(NAMES))) < 0.5)
        if tied:
            scores = np.ceil(scores * 4) / 4
        found[name] = VideoDetections(
            name,
            frames[order],
            corners[order],
            np.full(boxes, np.nan),
            scores[order],
            np.array([[0, 11]]),
        )
    return AnnotationSet(NAMES, truths), DetectionSet(NAMES, 0.0, found)


def rows_of(annotations, detections):
    """The same as rows of (key, box, action, last), in the order of videos, frames and boxes."""
    truth = [
        ((video.name, int(frame)), tuple(box), int(label), 0.0)
        for video in annotations
        for frame, box, labels in zip(video.frames, video.boxes, video.labels, strict=True)
        for label in np.flatnonzero(labels)
    ]
    found = [
        ((video.name, int(frame)), tuple(box), int(label), float(scores[label]))
        for video in (detections.videos[name] for name in annotations.videos)
        for frame, box, scores in zip(video.frames, video.boxes, video.scores, strict=True)
        for label in np.flatnonzero(scores)
    ]
    return truth, found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("max_labels", [4, 50])
@pytest.mark.parametrize("tied", [False, True])
def test_equal_to_the_slow_obvious_program(seed, max_labels, tied):
    annotations, detections = random_sets(seed, tied=tied)
    chosen = [0, 2, 3, 5]
    got = ava_map(
        annotations, detections, evaluated=[NAMES[i] for i in chosen], max_labels=max_labels
    )
    truth, found = rows_of(annotations, detections)
    want = literal_ava(truth, found, chosen, capacity=max_labels)
    assert got["map_50"] == pytest.approx(np.mean(list(want.values())), abs=1e-12)
    assert got["evaluated_classes"] == 4
    assert set(got["per_class"]) == {NAMES[i] for i in chosen}
    assert got["key_frames"] == len({key for key, _, label, _ in truth if label in chosen})
    looked_at = sum(int(v.looked_at.sum()) for v in annotations)
    assert got["key_frames"] + got["empty_key_frames"] == looked_at


def test_the_protocol_of_the_report_gives_the_same_figure():
    annotations, detections = random_sets(5, tied=True)
    report = frame_map(annotations, detections, "ava", [0.5]).mean_at(0.5)
    assert report == ava_map(annotations, detections)["map_50"]


def test_sixty_of_eighty_by_default():
    names = tuple(f"a{i + 1}" for i in range(80))
    result = AvaMAP(names).compute()
    assert result["evaluated_classes"] == 60 and len(AVA_NOT_EVALUATED) == 20
    assert "a2" not in result["per_class"] and "a80" in result["per_class"]
    assert math.isnan(result["map_50"])


def test_merged_is_fed_at_once():
    annotations, detections = random_sets(9)
    first, second = AvaMAP(NAMES), AvaMAP(NAMES)
    for index, truth in enumerate(annotations):
        (first if index % 2 else second).update(truth, detections.videos[truth.name])
    first.merge(second)
    assert first.compute()["map_50"] == ava_map(annotations, detections)["map_50"]
    with pytest.raises(ValueError, match="evaluated"):
        first.merge(AvaMAP(NAMES, evaluated=NAMES[:2]))


def test_no_detections_and_unknown_classes():
    annotations, _ = random_sets(0)
    assert ava_map(annotations, DetectionSet(NAMES, 0.0, {}))["map_50"] == 0
    with pytest.raises(ValueError, match="'jump'"):
        AvaMAP(NAMES, evaluated=["jump"])
    with pytest.raises(ValueError, match="classes"):
        ava_map(annotations, DetectionSet(("a",), 0.0, {}))
