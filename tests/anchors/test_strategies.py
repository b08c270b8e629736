import numpy as np
import pytest

from stadet.anchors.coverage import BEYOND, greatest_coverage
from stadet.anchors.diagnosis import diagnose
from stadet.anchors.kmeans import kmeans
from stadet.anchors.shapes import shape_iou, size_cells
from stadet.anchors.strategies import STRATEGIES, class_weights, pick_anchors, spread_weights
from stadet.engine.errors import UserError

STRIDES = (8, 16, 32)
SIZE = (416, 416)


def crowded(seed=0):
    """Boxes of a restaurant: nearly all small and alike, few large; the large are a rare class."""
    rng = np.random.default_rng(seed)
    small = rng.normal([30, 26], 4, (3000, 2))
    large = np.exp(rng.uniform(np.log(60), np.log(400), (60, 2)))
    labels = np.zeros((3060, 2), dtype=bool)
    labels[:3000, 0] = labels[3000:, 1] = True
    return np.concatenate([small, large]).clip(4), labels


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("count", [3, 9, 10])
def test_every_strategy_gives_the_anchors_asked_for(strategy, count):
    sizes, labels = crowded()
    anchors = pick_anchors(strategy, sizes, count, STRIDES, SIZE, labels=labels)
    assert len(anchors) == count and anchors.strides == STRIDES
    assert max(anchors.num_per_level) - min(anchors.num_per_level) <= 1
    again = pick_anchors(strategy, sizes, count, STRIDES, SIZE, labels=labels)
    np.testing.assert_array_equal(anchors.sizes, again.sizes)


def test_each_strategy_is_best_at_what_it_is_for():
    sizes, labels = crowded()
    found = {
        s: diagnose(
            sizes,
            pick_anchors(s, sizes, 9, STRIDES, SIZE, labels=labels),
            labels=labels,
            names=("small", "large"),
        )
        for s in STRATEGIES
    }
    worst = {s: min(recall for _, _, recall in d.per_class.values()) for s, d in found.items()}
    assert max(found.values(), key=lambda d: d.mean_iou) is found["kmeans"]
    assert worst["coverage"] > worst["kmeans"] + 0.1
    assert worst["spread"] > worst["kmeans"]
    assert found["balanced"].per_class["large"][1] > found["kmeans"].per_class["large"][1]


def test_per_level_anchors_stay_in_their_range_even_without_boxes():
    small = np.random.default_rng(0).uniform(10, 20, (200, 2)) * [2, 1]
    anchors = pick_anchors("per-level", small, 9, STRIDES, SIZE)
    sides = [np.sqrt(level.prod(axis=1)) for level in anchors.levels]
    assert sides[0].max() < 40
    for level, (low, high) in ((1, (40, 80)), (2, (80, 160))):
        assert (sides[level] > low).all() and (sides[level] < high).all()
        aspects = anchors.levels[level][:, 0] / anchors.levels[level][:, 1]
        np.testing.assert_allclose(aspects, np.median(small[:, 0] / small[:, 1]), rtol=1e-3)


def test_coverage_equals_the_best_of_all_pairs():
    rng = np.random.default_rng(3)
    sizes = np.exp(rng.uniform(np.log(10), np.log(200), (60, 2)))
    found = greatest_coverage(sizes, 2, cells_an_octave=2)
    candidates, _, _ = size_cells(sizes, 2)
    ours = worth(shape_iou(sizes, found)).max(axis=1).mean()
    each = worth(shape_iou(sizes, candidates))
    best = np.maximum(each[:, :, None], each[:, None]).mean(axis=0).max()
    assert ours == pytest.approx(best, rel=0.01)


def worth(iou):
    return np.minimum(iou, 0.5) + BEYOND * np.maximum(iou - 0.5, 0)


def test_anchors_left_over_after_full_coverage_differ():
    sizes = np.random.default_rng(0).uniform(20, 30, (300, 2))
    found = greatest_coverage(sizes, 5)
    assert len(np.unique(found, axis=0)) == 5
    assert shape_iou(sizes, found).max(axis=1).mean() > 0.85


def test_coverage_covers_planted_groups_that_kmeans_overlooks():
    rng = np.random.default_rng(0)
    groups = np.array([[20, 20], [200, 40], [40, 200], [300, 300]], dtype=float)
    counts = [5000, 10, 10, 10]
    sizes = np.repeat(groups, counts, axis=0) * rng.uniform(0.8, 1.2, (5030, 2))
    weights = np.repeat(1 / np.array(counts), counts)
    found = greatest_coverage(sizes, 4, weights=weights)
    assert (shape_iou(groups, found).max(axis=1) > 0.5).all()


def test_class_weights_make_classes_equal():
    labels = np.array([[1, 0], [1, 0], [1, 1], [0, 0], [0, 0]], dtype=bool)
    weights = class_weights(labels)
    np.testing.assert_allclose(weights, [1 / 3, 1 / 3, 1 / 3 + 1, 1 / 2, 1 / 2])
    sizes, labels = crowded()
    balanced = kmeans(sizes, 4, weights=class_weights(labels)).sizes
    assert (balanced > 60).any(axis=1).sum() > (kmeans(sizes, 4).sizes > 60).any(axis=1).sum()


def test_spread_weights_count_a_crowd_as_its_root():
    sizes = np.array([[30.0, 30.0]] * 100 + [[200.0, 100.0]])
    weights = spread_weights(sizes)
    assert weights[:100].sum() == pytest.approx(10) and weights[100] == 1
    np.testing.assert_array_equal(spread_weights(sizes, power=1), 1)


def test_cells_hold_their_members():
    sizes = np.random.default_rng(0).uniform(1, 300, (500, 2))
    means, cell, counts = size_cells(sizes, 4)
    assert counts.sum() == 500 and len(means) == len(counts)
    for number in range(len(means)):
        np.testing.assert_allclose(means[number], sizes[cell == number].mean(axis=0))
        assert (np.ptp(np.log2(sizes[cell == number]), axis=0) <= 0.25).all()


def test_wrong_requests_are_named():
    sizes, _ = crowded()
    with pytest.raises(UserError, match="did you mean kmeans"):
        pick_anchors("kmean", sizes, 9, STRIDES, SIZE)
    with pytest.raises(UserError, match="at least one anchor a level"):
        pick_anchors("kmeans", sizes, 2, STRIDES, SIZE)
    with pytest.raises(UserError, match="different sizes"):
        pick_anchors("kmeans", np.ones((50, 2)), 9, STRIDES, SIZE)
