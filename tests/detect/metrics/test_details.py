"""Thresholds, confusion, localization, calibration, runs, strata, diagnosis, direction."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stadet.detect.clock import Clock
from stadet.detect.detections.detection_set import DetectionSet, VideoDetections
from stadet.detect.metrics.calibration import calibration
from stadet.detect.metrics.columns import gather
from stadet.detect.metrics.confusion import best_class_only, confusion_matrix
from stadet.detect.metrics.diagnosis import KINDS, diagnose
from stadet.detect.metrics.direction import direction_accuracies, direction_by_age
from stadet.detect.metrics.evaluation import evaluate
from stadet.detect.metrics.frame_map import frame_map
from stadet.detect.metrics.localization import localization
from stadet.detect.metrics.operating_point import best_f1_threshold, best_f1_thresholds, counts_at
from stadet.detect.metrics.processed import only_processed, unprocessed_frames
from stadet.detect.metrics.protocols import get_protocol
from stadet.detect.metrics.ranking import Matcher
from stadet.detect.metrics.strata import ap_by_value
from stadet.detect.metrics.truth_runs import box_seconds, box_speed, truth_runs
from stadet.detect.structures import AnnotationSet, VideoAnnotations
from tests.detect.metrics.generated import random_problem

NAMES = ("put", "take", "wave")
A, B, C = [0, 0, 10, 10], [50, 0, 60, 10], [0, 50, 10, 60]


def problem(truths, found, frames=4, fps=10.0, processed=None, looked_at=None):
    """truths: (frame, box, labels, track); found: (frame, box, scores, objectness)."""
    labels = np.zeros((len(truths), 3), dtype=bool)
    for row, (_, _, names, _) in enumerate(truths):
        labels[row, [NAMES.index(name) for name in names.split()]] = True
    truth = VideoAnnotations.build(
        "v",
        (100, 100),
        fps,
        np.ones(frames) if looked_at is None else looked_at,
        [t[0] for t in truths],
        np.array([t[1] for t in truths], dtype=float).reshape(-1, 4),
        labels,
        [t[3] for t in truths],
    )
    order = np.argsort([f[0] for f in found], kind="stable").astype(int)
    found = [found[i] for i in order]
    scores = np.array([[f[2].get(name, 0) for name in NAMES] for f in found]).reshape(-1, 3)
    detections = VideoDetections(
        "v",
        np.array([f[0] for f in found], dtype=np.int64),
        np.array([f[1] for f in found], dtype=float).reshape(-1, 4),
        np.array([f[3] for f in found], dtype=float),
        scores.astype(float),
        np.array([[0, frames - 1]] if processed is None else processed, dtype=np.int64),
    )
    return AnnotationSet(NAMES, {"v": truth}), DetectionSet(NAMES, 0.0, {"v": detections})


def matcher(annotations, detections, protocol="voc"):
    return Matcher(gather(annotations, detections), get_protocol(protocol))


MIXED = problem(
    [(0, A, "put", 1), (0, B, "take", 2), (1, A, "put", 1), (2, C, "wave", 3)],
    [
        (0, A, {"put": 0.9}, 0.9),  # right
        (0, A, {"put": 0.8}, 0.9),  # duplicate
        (0, B, {"wave": 0.7}, 0.9),  # another class
        (1, [4, 0, 14, 10], {"put": 0.6}, 0.9),  # IoU 6/14
        (2, A, {"put": 0.5}, 0.2),  # background
        (3, A, {"take": 0.4}, 0.9),  # background on an empty frame
        (2, [4, 50, 14, 60], {"take": 0.3}, 0.9),  # another class at IoU 6/14
    ],
)


def test_best_f1_is_the_best_of_all_thresholds():
    for seed in range(5):
        ranking = matcher(*random_problem(seed, tied=True)).ranking(0.5)
        overall = best_f1_threshold(ranking)
        tried = [counts_at(ranking, t).overall().f1[0] for t in np.unique(ranking.score)]
        assert counts_at(ranking, overall).overall().f1[0] == max(tried)
        own = best_f1_thresholds(ranking)
        for label in range(4):
            tried = [counts_at(ranking, t).f1[label] for t in np.unique(ranking.score)]
            assert counts_at(ranking, own).f1[label] == max(tried)


def test_no_right_detection_gives_no_threshold():
    ranking = matcher(*random_problem(0, truths=0)).ranking(0.5)
    assert np.isnan(best_f1_threshold(ranking))
    counts = counts_at(ranking, 0.5)
    assert np.isnan(counts.recall).all() and (counts.precision[counts.kept > 0] == 0).all()


def test_confusion_by_hand():
    matrix = confusion_matrix(gather(*MIXED), 0.35)
    assert matrix.tolist() == [
        [1, 0, 0, 1],  # put: found, missed at IoU 6/14
        [0, 0, 1, 0],  # take: taken for wave
        [0, 0, 0, 1],  # wave: missed
        [3, 1, 0, 0],  # a duplicate, a loose box, a ghost; a ghost
    ]


@pytest.mark.parametrize("multi_label", [False, True])
def test_confusion_counts_everything_once(multi_label):
    annotations, detections = random_problem(3, multi_label=multi_label)
    columns = gather(annotations, detections)
    matrix = confusion_matrix(columns, 0.4)
    np.testing.assert_array_equal(matrix[:-1].sum(axis=1), columns.truths_per_class)
    spoken = columns.entry_score >= 0.4
    if not multi_label:
        spoken &= best_class_only(columns)
    expected = np.bincount(columns.entry_class[spoken], minlength=4)
    np.testing.assert_array_equal(matrix[:, :-1].sum(axis=0), expected)
    assert matrix[-1, -1] == 0


def test_localization_by_hand():
    found = localization(gather(*MIXED))
    assert found.recall == 2 / 4  # A and B of frame 0
    assert found.accuracy == 1 / 2  # B is called wave
    annotations, detections = problem([(0, A, "put", 1)], [(0, A, {"put": 0.9}, np.nan)])
    assert localization(gather(annotations, detections)).recall is None
    annotations, detections = problem([(0, A, "put", 1)], [(0, A, {"put": 0.9}, 0.25)])
    assert localization(gather(annotations, detections)).recall == 0.0  # above, not at, 0.25
    assert localization(gather(*problem([(0, A, "put", 1)], []))).accuracy is None


def test_calibration_of_scores_that_mean_what_they_say():
    rng = np.random.default_rng(0)
    truths, found = [], []
    for frame in range(4000):
        score = rng.uniform(0.05, 1)
        truths.append((frame, A, "put", 1))
        found.append((frame, A if rng.random() < score else C, {"put": score}, 0.9))
    ranking = matcher(*problem(truths, found, frames=4000)).ranking(0.5)
    result = calibration(ranking)
    assert result.error < 0.03
    assert result.count.sum() == 4000
    assert np.isnan(calibration(matcher(*problem([], [])).ranking(0.5)).error)


def test_runs_durations_and_speeds():
    truths = [(f, [10 * f, 0, 10 * f + 20, 20], "put", 1) for f in (0, 1, 2, 3)]
    truths += [(f, A, "take", 1) for f in (1, 2)]  # the same track does something else too
    truths += [(f, C, "put", 2) for f in (0, 1, 3)]  # a gap: two clips
    truths += [(2, B, "wave", -1), (3, B, "wave", -1)]
    annotations, detections = problem(truths, [], fps=10.0)
    columns = gather(annotations, detections)
    runs = truth_runs(columns, {"v": Clock(10.0)})
    assert runs.clips_per_class(3).tolist() == [3, 1, 1]
    seconds = dict(
        zip(map(tuple, columns.truth_boxes.tolist()), box_seconds(columns, runs), strict=True)
    )
    assert seconds[0.0, 0.0, 20.0, 20.0] == pytest.approx(0.4)
    speed = box_speed(columns, runs, {"v": Clock(10.0)})
    moving = columns.truth_boxes[:, 2] - columns.truth_boxes[:, 0] == 20
    np.testing.assert_allclose(speed[moving], 10 * 10 / 20)  # 10 px a frame, boxes of 20 px
    waving = columns.truth_labels[:, 2]
    assert np.isnan(speed[waving]).all()


def test_strata_of_a_detector_that_treats_all_alike():
    """A value that says nothing: the same AP in both bins as in the whole."""
    annotations, detections = random_problem(1, videos=40, classes=2)
    m = matcher(annotations, detections)
    whole = np.nanmean(m.ranking(0.5).average_precisions("all_points"))
    values = np.random.default_rng(0).random(len(m.columns.truth_boxes))
    low, high = ap_by_value(m, values, bins=2)
    assert low.truths + high.truths == len(values)
    assert low.ap == pytest.approx(whole, abs=0.05) and high.ap == pytest.approx(whole, abs=0.05)
    (only,) = ap_by_value(m, np.ones(len(values)))
    assert only.ap == pytest.approx(whole, abs=1e-12)
    assert ap_by_value(m, np.full(len(values), np.nan)) == []


def test_each_kind_of_error_by_hand():
    result = diagnose(matcher(*MIXED), 0.0)
    totals = {kind: int(count.sum()) for kind, count in result.counts.items()}
    assert totals == {
        "missed": 1,  # wave; put in frame 1 is a localisation, take a classification error
        "localisation": 1,
        "classification": 1,
        "both": 1,
        "duplicate": 1,
        "background": 2,
    }
    assert {kind: (e[0].frame if e else None) for kind, e in result.examples.items()} == {
        "missed": 2,
        "localisation": 1,
        "classification": 0,
        "both": 2,
        "duplicate": 0,
        "background": 2,
    }
    # by hand: put ranks right, duplicate, loose, ghost for 2 truths: AP .5; the others 0
    assert result.ap_gain_per_class["localisation"][0] == pytest.approx(0.5 + 0.5 * 2 / 3 - 0.5)
    assert result.ap_gain_per_class["classification"][1] == pytest.approx(1.0)
    assert result.ap_gain_per_class["missed"][2] == 1.0


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), protocol=st.sampled_from(["voc", "yowo", "coco"]))
def test_every_false_detection_has_one_kind_and_no_fix_harms(seed, protocol):
    m = matcher(*random_problem(seed, multi_label=True), protocol)
    result = diagnose(m, 0.0)
    false = sum(int(result.counts[kind].sum()) for kind in KINDS if kind != "missed")
    assert false == (~m.match(0.5).true_positive).sum()
    for kind in ("missed", "duplicate", "background", "both", "localisation"):
        gains = result.ap_gain_per_class[kind]
        assert (gains[~np.isnan(gains)] >= -1e-12).all(), kind


def test_direction_by_hand():
    truths = [(f, A, "put", 1) for f in range(4)] + [(f, B, "take", 2) for f in range(4)]
    found = [
        (0, A, {"put": 0.9, "take": 0.1}, 1),
        (1, A, {"put": 0.1, "take": 0.9}, 1),
        (2, A, {"put": 0.5, "take": 0.5}, 1),  # half right
        (0, B, {"take": 0.9}, 1),
        (1, B, {"take": 0.9}, 1),
        (2, C, {"take": 0.9}, 1),  # meets nothing
    ]
    columns = gather(*problem(truths, found))
    reverses = {"put": "take", "take": "put"}
    (pair, result), *rest = direction_accuracies(columns, reverses).items()
    assert pair == ("put", "take") and not rest
    assert result.accuracy == pytest.approx((0.5 + 1.0) / 2)
    assert (result.matched, result.truths) == (5, 8)
    spans = {"v": [(1, 3)]}
    inside = direction_accuracies(columns, reverses, spans)[pair]
    assert inside.accuracy == pytest.approx((0.25 + 1.0) / 2) and inside.truths == 6
    ages = direction_by_age(columns, reverses, spans, [(0, 0), (1, 2)])
    assert ages[0, 0] == pytest.approx((0.0 + 1.0) / 2)
    assert np.isnan(ages[1, 2])  # no take box is matched there


def test_direction_does_not_depend_on_which_of_two_close_boxes_holds_which_class():
    """What class-wise suppression leaves: each class's best score on a box of its own."""
    closer = [0, 0, 10, 9.9]
    truths = [(0, A, "put", 1), (0, B, "take", 2)]
    found = [
        (0, [0, 0, 10, 9], {"put": 0.9}, 1),
        (0, closer, {"take": 0.1}, 1),
        (0, B, {"take": 0.9}, 1),
    ]
    columns = gather(*problem(truths, found, frames=1))
    result = direction_accuracies(columns, {"put": "take"})[("put", "take")]
    assert result.accuracy == 1.0 and result.matched == 2


