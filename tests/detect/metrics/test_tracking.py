"""HOTA and IDF1 against a literal program and, where it is installed, public TrackEval."""

import numpy as np
import pytest

from stadet.detect.metrics.tracking import TrackingMetric, Trajectories
from tests.detect.metrics.slow_tracking import iou, slow_hota, slow_idf1


def made_up(seed, objects=3, frames=30):
    """Objects that cross, and a tracker that misses, shifts, swaps ids and sees ghosts."""
    rng = np.random.default_rng(seed)
    truth, tracked = {}, {}
    place, speed = rng.uniform(0, 60, (objects, 2)), rng.uniform(-3, 3, (objects, 2))
    names = rng.permutation(objects)
    for frame in range(frames):
        place += speed
        if rng.random() < 0.1:
            names = rng.permutation(objects)
        for one in range(objects):
            box = np.concatenate([place[one], place[one] + 20])
            if rng.random() < 0.9:
                truth.setdefault(frame, {})[one] = box
            if rng.random() < 0.8:
                tracked.setdefault(frame, {})[int(names[one])] = box + rng.normal(0, 2, 4)
        if rng.random() < 0.2:
            corner = rng.uniform(0, 60, 2)
            tracked.setdefault(frame, {})[7] = np.concatenate([corner, corner + 20])
    return truth, tracked


def trajectories(rows):
    flat = [(frame, one, box) for frame, boxes in rows.items() for one, box in boxes.items()]
    frames, ids, boxes = zip(*flat, strict=True) if flat else ((), (), ())
    return Trajectories(
        np.array(frames, dtype=np.int64),
        np.array(ids, dtype=np.int64),
        np.array(boxes, dtype=np.float64).reshape(-1, 4),
    )


def measured(videos):
    metric = TrackingMetric()
    for truth, tracked in videos:
        metric.update(trajectories(truth), trajectories(tracked))
    return metric.compute()


@pytest.mark.parametrize("seed", range(8))
def test_equals_the_literal_program(seed):
    videos = [made_up(seed), made_up(seed + 100, objects=4, frames=12)]
    found = measured(videos)
    assert found.hota == pytest.approx(slow_hota(videos), abs=1e-9)
    assert found.idf1 == pytest.approx(slow_idf1(videos), abs=1e-9)
    assert 0 < found.hota < 1 and 0 < found.idf1 < 1


def test_perfect_and_swapped():
    truth, _ = made_up(1)
    perfect = measured([(truth, truth)])
    assert (perfect.hota, perfect.idf1, perfect.loc_a) == pytest.approx((1.0, 1.0, 1.0))
    box = np.array([0.0, 0.0, 10.0, 10.0])
    whole = {frame: {0: box} for frame in range(10)}
    halves = {frame: {int(frame >= 5): box} for frame in range(10)}
    cut = measured([(whole, halves)])
    assert cut.det_a == pytest.approx(1.0)
    assert cut.ass_a == pytest.approx(0.5)  # each box shares 5 of 10 + 5 - 5 boxes
    assert cut.hota == pytest.approx(np.sqrt(0.5))
    assert cut.idf1 == pytest.approx(0.5)


def test_empty_sides():
    truth, tracked = made_up(2)
    missed, ghosts = measured([(truth, {})]), measured([({}, tracked)])
    assert (missed.hota, missed.idf1, missed.id_recall) == (0.0, 0.0, 0.0)
    assert (ghosts.hota, ghosts.idf1, ghosts.id_precision) == (0.0, 0.0, 0.0)
    assert np.isnan(missed.loc_a) and np.isnan(missed.id_precision)
    nothing = measured([({}, {})])
    assert np.isnan([nothing.hota, nothing.idf1]).all()
    with pytest.raises(ValueError, match="one box of an id"):
        Trajectories(np.zeros(2, int), np.zeros(2, int), np.zeros((2, 4)))


@pytest.mark.parametrize("seed", range(4))
def test_equals_trackeval(seed):
    metrics = pytest.importorskip("trackeval").metrics
    videos = [made_up(seed, objects=6, frames=80), made_up(seed + 50), ({}, made_up(seed)[1])]
    hota, identity = metrics.HOTA(), metrics.Identity({"PRINT_CONFIG": False})
    rows = {str(i): _as_trackeval(*video) for i, video in enumerate(videos)}
    want = hota.combine_sequences({name: hota.eval_sequence(row) for name, row in rows.items()})
    ids = identity.combine_sequences({k: identity.eval_sequence(row) for k, row in rows.items()})
    found = measured(videos)
    for mine, theirs in (
        (found.hota, want["HOTA"]),
        (found.det_a, want["DetA"]),
        (found.ass_a, want["AssA"]),
        (found.loc_a, want["LocA"]),
        (found.idf1, ids["IDF1"]),
        (found.id_precision, ids["IDP"]),
        (found.id_recall, ids["IDR"]),
    ):
        assert mine == pytest.approx(np.mean(theirs), abs=1e-9)


def _as_trackeval(truth, tracked):
    ones = sorted({one for row in truth.values() for one in row})
    others = sorted({other for row in tracked.values() for other in row})
    data = {"gt_ids": [], "tracker_ids": [], "similarity_scores": []}
    for frame in range(80):
        mine, theirs = truth.get(frame, {}), tracked.get(frame, {})
        data["gt_ids"].append(np.array([ones.index(one) for one in mine], dtype=int))
        data["tracker_ids"].append(np.array([others.index(one) for one in theirs], dtype=int))
        table = [[iou(a, b) for b in theirs.values()] for a in mine.values()]
        data["similarity_scores"].append(np.array(table).reshape(len(mine), len(theirs)))
    return data | {
        "num_gt_ids": len(ones),
        "num_tracker_ids": len(others),
        "num_gt_dets": sum(map(len, truth.values())),
        "num_tracker_dets": sum(map(len, tracked.values())),
    }
