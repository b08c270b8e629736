import numpy as np
import pytest

from stadet.detect.detections.detection_set import DetectionSet, VideoDetections
from stadet.detect.metrics.bootstrap import (
    CURVE_POINTS,
    average_precision_replicates,
    draw_weights,
    frame_map_intervals,
    paired_difference,
)
from stadet.detect.metrics.columns import gather
from stadet.detect.metrics.frame_map import frame_map
from stadet.detect.metrics.protocols import get_protocol
from stadet.detect.metrics.ranking import Matcher
from stadet.detect.metrics.unit_ranking import UnitRanking, unit_ranking
from stadet.detect.structures import AnnotationSet, VideoAnnotations
from stadet.engine.errors import UserError
from tests.detect.metrics.generated import random_problem


def ranked(annotations, detections):
    columns = gather(annotations, detections)
    ranking = Matcher(columns, get_protocol("voc")).ranking(0.5)
    units = unit_ranking(columns, ranking, {v.name: v.clock for v in annotations})
    return units, ranking.average_precisions("all_points")


def repeated(annotations, detections, weights):
    """The set with each video as often as drawn, under new names."""
    truth, found = {}, {}
    for video, weight in zip(annotations, weights, strict=True):
        for copy in range(int(weight)):
            name = f"{video.name}.{copy}"
            truth[name] = VideoAnnotations.build(
                name,
                video.size,
                video.fps,
                video.looked_at,
                video.frames,
                video.boxes,
                video.labels,
            )
            d = detections.videos[video.name]
            found[name] = VideoDetections(
                name, d.frames, d.boxes, d.objectness, d.scores, d.processed
            )
    return AnnotationSet(annotations.names, truth), DetectionSet(detections.names, 0.0, found)


def test_replicates_equal_scoring_the_drawn_videos():
    annotations, detections = random_problem(0, videos=12, frames=3)
    units, ap = ranked(annotations, detections)
    assert units.units == "12 videos"
    weights = draw_weights(12, 8, seed=3)
    assert (weights.sum(axis=1) == 12).all()
    drawn = average_precision_replicates(units, weights)
    (once,) = average_precision_replicates(units, np.ones((1, 12)))
    assert (units.truths.sum(axis=0) < CURVE_POINTS).all()
    np.testing.assert_allclose(once, ap, atol=1e-6)
    for row, weight in zip(drawn, weights, strict=True):
        # equal scores of copies stand together there and are one step here: the same envelope
        slow = frame_map(*repeated(annotations, detections, weight), "voc", [0.5]).at(0.5)
        np.testing.assert_allclose(row, slow, atol=0.02)


def test_intervals_hold_the_figure_and_narrow_with_more_videos():
    widths = []
    for videos in (12, 120):
        units, ap = ranked(*random_problem(2, videos=videos))
        result = frame_map_intervals(units, ap, 400)
        assert result.mean.low < result.mean.value < result.mean.high
        widths.append(result.mean.high - result.mean.low)
    assert widths[1] < 0.6 * widths[0]


def test_few_videos_are_cut_into_blocks_of_time():
    units, _ = ranked(*random_problem(0, videos=2, frames=600))
    assert units.num_units == 6  # 24 s each, at 25 frames a second
    assert "blocks of 10 s" in units.units


def test_one_unit_gives_no_interval():
    units, ap = ranked(*random_problem(0, videos=1))
    result = frame_map_intervals(units, ap)
    assert np.isnan(result.mean.low) and result.replicates == 0


def test_paired_difference_of_a_run_with_itself_is_nothing():
    units, ap = ranked(*random_problem(0, videos=15))
    result = paired_difference(units, units, ap, ap, 100)
    assert (result.mean.value, result.mean.low, result.mean.high) == (0, 0, 0)


def test_pairing_sees_a_small_steady_difference():
    annotations, detections = random_problem(4, videos=40)
    worse = {
        d.name: VideoDetections(
            d.name,
            d.frames,
            np.where((np.arange(len(d)) % 5 == 0)[:, None], 500.0 + d.boxes, d.boxes),
            d.objectness,
            d.scores,
            d.processed,
        )
        for d in detections
    }
    a, ap_a = ranked(annotations, detections)
    b, ap_b = ranked(annotations, DetectionSet(detections.names, 0.0, worse))
    result = paired_difference(a, b, ap_a, ap_b, 300)
    alone = frame_map_intervals(a, ap_a, 300).mean
    assert result.mean.high < 0
    assert result.mean.high - result.mean.low < alone.high - alone.low


def test_rankings_of_other_truth_are_refused():
    a, ap = ranked(*random_problem(0))
    b, _ = ranked(*random_problem(1))
    with pytest.raises(ValueError, match="same truth"):
        paired_difference(a, b, ap, ap)


def test_saved_and_loaded(tmp_path):
    units, _ = ranked(*random_problem(0, videos=11))
    units.save(tmp_path / "r.npz")
    loaded = UnitRanking.load(tmp_path / "r.npz")
    assert loaded.same_truth(units) and loaded.units == units.units
    np.testing.assert_array_equal(loaded.true_positive, units.true_positive)
    np.testing.assert_array_equal(loaded.unit, units.unit)
    (tmp_path / "bad.npz").write_bytes(b"PK nonsense")
    for name in ("bad.npz", "missing.npz"):
        with pytest.raises(UserError, match="evaluate the run again"):
            UnitRanking.load(tmp_path / name)
