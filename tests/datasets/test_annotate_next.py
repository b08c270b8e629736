"""Doubt in closed form, and the choice against a slow search."""

import math

import numpy as np
import pytest

from stadet.datasets.annotate_next import ChoiceOptions, choose_stretches, frame_doubt
from stadet.detect.detections.detection_set import DetectionSet, VideoDetections
from stadet.detect.structures import AnnotationSet, VideoAnnotations
from stadet.engine.errors import UserError

NAMES = ("wipe", "cut", "phone")
HERE, THERE = [10.0, 10, 50, 50], [60.0, 10, 100, 50]


def video(name, rows, length=100):
    """rows: (frame, box, scores)."""
    rows = sorted(rows, key=lambda row: row[0])
    return VideoDetections(
        name,
        np.array([row[0] for row in rows], dtype=np.int64),
        np.array([row[1] for row in rows], dtype=np.float64).reshape(-1, 4),
        np.full(len(rows), np.nan),
        np.array([row[2] for row in rows], dtype=np.float64).reshape(-1, 3),
        np.array([[0, length - 1]]),
    )


def found(*videos):
    return DetectionSet(NAMES, 0.05, {v.name: v for v in videos})


def test_doubt_of_one_detector_is_the_entropy_of_its_most_doubtful_score():
    one = video("v", [(0, HERE, [0.9, 0, 0]), (0, THERE, [0.5, 0.2, 0]), (1, HERE, [0.05, 0, 0])])
    entropy = lambda p: -p * math.log2(p) - (1 - p) * math.log2(1 - p)  # noqa: E731
    doubt = frame_doubt(one, None, np.arange(3), least=0.1)
    np.testing.assert_allclose(doubt, [1.0, 0.0, 0.0], atol=1e-9)  # 0.05 is below the least
    (doubt,) = frame_doubt(video("v", [(0, HERE, [0.9, 0, 0])]), None, np.arange(1), least=0.1)
    assert doubt == pytest.approx(entropy(0.9))


def test_doubt_of_two_is_the_largest_difference():
    one = video(
        "v",
        [
            (0, HERE, [0.9, 0, 0]),
            (1, HERE, [0.9, 0, 0]),
            (2, HERE, [0.9, 0, 0]),
            (3, HERE, [0.9, 0.1, 0]),
        ],
    )
    two = video(
        "v",
        [
            (0, HERE, [0.7, 0, 0]),  # the same with less score
            (1, HERE, [0, 0.8, 0]),  # another class
            (2, THERE, [0.95, 0, 0]),  # elsewhere
            (3, HERE, [0.9, 0.1, 0]),
            (4, HERE, [0, 0, 0.6]),  # only here
        ],
    )
    doubt = frame_doubt(one, two, np.arange(6), least=0.1)
    np.testing.assert_allclose(doubt, [0.2, 0.9, 0.95, 0, 0.6, 0])
    np.testing.assert_allclose(frame_doubt(two, one, np.arange(6), least=0.1), doubt)


def noisy(seed, names=("a", "b")):
    rng = np.random.default_rng(seed)
    videos = []
    for name in names:
        rows = [
            (frame, HERE, rng.uniform(0, 1, 3) * (rng.uniform(size=3) < 0.3))
            for frame in range(100)
        ]
        videos.append(video(name, rows))
    return found(*videos)


