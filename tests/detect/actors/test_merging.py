import numpy as np
import pytest

from stadet.detect.actors.merging import leaders_of
from stadet.detect.boxes import pairwise_iou


def beside(share):
    """Two boxes of this IoU."""
    shift = 100 * (1 - share) / (1 + share)
    return np.array([[0, 0, 100, 50], [shift, 0, 100 + shift, 50]], dtype=float)


@pytest.mark.parametrize("share, leaders", [(0.39, [0, 1]), (0.41, [1, 1]), (0.65, [1, 1])])
def test_from_an_iou_of_four_tenths_on_the_stronger_box_leads(share, leaders):
    boxes = beside(share)
    assert pairwise_iou(boxes[:1], boxes[1:])[0, 0] == pytest.approx(share)
    assert leaders_of(boxes, np.array([0.4, 0.9])).tolist() == leaders


def test_a_box_is_led_by_one_that_leads_itself():
    """A chain: the middle one lies on both ends, which do not lie on each other."""
    boxes = np.array([[0, 0, 100, 50], [40, 0, 140, 50], [80, 0, 180, 50]], dtype=float)
    assert leaders_of(boxes, np.array([0.9, 0.5, 0.4])).tolist() == [0, 0, 2]
    assert leaders_of(boxes, np.array([0.4, 0.9, 0.5])).tolist() == [1, 1, 1]


def test_boxes_without_an_area_and_none():
    assert leaders_of(np.zeros((2, 4)), np.ones(2)).tolist() == [0, 1]
    assert leaders_of(np.zeros((0, 4)), np.zeros(0)).tolist() == []
