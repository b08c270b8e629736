"""Statistics against counts by hand."""

import numpy as np
import pytest

from stadet.datasets.statistics import measure
from stadet.detect.structures import AnnotationSet, VideoAnnotations


def annotation_set():
    looked_at = np.arange(100) < 80
    labels = np.zeros((30, 3), bool)
    labels[:10, 0] = labels[10:, 1] = labels[5:10, 1] = True
    boxes = np.tile([10.0, 10, 30, 20], (30, 1))
    frames = [*range(10), *range(40, 60)]
    video = VideoAnnotations.build(
        "a", (100, 200), 10.0, looked_at, frames, boxes, labels, [0] * 10 + [1] * 20
    )
    quiet = VideoAnnotations.build(
        "b", (100, 200), 10.0, np.ones(20), [], np.zeros((0, 4)), np.zeros((0, 3))
    )
    return AnnotationSet(("pick", "put", "rare"), {"a": video, "b": quiet})


def test_counts():
    s = measure(annotation_set())
    assert (s.videos, s.frames, s.looked_at, s.without_action) == (2, 120, 100, 70)
    assert s.share_without_action == 0.7 and s.seconds == 10.0
    assert (s.boxes, s.tracks, s.boxes_of_several_classes) == (30, 2, 5)
    assert s.imbalance == 2.5
    pick, put, rare = s.classes
    assert (pick.clips, pick.boxes, pick.frames) == (1, 10, 10)
    assert (put.clips, put.boxes, put.frames) == (2, 25, 25)
    assert put.seconds == pytest.approx([0.5, 0.65, 1.25, 1.85, 2.0])
    assert pick.width[2] == 20 and pick.height[2] == 10
    assert (rare.clips, rare.boxes, rare.seconds, rare.width) == (0, 0, None, None)


def test_sizes_are_the_networks():
    stretched = measure(annotation_set(), (200, 200)).classes[0]
    assert (stretched.width[2], stretched.height[2]) == (20, 20)
    boxed = measure(annotation_set(), (200, 400), letterbox=True).classes[0]
    assert (boxed.width[2], boxed.height[2]) == (40, 20)
    boxed = measure(annotation_set(), (200, 200), letterbox=True).classes[0]
    assert (boxed.width[2], boxed.height[2]) == (20, 10)


def test_empty():
    s = measure(AnnotationSet(("a",)))
    assert (s.frames, s.share_without_action, s.imbalance) == (0, None, None)
