import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stadet.anchors.shapes import CHUNK, best_anchor, check_sizes, shape_iou, unique_sizes
from stadet.detect.boxes import pairwise_iou
from stadet.engine.errors import UserError


def at_origin(sizes):
    return np.concatenate([np.zeros_like(sizes), sizes], axis=1)


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 12))
def test_shape_iou_is_box_iou_at_one_corner(seed, n, k):
    rng = np.random.default_rng(seed)
    sizes, anchors = rng.uniform(0.5, 500, (n, 2)), rng.uniform(0.5, 500, (k, 2))
    expected = pairwise_iou(at_origin(sizes), at_origin(anchors))
    np.testing.assert_allclose(shape_iou(sizes, anchors), expected, rtol=1e-12)


@pytest.mark.parametrize("count", [1, CHUNK - 1, CHUNK, 2 * CHUNK + 7])
def test_chunked_best_equals_whole_matrix(count):
    rng = np.random.default_rng(count)
    sizes, anchors = rng.uniform(1, 400, (count, 2)), rng.uniform(1, 400, (9, 2))
    best = best_anchor(sizes, anchors)
    table = np.sort(shape_iou(sizes, anchors), axis=1)
    np.testing.assert_allclose(best.iou, table[:, -1], atol=1e-6)
    np.testing.assert_allclose(best.second_iou, table[:, -2], atol=1e-6)
    chosen = shape_iou(sizes, anchors)[np.arange(count), best.index]
    np.testing.assert_allclose(chosen, table[:, -1], atol=1e-6)


def test_first_of_equal_anchors_and_a_single_anchor():
    best = best_anchor(np.array([[10, 10]]), np.array([[5, 5], [20, 20], [5, 5]]))
    assert best.index[0] == 0 and best.iou[0] == best.second_iou[0] == 0.25
    assert best_anchor(np.array([[4.0, 4.0]]), np.array([[4.0, 4.0]])).second_iou[0] == 0


def test_unique_sizes_counts_and_adds_weights():
    sizes = np.array([[3, 4], [4, 3], [3, 4], [1, 9]])
    unique, counts = unique_sizes(sizes)
    assert sorted(zip(map(tuple, unique.tolist()), counts, strict=True)) == [
        ((1, 9), 1),
        ((3, 4), 2),
        ((4, 3), 1),
    ]
    unique, weights = unique_sizes(sizes, np.array([1.5, 1, 2, 0.25]))
    assert dict(zip(map(tuple, unique.tolist()), weights, strict=True))[(3, 4)] == 3.5


@pytest.mark.parametrize(
    "sizes", [np.zeros((0, 2)), [[1, 0]], [[1, -2]], [[1, np.nan]], [[np.inf, 1]], [[1, 2, 3]]]
)
def test_bad_sizes_are_named(sizes):
    with pytest.raises(UserError, match="expected"):
        check_sizes(np.array(sizes, dtype=float))
