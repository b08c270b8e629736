import numpy as np
import pytest

from stadet.detect.metrics.happened import happened
from stadet.detect.structures import AnnotationSet, Tube, VideoAnnotations
from stadet.detect.tubes.events import EventOptions
from stadet.detect.tubes.truth import truth_tubes
from stadet.detect.tubes.tube_set import TubeSet, VideoTubes

NAMES = ("pour", "wipe")
BOX = np.array([10.0, 20.0, 30.0, 60.0])


def truth(*runs, frames=200, looked_at=None):
    """runs: (track, label, start, stop)."""
    rows = [(f, track, label) for track, label, a, b in runs for f in range(a, b)]
    labels = np.zeros((len(rows), 2), dtype=bool)
    labels[np.arange(len(rows)), [label for *_, label in rows]] = True
    looked_at = np.ones(frames, dtype=bool) if looked_at is None else looked_at
    video = VideoAnnotations.build(
        "v",
        (100, 100),
        10.0,
        np.ones(frames, dtype=bool),
        [f for f, *_ in rows],
        np.tile(BOX, (len(rows), 1)),
        labels,
        [track for _, track, _ in rows],
    )
    return AnnotationSet(NAMES, {"v": video.narrowed(looked_at)})


def tubes(*rows):
    """rows: (label, start, stop, score)."""
    own = [Tube(a, np.tile(BOX, (b - a, 1)), label, score) for label, a, b, score in rows]
    return TubeSet(NAMES, {"v": VideoTubes("v", own)})


def test_truth_scores_full_marks():
    annotations = truth((1, 0, 10, 60), (2, 1, 20, 40), (1, 0, 100, 130))
    own = truth_tubes(annotations.videos["v"])
    found = happened(annotations, TubeSet(NAMES, {"v": VideoTubes("v", own)}))
    assert {row.f1 for row in (*found.at_iou.values(), *found.within.values())} == {1.0}
    assert found.segment_map["0.5:0.95"] == 1.0
    assert (found.delay, found.count_error) == (0.0, 0.0)
    assert found.tracking_mean("hota") == found.tracking_mean("idf1") == pytest.approx(1.0)


def test_figures_by_hand():
    annotations = truth((1, 0, 10, 50), (1, 0, 100, 140), (2, 1, 10, 20))
    found = happened(
        annotations,
        tubes((0, 13, 50, 0.9), (0, 160, 180, 0.8), (0, 100, 108, 0.7), (1, 10, 20, 0.1)),
        EventOptions(min_score=0.3),
    )
    # caught at IoU 0.5: one of three; at 0.1 the short piece of the second too
    assert (found.truths, found.events) == (3, 3)
    half, tenth = found.at_iou[0.5], found.at_iou[0.1]
    assert (half.precision, half.recall, half.f1) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert (tenth.precision, tenth.recall) == pytest.approx((2 / 3, 2 / 3))
    assert found.within[0.5].recall == pytest.approx(2 / 3)
    assert found.delay == pytest.approx(0.15)  # +0.3 s and 0 s
    pour, wipe = found.classes["pour"], found.classes["wipe"]
    assert (pour.truths, pour.events, wipe.truths, wipe.events) == (2, 3, 1, 0)
    assert found.count_error == pytest.approx(1.0)  # one too many, one too few
    assert wipe.at_iou.recall == 0 and np.isnan(wipe.at_iou.precision) and np.isnan(wipe.delay)
    # the ranked list holds the weak wipe: AP of wipe 1, of pour 1/2 (second truth missed)
    assert found.segment_map["0.5"] == pytest.approx((1.0 + 0.5) / 2)


def test_frames_nobody_looked_at_count_neither_way():
    looked_at = np.ones(200, dtype=bool)
    looked_at[60:] = False
    annotations = truth((1, 0, 10, 50), looked_at=looked_at)
    found = happened(annotations, tubes((0, 10, 50, 0.9), (0, 100, 140, 0.9)))
    assert (found.events, found.at_iou[0.5].precision) == (1, 1.0)
    assert found.tracking["pour"].boxes == 40
    with pytest.raises(ValueError, match="classes"):
        happened(annotations, TubeSet(("pour",), {}))


def test_nothing_found():
    found = happened(truth((1, 0, 10, 50)), TubeSet(NAMES, {}))
    assert found.at_iou[0.5].recall == 0 and found.at_iou[0.5].f1 == 0
    assert np.isnan(found.at_iou[0.5].precision) and np.isnan(found.delay)
    nothing = happened(truth(), TubeSet(NAMES, {}))
    assert np.isnan(nothing.at_iou[0.5].f1) and np.isnan(nothing.segment_map["0.5"])