def test_motionless_ap_is_the_ap_of_a_film_of_the_motionless_frames_alone():
    annotations, detections = random_problem(0, frames=9)
    names = annotations.names
    name = next(iter(annotations.videos))
    spans = {name: [(2, 4), (7, 7)], "unknown": [(0, 9)]}
    kept = {video: [2, 3, 4, 7] if video == name else [] for video in annotations.videos}
    narrowed = AnnotationSet(
        names, {v.name: v.narrowed(np.isin(np.arange(9), kept[v.name])) for v in annotations}
    )
    found = evaluate(
        annotations, detections, reverses={names[0]: names[1]}, spans=spans, replicates=0
    ).direction.motionless_ap
    expected = frame_map(narrowed, detections).at(0.5)[:2]
    assert np.array_equal(list(found.values()), expected, equal_nan=True)
    assert list(found) == [names[0], names[1]] and not np.isnan(expected).all()


def test_unprocessed_frames_are_said_and_can_be_left_out():
    annotations, detections = problem(
        [(0, A, "put", 1), (5, A, "put", 1)],
        [(4, A, {"put": 0.5}, 1)],
        frames=10,
        processed=[[0, 2]],
        looked_at=[1, 1, 0, 1, 1, 1, 0, 0, 1, 1],
    )
    left = unprocessed_frames(annotations, detections)
    assert (left.frames, left.looked_at) == (4, 7)
    assert left.ranges == [("v", 3, 3), ("v", 5, 9)]
    assert "'v' frames 5 to 9" in left.sentence()
    narrowed = only_processed(annotations, detections).videos["v"]
    assert np.flatnonzero(narrowed.looked_at).tolist() == [0, 1, 4]
    assert narrowed.frames.tolist() == [0]
