import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from stadet.anchors.kmeans import kmeans, plus_plus
from stadet.anchors.lloyd import lloyd
from stadet.anchors.shapes import best_anchor, shape_iou, unique_sizes
from stadet.engine.errors import UserError


def long_tailed(count, seed=0):
    rng = np.random.default_rng(seed)
    width = np.exp(rng.normal(np.log(60), 0.7, count))
    height = width * np.exp(rng.normal(0.4, 0.5, count))
    return np.clip(np.stack([width, height], axis=1), 3, 416)


def weighted_middle(values, weights, update):
    if update == "mean":
        return np.average(values, weights=weights)
    return np.sort(np.repeat(values, weights.astype(int)))[(int(weights.sum()) - 1) // 2]


def plain_lloyd(sizes, weights, centres, update):
    """The textbook loop: every distance in every round, no bounds, no running sums."""
    while True:
        labels = shape_iou(sizes, centres).argmax(axis=1)
        moved = np.array(
            [
                [
                    weighted_middle(sizes[labels == c, s], weights[labels == c], update)
                    for s in (0, 1)
                ]
                for c in range(len(centres))
            ]
        )
        if np.allclose(moved, centres, rtol=1e-12, atol=0):
            return centres
        centres = moved


@pytest.mark.parametrize("update", ["mean", "median"])
def test_bounded_run_equals_the_textbook_loop(update):
    unique, weights = unique_sizes(long_tailed(3000).round())
    starts = plus_plus(unique, weights, 6, np.random.default_rng(1))
    run = lloyd(unique, weights, starts, update=update)
    expected = plain_lloyd(unique, weights, starts, update)
    assert run.converged
    np.testing.assert_allclose(run.sizes, expected[np.argsort(expected.prod(1))], rtol=1e-6)


@pytest.mark.parametrize("update", ["mean", "median"])
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(12, 400), k=st.integers(1, 9))
@example(seed=0, count=395, k=4)  # half of the weight lies on either side of a median
def test_a_converged_run_is_a_fixed_point(update, seed, count, k):
    sizes = long_tailed(count, seed).round()
    unique, weights = unique_sizes(sizes)
    k = min(k, len(unique))
    run = kmeans(sizes, k, update=update, restarts=3, seed=seed)
    assert run.sizes.shape == (k, 2) and (np.diff(run.sizes.prod(axis=1)) >= 0).all()
    labels = best_anchor(unique, run.sizes).index
    if run.converged:
        for centre in range(k):
            mine = labels == centre
            for side in (0, 1):
                middle = weighted_middle(unique[mine, side], weights[mine], update)
                np.testing.assert_allclose(run.sizes[centre, side], middle, rtol=1e-6)
    direct = shape_iou(sizes, run.sizes).max(axis=1).mean()
    assert run.mean_iou == pytest.approx(direct, abs=1e-6)


def test_better_than_euclidean_and_repeatable():
    sizes = long_tailed(20_000)
    for update in ("mean", "median"):
        ours = kmeans(sizes, 9, update=update, sample_size=2000, seed=3)
        again = kmeans(sizes[::-1], 9, update=update, sample_size=2000, seed=3)
        np.testing.assert_allclose(ours.sizes, again.sizes)
        theirs = KMeans(9, n_init=10, random_state=0).fit(sizes).cluster_centers_
        assert ours.converged
        assert ours.mean_iou >= best_anchor(sizes, theirs).iou.mean()


def test_repeated_boxes_and_weights_mean_the_same():
    sizes = long_tailed(300).round()
    repeats = np.random.default_rng(0).integers(1, 5, len(sizes))
    repeated = kmeans(np.repeat(sizes, repeats, axis=0), 4, seed=1)
    weighted = kmeans(sizes, 4, weights=repeats, seed=1)
    np.testing.assert_allclose(repeated.sizes, weighted.sizes)
    assert repeated.mean_iou == pytest.approx(weighted.mean_iou)


def test_planted_clusters_are_found_whatever_the_unit():
    planted = np.array([[10, 20], [50, 40], [30, 120], [200, 180]], dtype=float)
    rng = np.random.default_rng(0)
    sizes = planted[rng.integers(0, 4, 2000)] * rng.uniform(0.97, 1.03, (2000, 2))
    for unit in (1.0, 1 / 416):
        found = kmeans(sizes * unit, 4).sizes / unit
        order = np.argsort(planted.prod(axis=1))
        np.testing.assert_allclose(found, planted[order], rtol=0.02)


def test_empty_cluster_is_put_where_cover_is_worst():
    sizes = np.array([[10, 10], [11, 10], [300, 300], [310, 300]], dtype=np.float32)
    starts = np.array([[10, 10], [11, 10], [9000, 1]], dtype=float)
    run = lloyd(sizes, np.ones(4), starts)
    assert run.converged and run.sizes[-1] == pytest.approx([305, 300])
    assert (np.bincount(best_anchor(sizes, run.sizes).index, minlength=3) > 0).all()


def test_as_many_anchors_as_sizes_and_one_more():
    sizes = np.array([[10, 10], [20, 30], [20, 30], [5, 8]])
    assert kmeans(sizes, 3).mean_iou == pytest.approx(1)
    with pytest.raises(UserError, match="1 to 3 anchors"):
        kmeans(sizes, 4)
    with pytest.raises(UserError, match="N at least 1"):
        kmeans(np.zeros((0, 2)), 1)


def test_starts_are_different_rows():
    unique, weights = unique_sizes(long_tailed(50).round(-1))
    starts = plus_plus(unique, weights, len(unique), np.random.default_rng(0))
    assert len(np.unique(starts, axis=0)) == len(unique)
