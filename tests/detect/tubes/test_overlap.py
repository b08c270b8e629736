import numpy as np
import pytest

from stadet.detect.boxes import pairwise_iou
from stadet.detect.structures import Tube
from stadet.detect.tubes.overlap import suppress_tubes, tube_overlaps


def random_tubes(seed, count):
    rng = np.random.default_rng(seed)
    tubes = []
    for _ in range(count):
        corner = rng.integers(0, 20, 2) + rng.normal(0, 1, (rng.integers(1, 12), 2)).cumsum(0)
        boxes = np.concatenate([corner, corner + rng.uniform(5, 15, 2)], axis=1)
        tubes.append(Tube(int(rng.integers(0, 15)), boxes, int(rng.integers(2)), rng.random()))
    return tubes


def slow_overlap(a, b, counted=None):
    frames_a = {f for f in range(a.start, a.stop) if counted is None or counted[f]}
    frames_b = {f for f in range(b.start, b.stop) if counted is None or counted[f]}
    shared = frames_a & frames_b
    if not shared:
        return 0.0
    spatial = [
        pairwise_iou(a.boxes[f - a.start : f - a.start + 1], b.boxes[f - b.start])[0, 0]
        for f in sorted(shared)
    ]
    return len(shared) / len(frames_a | frames_b) * sum(spatial) / len(shared)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("masked", [False, True])
def test_equal_to_a_loop_over_frames(seed, masked, monkeypatch):
    monkeypatch.setattr("stadet.detect.tubes.overlap.CHUNK", 7)
    a, b = random_tubes(seed, 9), random_tubes(seed + 100, 8)
    counted = np.random.default_rng(seed).random(40) < 0.6 if masked else None
    want = [[slow_overlap(x, y, counted) for y in b] for x in a]
    np.testing.assert_allclose(tube_overlaps(a, b, counted), want, atol=1e-13)


def test_a_tube_covers_itself_and_nothing_covers_nothing():
    tubes = random_tubes(0, 4)
    np.testing.assert_allclose(np.diag(tube_overlaps(tubes, tubes)), 1)
    assert tube_overlaps([], tubes).shape == (0, 4)
    assert tube_overlaps(tubes, []).shape == (4, 0)


def slow_suppression(tubes, max_overlap):
    kept = []
    for tube in sorted(tubes, key=lambda t: -t.score):
        if all(k.label != tube.label or slow_overlap(k, tube) <= max_overlap for k in kept):
            kept.append(tube)
    return [tube for tube in tubes if any(tube is k for k in kept)]


@pytest.mark.parametrize("seed", range(10))
def test_suppression_equals_a_loop(seed):
    tubes = random_tubes(seed, 40)
    got = suppress_tubes(tubes, 0.1)
    assert list(map(id, got)) == list(map(id, slow_suppression(tubes, 0.1)))
    assert len(got) < len(tubes)
