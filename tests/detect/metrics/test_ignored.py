"""Ignored regions count neither way: COCO's crowds, VOC's difficult objects, areas to leave out."""

from dataclasses import replace

import numpy as np
import pytest

from stadet.detect.boxes import area, pairwise_iou
from stadet.detect.metrics.columns import gather
from stadet.detect.metrics.confusion import confusion_matrix
from stadet.detect.metrics.diagnosis import diagnose
from stadet.detect.metrics.frame_map import frame_map
from stadet.detect.metrics.protocols import PROTOCOLS
from stadet.detect.metrics.ranking import Matcher
from stadet.detect.metrics.video_map import video_map
from stadet.detect.structures import AnnotationSet
from tests.detect.metrics.generated import random_problem
from tests.detect.metrics.test_frame_map import single_frame

TRUTH, REGION = [10, 10, 30, 30], [100, 40, 160, 100]
INSIDE, ELSEWHERE = [100, 60, 120, 80], [60, 10, 80, 30]


def one_frame(boxes, scores, ignored=(False, True)):
    annotations, detections = single_frame([TRUTH, REGION], boxes, scores)
    video = replace(annotations.videos["v"], ignored=np.array(ignored))
    return AnnotationSet(annotations.names, {"v": video}), detections


@pytest.mark.parametrize("protocol", ["voc", "coco", "yowo"])
def test_a_detection_in_a_region_is_neither_right_nor_wrong(protocol):
    both = one_frame([TRUTH, INSIDE], [0.9, 0.95])
    assert frame_map(*both, protocol, [0.5]).mean_at(0.5) == pytest.approx(1.0)
    assert frame_map(*both, protocol, [0.5]).truths.tolist() == [1]
    counted = one_frame([TRUTH, INSIDE], [0.9, 0.95], ignored=(False, False))
    assert frame_map(*counted, protocol, [0.5]).mean_at(0.5) < 0.5
    false = one_frame([TRUTH, ELSEWHERE], [0.9, 0.95])
    assert frame_map(*false, protocol, [0.5]).mean_at(0.5) == pytest.approx(0.5)


def test_errors_and_confusion_say_nothing_of_it():
    columns = gather(*one_frame([TRUTH, INSIDE, ELSEWHERE], [0.9, 0.95, 0.8]))
    assert confusion_matrix(columns, 0.5).tolist() == [[1, 0], [1, 0]]
    diagnosis = diagnose(Matcher(columns, PROTOCOLS["voc"]), 0.5)
    assert {kind: int(n.sum()) for kind, n in diagnosis.counts.items() if n.sum()} == {
        "background": 1
    }


def slow_voc(annotations, detections, label, threshold):
    """VOC's rule with regions: one detection after another."""
    total, hits = 0, []
    for video in annotations:
        found = detections.videos[video.name]
        for frame in np.flatnonzero(video.looked_at):
            truth = video[int(frame)]
            own = truth.labels[:, label]
            normal, regions = truth.boxes[own & ~truth.ignored], truth.boxes[own & truth.ignored]
            total += len(normal)
            rows = np.flatnonzero((found.frames == frame) & (found.scores[:, label] > 0))
            taken = set()
            for row in rows[np.argsort(-found.scores[rows, label], kind="stable")]:
                box = found.boxes[row]
                overlap = pairwise_iou(box[None], normal)[0]
                difficult = pairwise_iou(box[None], regions)[0].max(initial=0)
                best = int(overlap.argmax()) if len(overlap) else None
                if difficult >= threshold and difficult > overlap.max(initial=0):
                    continue
                right = best is not None and overlap[best] >= threshold and best not in taken
                if right:
                    taken.add(best)
                else:
                    corner = np.minimum(box[2:], regions[:, 2:]) - np.maximum(
                        box[:2], regions[:, :2]
                    )
                    inside = corner.clip(0).prod(axis=1) / area(box)
                    if (inside >= threshold).any():
                        continue
                hits.append((found.scores[row, label], right))
    if not total:
        return float("nan")
    flags = [right for _, right in sorted(hits, key=lambda hit: -hit[0])]
    precision = [sum(flags[: k + 1]) / (k + 1) for k in range(len(flags))]
    return sum(max(precision[k:]) / total for k, flag in enumerate(flags) if flag)


@pytest.mark.parametrize("seed", range(8))
def test_voc_equals_the_slow_program(seed):
    annotations, detections = random_problem(
        seed, ignored=0.4, tied=True, multi_label=True, videos=2, detections=15
    )
    got = frame_map(annotations, detections, "voc", [0.3, 0.5])
    for threshold in (0.3, 0.5):
        want = [
            slow_voc(annotations, detections, label, threshold)
            for label in range(len(annotations.names))
        ]
        np.testing.assert_allclose(got.at(threshold), want, atol=1e-12)


def test_no_region_changes_nothing_and_all_regions_leave_no_class():
    annotations, detections = random_problem(4)
    gone = AnnotationSet(
        annotations.names,
        {v.name: replace(v, ignored=np.ones(len(v.frames), dtype=bool)) for v in annotations},
    )
    assert np.isnan(frame_map(gone, detections, "voc").ap).all()
    assert np.isnan(list(video_map(gone, detections).values())).all()
