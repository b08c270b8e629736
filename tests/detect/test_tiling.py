from itertools import pairwise

import numpy as np
import pytest

from stadet.detect.boxes import clip_boxes
from stadet.detect.structures import Detections
from stadet.detect.tiling import detect_tiled, tile_views
from stadet.detect.view import View
from stadet.engine.errors import UserError

SETTINGS = {"score_floor": 0.05, "iou_threshold": 0.5, "max_detections": 100}


def fake_detector(truth, labels, num_classes=2):
    """Sees the visible part of every true box, if it is at least 3 network pixels wide and high."""

    def detect(image, view):
        assert image.shape[:2] == view.network_size
        shown = clip_boxes(view.to_network(truth), view.network_size)
        sides = shown[:, 2:] - shown[:, :2]
        seen = (sides >= 3).all(1)
        whole = np.isclose(shown, view.to_network(truth)).all(1)
        scores = np.zeros((len(truth), num_classes))
        scores[np.arange(len(truth)), labels] = np.where(whole, 0.8, 0.9)
        boxes = view.to_video(shown)
        return Detections(boxes, np.ones(len(truth)), scores)[seen]

    return detect


def covers(views, size):
    seen = np.zeros(size, dtype=bool)
    for view in views:
        x1, y1, x2, y2 = view.to_video(np.array([0, 0, view.network_size[1], view.network_size[0]]))
        assert x1 >= -1e-9 and y1 >= -1e-9 and x2 <= size[1] + 1e-9 and y2 <= size[0] + 1e-9
        seen[int(np.ceil(y1 - 1e-9)) : int(y2 + 1e-9), int(np.ceil(x1 - 1e-9)) : int(x2 + 1e-9)] = 1
    return seen.all()


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.6])
@pytest.mark.parametrize("size", [(240, 320), (101, 333), (64, 64), (30, 200)])
def test_tiles_cover_the_frame_and_overlap(size, overlap):
    views = tile_views(size, (64, 64), (32, 32), overlap, whole_frame=False)
    assert covers(views, size)
    lefts = sorted({-view.offset[1] / view.scale[1] for view in views})
    assert all(b - a <= 64 * (1 - overlap) + 1e-9 for a, b in pairwise(lefts))


def test_a_small_frame_is_one_view():
    assert len(tile_views((50, 60), (64, 64), (64, 64))) == 1


def test_boxes_come_home_once_whether_small_cut_or_large():
    size = (240, 320)
    truth = np.array(
        [
            [10.0, 10, 16, 16],  # small: one tile
            [60, 20, 76, 40],  # in the overlap of two tiles
            [100, 100, 118, 112],
            [20, 60, 280, 200],  # larger than any tile: the whole-frame view
            [318, 236, 320, 240],  # in the corner, too small for the whole frame's scale
        ]
    )
    labels = np.array([0, 1, 0, 1, 0])
    views = tile_views(size, (96, 96), (192, 192), overlap=0.3)
    frame = np.zeros((*size, 3), dtype=np.uint8)
    found = detect_tiled(frame, views, fake_detector(truth, labels), **SETTINGS)
    assert len(found) == len(truth)
    order = np.lexsort(found.boxes.T)
    np.testing.assert_allclose(found.boxes[order], truth[np.lexsort(truth.T)], atol=1e-4)
    assert (found.top_class[order] == labels[np.lexsort(truth.T)]).all()


def test_a_fragment_of_another_class_stays():
    truth = np.array([[50.0, 10, 75, 30], [50, 10, 75, 30]])
    views = tile_views((64, 128), (64, 64), (64, 64), overlap=0.5, whole_frame=False)
    frame = np.zeros((64, 128, 3), dtype=np.uint8)
    found = detect_tiled(frame, views, fake_detector(truth, np.array([0, 1])), **SETTINGS)
    assert sorted(found.top_class) == [0, 1]
    np.testing.assert_allclose(found.boxes, truth, atol=1e-4)


def test_nothing_to_find_and_a_wrong_overlap():
    views = tile_views((64, 128), (64, 64), (64, 64))
    frame = np.zeros((64, 128, 3), dtype=np.uint8)
    assert len(detect_tiled(frame, views, lambda *_: Detections.empty(3), **SETTINGS)) == 0
    with pytest.raises(UserError, match=r"overlap in \[0, 1\), found 1"):
        tile_views((64, 128), (64, 64), (64, 64), overlap=1.0)


def test_views_are_crops_of_the_frame():
    frame = np.random.default_rng(0).integers(0, 255, (64, 128, 3), dtype=np.uint8)
    for view in tile_views((64, 128), (64, 64), (64, 64), whole_frame=False):
        left = round(-view.offset[1])
        np.testing.assert_array_equal(view.apply(frame), frame[:, left : left + 64])
    assert isinstance(view, View)