@pytest.mark.parametrize("seed", range(5))
def test_each_choice_gains_most_and_keeps_apart(seed):
    """Against a search through every stretch, with the objective written out."""
    detections, others = noisy(seed), noisy(seed + 100)
    options = ChoiceOptions(seconds=1.0, count=6, apart=0.5, rarity=0.3)
    chosen = choose_stretches(detections, others, {"a": 10.0, "b": 10.0}, options=options)
    assert [s.rank for s in chosen] == list(range(1, 7))
    stretches = {}
    for name in "ab":
        one, two = detections.videos[name], others.videos[name]
        doubt = frame_doubt(one, two, np.arange(100), 0.1)
        scores = np.where(one.scores >= 0.1, one.scores, 0)  # one box a frame
        for first in range(0, 91, 5):
            part = slice(first, first + 10)
            worth = (0.7 * doubt[part] + 0.3 * scores[part].max(axis=1)).mean()
            shares = scores[part].sum(axis=0)
            if shares.sum():
                shares = shares / shares.sum()
            stretches[name, first] = (worth, shares)

    def value(picked):
        total = 0.0
        for c in range(3):
            total += math.sqrt(sum(stretches[p][0] * stretches[p][1][c] for p in picked))
        for name in "ab":
            total += math.sqrt(sum(stretches[p][0] for p in picked if p[0] == name))
        return total

    picked = []
    for s in chosen:
        free = [
            p
            for p in stretches
            if all(p[0] != q[0] or abs(p[1] - q[1]) > 14 for q in picked)  # 10 frames and 5 apart
        ]
        best = max(value([*picked, p]) for p in free)
        assert value([*picked, (s.video, s.first)]) == pytest.approx(best)
        assert s.gain == pytest.approx(best - value(picked), abs=1e-3)
        assert s.last - s.first == 9
        picked.append((s.video, s.first))
        assert picked[-1] in free


def test_a_rare_class_and_another_video_come_before_more_of_the_same():
    many = [(f, HERE, [0.5, 0, 0]) for f in range(100)]
    few = [(f, HERE, [0, 0.5, 0]) for f in range(10)]
    labels = np.zeros((30, 3), bool)
    labels[:, 0] = True
    known = VideoAnnotations.build(
        "old",
        (60, 120),
        10.0,
        np.ones(30, bool),
        np.arange(30),
        np.tile(HERE, (30, 1)),
        labels,
        np.arange(30),
    )
    chosen = choose_stretches(
        found(video("a", many), video("b", few)),
        None,
        {"a": 10.0, "b": 10.0},
        AnnotationSet(NAMES, {"old": known}),
        ChoiceOptions(seconds=1.0, count=3, apart=1.0),
    )
    assert (chosen[0].video, chosen[0].label) == ("b", "cut")
    assert chosen[0].rareness == pytest.approx(0.5) and chosen[1].video == "a"
    assert chosen[1].rareness == pytest.approx(0.5 / math.sqrt(31), abs=1e-4)


def test_annotated_and_unprocessed_frames_are_left_out():
    rows = [(f, HERE, [0.5, 0, 0]) for f in range(100)]
    looked_at = np.zeros(100, bool)
    looked_at[:60] = True
    known = VideoAnnotations.build(
        "a", (60, 120), 10.0, looked_at, [], np.zeros((0, 4)), np.zeros((0, 3), bool)
    )
    options = ChoiceOptions(seconds=1.0, count=50, apart=0)
    annotated = AnnotationSet(NAMES, {"a": known})
    chosen = choose_stretches(found(video("a", rows)), None, {"a": 10.0}, annotated, options)
    assert sorted(s.first for s in chosen) == [60, 70, 80, 90]
    known = VideoAnnotations.build(
        "a", (60, 120), 10.0, ~np.zeros(100, bool), [], np.zeros((0, 4)), np.zeros((0, 3), bool)
    )
    with pytest.raises(UserError, match="nobody has annotated"):
        everything = AnnotationSet(NAMES, {"a": known})
        choose_stretches(found(video("a", rows)), None, {"a": 10.0}, everything, options)


def test_where_nothing_is_detected_nothing_is_chosen():
    assert choose_stretches(found(video("a", [])), None, {"a": 10.0}) == []


def test_detectors_of_other_classes_are_refused():
    other = DetectionSet(("x",), 0.05, {})
    with pytest.raises(UserError, match="two detectors of the same classes"):
        choose_stretches(noisy(0), other, {"a": 10.0})
