import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torchvision.ops import box_convert, box_iou

from stadet.detect import boxes as B

COORDINATES = st.floats(-500, 500, width=32)
ANY_BOXES = arrays.arrays(
    np.float64, st.tuples(st.integers(0, 8), st.just(4)), elements=COORDINATES
)


def ordered(raw):
    """Corners sorted, so that every box is proper."""
    corners = np.sort(raw.reshape(-1, 2, 2), axis=1)
    return corners.reshape(-1, 4)


def slow_iou(a, b, extra=0.0):
    def side(low, high):
        return max(0.0, high - low + extra)

    shared = side(max(a[0], b[0]), min(a[2], b[2])) * side(max(a[1], b[1]), min(a[3], b[3]))
    whole = sum(side(box[0], box[2]) * side(box[1], box[3]) for box in (a, b)) - shared
    return shared / whole if whole > 0 else 0.0


@given(ANY_BOXES)
def test_conversions_round_trip(raw):
    for there, back in (
        (B.xyxy_to_xywh, B.xywh_to_xyxy),
        (B.xyxy_to_cxcywh, B.cxcywh_to_xyxy),
    ):
        np.testing.assert_allclose(back(there(raw)), raw, atol=1e-9)
        as_torch = back(there(torch.from_numpy(raw)))
        np.testing.assert_allclose(as_torch.numpy(), raw, atol=1e-9)


@given(ANY_BOXES)
def test_conversions_agree_with_torchvision(raw):
    tensor = torch.from_numpy(raw)
    for ours, form in ((B.xyxy_to_xywh, "xywh"), (B.xyxy_to_cxcywh, "cxcywh")):
        np.testing.assert_allclose(ours(raw), box_convert(tensor, "xyxy", form).numpy(), atol=1e-9)


@given(ANY_BOXES, ANY_BOXES)
def test_iou_equals_the_definition_and_torchvision(raw_a, raw_b):
    a, b = ordered(raw_a), ordered(raw_b)
    for plus_one in (False, True):
        table = B.pairwise_iou(a, b, plus_one=plus_one)
        assert table.shape == (len(a), len(b))
        slow = [[slow_iou(one, two, float(plus_one)) for two in b] for one in a]
        np.testing.assert_allclose(table, np.array(slow).reshape(table.shape), atol=1e-12)
    theirs = box_iou(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    both_empty = (B.area(a)[:, None] + B.area(b)[None]) == 0  # 0 / 0 there, 0 here
    np.testing.assert_allclose(np.where(both_empty, 0, theirs), B.pairwise_iou(a, b), atol=1e-12)


@given(ANY_BOXES)
def test_iou_of_a_box_with_itself_is_one_where_it_has_area(raw):
    boxes = ordered(raw)
    own = B.rowwise_iou(boxes, boxes)
    np.testing.assert_allclose(own[B.area(boxes) > 1e-9], 1)
    np.testing.assert_array_equal(own[B.area(boxes) == 0], 0)


def test_one_box_on_whole_numbers():
    a, b = np.array([[0, 0, 9, 9]]), np.array([[5, 0, 14, 9]])
    assert B.pairwise_iou(a, b)[0, 0] == pytest.approx(36 / 126)
    assert B.pairwise_iou(a, b, plus_one=True)[0, 0] == pytest.approx(50 / 150)


def test_area_and_clipping_for_both_kinds():
    raw = np.array([[-5, -5, 15, 8], [20, 3, 10, 5], [30, 30, 40, 40]], dtype=float)
    for array in (raw, torch.from_numpy(raw)):
        assert np.asarray(B.area(array)).tolist() == [260, 0, 100]
        clipped = np.asarray(B.clip_boxes(array, (8, 12)))
        assert clipped.tolist() == [[0, 0, 12, 8], [12, 3, 10, 5], [12, 8, 12, 8]]


def test_empty_arrays():
    empty = np.zeros((0, 4))
    assert B.pairwise_iou(empty, np.zeros((3, 4))).shape == (0, 3)
    assert B.pairwise_iou([], []).shape == (0, 0)
    assert B.clip_boxes(empty, (5, 5)).shape == (0, 4)
    assert B.area(empty).shape == (0,)
