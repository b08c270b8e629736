import math

import numpy as np
import pytest

from stadet.detect.boxes import pairwise_iou
from stadet.detect.detections.detection_set import DetectionSet, VideoDetections
from stadet.detect.metrics.ava_map import NOT_EVALUATED, AvaMAP, ava_map
from stadet.detect.structures import AnnotationSet, VideoAnnotations

NAMES = tuple(f"action {i}" for i in range(6))


def random_sets(seed, videos=3, boxes=40):
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
        found[name] = VideoDetections(
            name,
            frames[order],
            corners[order],
            np.full(boxes, np.nan),
            scores[order],
            np.array([[0, 11]]),
        )
    return AnnotationSet(NAMES, truths), DetectionSet(NAMES, 0.0, found)


def slow_ava(annotations, detections, evaluated, max_labels):
    """Key frame by key frame, detection by detection."""
    aps = []
    ranked = {label: [] for label in evaluated}
    totals = dict.fromkeys(evaluated, 0)
    for video in annotations:
        for frame in np.flatnonzero(video.looked_at):
            truth, found = video[frame], detections.videos[video.name][frame]
            entries = [
                (found.scores[row, label], row, label)
                for row in range(len(found))
                for label in evaluated
                if found.scores[row, label] > 0
            ]
            entries = sorted(entries, key=lambda e: -e[0])[:max_labels]
            overlaps = pairwise_iou(found.boxes, truth.boxes)
            for label in evaluated:
                truths = [t for t in range(len(truth)) if truth.labels[t, label]]
                totals[label] += len(truths)
                taken = set()
                for score, row, _ in (e for e in entries if e[2] == label):
                    best = max(truths, key=lambda t: overlaps[row, t], default=None)
                    right = best is not None and overlaps[row, best] >= 0.5 and best not in taken
                    if right:
                        taken.add(best)
                    ranked[label].append((score, right))
    for label in evaluated:
        if not totals[label]:
            continue
        flags = [right for _, right in sorted(ranked[label], key=lambda e: -e[0])]
        precision = [sum(flags[: k + 1]) / (k + 1) for k in range(len(flags))]
        aps.append(sum(max(precision[k:]) / totals[label] for k, flag in enumerate(flags) if flag))
    return sum(aps) / len(aps)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("max_labels", [4, 50])
def test_equal_to_the_slow_obvious_program(seed, max_labels):
    annotations, detections = random_sets(seed)
    chosen = [0, 2, 3, 5]
    got = ava_map(
        annotations, detections, evaluated=[NAMES[i] for i in chosen], max_labels=max_labels
    )
    assert got["map_50"] == pytest.approx(
        slow_ava(annotations, detections, chosen, max_labels), abs=1e-12
    )
    assert got["evaluated_classes"] == 4
    assert set(got["per_class"]) == {NAMES[i] for i in chosen}
    assert got["key_frames"] == sum(int(v.looked_at.sum()) for v in annotations)


def test_sixty_of_eighty_by_default():
    names = tuple(f"a{i + 1}" for i in range(80))
    result = AvaMAP(names).compute()
    assert result["evaluated_classes"] == 60 and len(NOT_EVALUATED) == 20
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
