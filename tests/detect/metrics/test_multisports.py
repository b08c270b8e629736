"""The multisports protocol against its public evaluation written out."""

import numpy as np
import pytest

from stadet.detect.metrics.frame_map import frame_map
from stadet.detect.metrics.protocols import MULTISPORTS_NOT_EVALUATED
from stadet.detect.metrics.video_map import (
    MULTISPORTS_RANGES,
    MULTISPORTS_THRESHOLDS,
    video_map_of_tubes,
)
from stadet.detect.structures import AnnotationSet, Tube, VideoAnnotations
from stadet.detect.tubes.tube_set import TubeSet, VideoTubes
from tests.detect.metrics.generated import random_problem
from tests.detect.metrics.literal_multisports import average_precision, box_iou, tube_iou

NAMES = ("pour", "basketball save", "cut")


def mean(values):
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else float("nan")


@pytest.mark.parametrize(
    "options", [{}, {"tied": True, "detections": 60, "truths": 10}, {"truths": 0}]
)
@pytest.mark.parametrize("seed", range(6))
def test_boxes_equal_the_public_evaluation(seed, options):
    annotations, detections = random_problem(seed, **options)
    for threshold in (0.2, 0.5):
        want = []
        for label in range(len(annotations.names)):
            truths = {
                (v.name, f): [
                    b for b, k in zip(v[f].boxes, v[f].labels[:, label], strict=True) if k
                ]
                for v in annotations
                for f in range(v.num_frames)
            }
            found = [
                ((v.name, int(f)), float(s), b)
                for v in (detections.videos[name] for name in annotations.videos)
                for f, b, s in zip(v.frames, v.boxes, v.scores[:, label], strict=True)
                if s > 0
            ]
            want.append(average_precision(found, truths, threshold, box_iou))
        got = frame_map(annotations, detections, "multisports", [threshold])
        np.testing.assert_allclose(
            got.at(threshold), [np.nan if ap is None else ap for ap in want], atol=1e-12
        )


def test_classes_that_the_data_set_does_not_evaluate():
    annotations, detections = random_problem(2, classes=3)
    names = ("pour", "basketball save", "cut")
    assert names[1] in MULTISPORTS_NOT_EVALUATED
    renamed = AnnotationSet(names, annotations.videos)
    found = type(detections)(names, 0.0, detections.videos)
    ap = frame_map(renamed, found, "multisports", [0.5]).at(0.5)
    assert np.isnan(ap).tolist() == [False, True, False]


def random_tubes(seed, *, tied):
    rng = np.random.default_rng(seed)
    videos, truths, found = {}, {}, {}
    for v in range(3):
        name, frames, boxes, labels, tracks = f"v{v}", [], [], [], []
        truths[name], tubes = [], []
        for track in range(5):
            first, stop = sorted(rng.choice(30, 2, replace=False))
            corner, label = rng.uniform(0, 60, 2), int(rng.integers(3))
            own = np.tile([*corner, *(corner + 25)], (stop - first + 1, 1))
            own += rng.normal(0, 1, own.shape)
            truths[name].append((label, first, own))
            frames += range(first, stop + 1)
            boxes += own.tolist()
            labels += [label] * len(own)
            tracks += [track] * len(own)
        for _ in range(25):
            label, first, own = truths[name][rng.integers(5)]
            cut = int(rng.integers(0, len(own)))
            size = int(rng.integers(1, len(own) - cut + 1))
            moved = own[cut : cut + size] + rng.normal(0, 2, (size, 4))
            score = float(np.ceil(rng.random() * 3) / 3 if tied else rng.random())
            wrong = rng.random() < 0.1
            tubes.append(Tube(int(first + cut), moved, (label + wrong) % 3, score))
        one_hot = np.eye(3, dtype=bool)[labels]
        videos[name] = VideoAnnotations.build(
            name, (200, 200), 25, np.ones(31, dtype=bool), frames, boxes, one_hot, tracks
        )
        found[name] = VideoTubes(name, tubes)
    return AnnotationSet(NAMES, videos), TubeSet(NAMES, found), truths


def rows(first, boxes):
    return [[first + k, *box] for k, box in enumerate(boxes)]


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_tubes_equal_the_public_evaluation(seed, tied):
    annotations, tubes, truths = random_tubes(seed, tied=tied)
    got = video_map_of_tubes(annotations, tubes, protocol="multisports").figures()

    def literal(threshold):
        aps = []
        for label in (0, 2):  # "basketball save" is not evaluated
            wanted = {
                name: [rows(first, own) for own_label, first, own in shapes if own_label == label]
                for name, shapes in truths.items()
            }
            found = [
                (name, tube.score, rows(tube.start, tube.boxes))
                for name, video in sorted(tubes.videos.items())
                for tube in video.tubes
                if tube.label == label
            ]
            aps.append(average_precision(found, wanted, threshold, tube_iou))
        return mean(aps)

    assert set(got) == {"0.2", "0.5", *MULTISPORTS_RANGES}
    for threshold in MULTISPORTS_THRESHOLDS:
        assert got[f"{threshold:g}"] == pytest.approx(literal(threshold), abs=1e-12)
    for name, thresholds in MULTISPORTS_RANGES.items():
        want = np.mean([literal(threshold) for threshold in thresholds])
        assert got[name] == pytest.approx(want, abs=1e-12)
