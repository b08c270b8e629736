"""What is drawn, by looking at pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stadet.detect.drawing.colours import class_colours, text_colour
from stadet.detect.drawing.render import (
    Canvas,
    draw_annotations,
    draw_detections,
    line_width,
    text_height,
    time_stamp,
)
from stadet.detect.drawing.text_patch import text_patch
from stadet.detect.structures import Detections, FrameAnnotations, Tube
from stadet.detect.tubes.tube_set import VideoTubes

NAMES = ("pick up", "put back", "wipe")
GROUND = 90


def blank(size=(240, 320)):
    return np.full((*size, 3), GROUND, dtype=np.uint8)


def detections(boxes, scores):
    boxes = np.array(boxes, dtype=float).reshape(-1, 4)
    return Detections(boxes, np.ones(len(boxes)), np.array(scores, float).reshape(-1, len(NAMES)))


def truth(boxes, classes, tracks=None):
    boxes = np.array(boxes, dtype=float).reshape(-1, 4)
    tracks = np.array([-1] * len(boxes) if tracks is None else tracks, dtype=np.int64)
    return FrameAnnotations(boxes, np.eye(len(NAMES), dtype=bool)[classes], tracks)


def changed(image):
    """x1, y1, x2, y2 of the pixels that were drawn on."""
    rows, columns = np.nonzero((image != GROUND).any(axis=2))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def contains(image, patch):
    windows = np.lib.stride_tricks.sliding_window_view(image, patch.shape)[:, :, 0]
    return bool((windows == patch).all(axis=(2, 3, 4)).any())


def label(text, column, size=(240, 320)):
    paint = tuple(class_colours(NAMES)[column].tolist())
    return text_patch(text, text_height(size), text_colour(paint), paint)


def test_nothing_draws_nothing():
    image = blank()
    draw_detections(image, Detections.empty(3), NAMES)
    draw_annotations(image, FrameAnnotations.empty(3), NAMES)
    assert (image == GROUND).all()


def test_box_has_its_place_colour_and_label():
    image = blank()
    draw_detections(
        image, detections([[50, 80, 250, 200]], [[0.1, 0.87, 0.0]]), NAMES, threshold=0.5
    )
    colour = class_colours(NAMES)[1]
    assert (image[80, 60:240] == colour).all() and (image[199, 60:240] == colour).all()
    assert (image[90:190, 50] == colour).all() and (image[90:190, 249] == colour).all()
    assert (image[90:190, 60:240] == GROUND).all()
    patch = label("put back 0.87", 1)
    height, width = patch.shape[:2]
    np.testing.assert_array_equal(image[80 - height : 80, 50 : 50 + width], patch)


def test_threshold_and_several_classes():
    image = blank()
    draw_detections(
        image,
        detections([[20, 60, 200, 120], [20, 160, 200, 220]], [[0.6, 0, 0.7], [0.4, 0.4, 0.1]]),
        NAMES,
        threshold=0.5,
    )
    assert contains(image, label("wipe 0.70, pick up 0.60", 2))
    assert (image[140:] == GROUND).all()  # the second box is below the threshold


def test_truth_is_dashed_white_with_its_track():
    image = blank()
    draw_annotations(image, truth([[50, 80, 250, 200]], [0], [7]), NAMES)
    top = image[80, 50:250]
    assert {tuple(pixel) for pixel in top.tolist()} == {(0, 0, 0), (255, 255, 255)}
    patch = text_patch("pick up #7", text_height((240, 320)), (0, 0, 0), (255, 255, 255))
    height, width = patch.shape[:2]
    np.testing.assert_array_equal(image[200 : 200 + height, 50 : 50 + width], patch)


@pytest.mark.parametrize(
    "box",
    [
        [0, 0, 60, 50],  # top edge: inside the box
        [300, 100, 320, 140],  # right edge: shifted
        [0, 220, 30, 240],
        [-50, -50, 400, 300],  # around the whole frame
        [400, 400, 500, 500],  # outside
        [100.4, 100.4, 100.4, 100.4],  # no area
    ],
)
def test_labels_stay_whole_inside_the_frame(box):
    image = blank()
    draw_detections(image, detections([box], [[0.9, 0, 0]]), NAMES)
    assert contains(image, label("pick up 0.90", 0))


def test_labels_keep_apart():
    image = blank()
    same = [[100, 100, 220, 180]] * 3
    draw_detections(image, detections(same, np.diag([0.9, 0.8, 0.7])), NAMES)
    for column, text in enumerate(("pick up 0.90", "put back 0.80", "wipe 0.70")):
        assert contains(image, label(text, column))


def test_no_line_crosses_a_label():
    image = blank()
    with Canvas(image, NAMES) as canvas:
        canvas.corner("recurrent", bottom=False)
        canvas.annotations(truth([[10, 2, 200, 100]], [0]))
        found = detections([[5, 1, 202, 110], [0, 50, 300, 105]], [[0.9, 0, 0]] * 2)
        canvas.detections(found)
    height = text_height((240, 320))
    assert contains(image, text_patch("recurrent", height, (255, 255, 255), (40, 40, 40)))
    assert contains(image, text_patch("pick up", height, (0, 0, 0), (255, 255, 255)))


def test_tubes_show_their_number_on_their_frames_only():
    box = np.array([[50.0, 80, 250, 200]] * 3)
    tubes = VideoTubes("a", [Tube(90, box, 0), Tube(start=5, boxes=box, label=2, score=0.5)])
    for frame, drawn in [(4, False), (5, True), (7, True), (8, False)]:
        image = blank()
        with Canvas(image, NAMES) as canvas:
            canvas.tubes(frame, tubes.at(frame))
        assert contains(image, label("wipe #1 0.50", 2)) == drawn
        assert (image != GROUND).any() == drawn


def test_a_part_of_a_wider_picture():
    sheet = np.full((240, 640, 3), GROUND, dtype=np.uint8)
    alone = blank()
    for image in (alone, sheet[:, 320:]):
        draw_detections(image, detections([[200, 80, 310, 200]], [[0.9, 0, 0]]), NAMES)
    np.testing.assert_array_equal(sheet[:, 320:], alone)
    assert (sheet[:, :320] == GROUND).all()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((8, 9, 3)), "found float64"),
        (np.zeros((8, 9), np.uint8), r"found uint8 \(8, 9\)"),
        (np.zeros((8, 9, 3), np.uint8)[..., ::-1], r"image.copy\(\) makes one"),
        (np.zeros((8, 9, 3), np.uint8)[::-1], r"image.copy\(\) makes one"),
        (np.broadcast_to(np.uint8(3), (8, 9, 3)), r"image.copy\(\) makes one"),
    ],
)
def test_what_opencv_cannot_draw_into(image, message):
    with pytest.raises(ValueError, match=message):
        Canvas(image, ["wipe"])


def test_another_order_of_classes():
    image = blank()
    with Canvas(image, ("something else",)) as canvas:
        found = detections([[50, 80, 250, 200]], [[0, 0, 0.9]])
        canvas.detections(found, names=NAMES)
        canvas.annotations(truth([[50, 80, 250, 200]], [0]), names=NAMES)
    assert contains(image, label("wipe 0.90", 2))


def test_text_wider_than_the_frame_is_cut():
    image = blank((30, 40))
    draw_detections(image, detections([[5, 5, 30, 25]], [[0.9, 0, 0]]), ("long " * 20, "b", "c"))
    assert changed(image)[2] <= 40


def test_sizes_follow_the_frame():
    assert (line_width((720, 1280)), text_height((720, 1280))) == (2, 18)
    assert (line_width((2160, 3840)), text_height((2160, 3840))) == (7, 54)
    assert (line_width((120, 160)), text_height((120, 160))) == (2, 11)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0:00:00.00  frame 9"),
        (59.999, "0:01:00.00  frame 9"),
        (3723.456, "1:02:03.46  frame 9"),
    ],
)
def test_time_stamp(seconds, expected):
    assert time_stamp(seconds, 9) == expected


@given(
    box=st.lists(st.floats(-1e4, 1e4), min_size=4, max_size=4),
    size=st.tuples(st.integers(1, 50), st.integers(1, 50)),
)
def test_any_box_on_any_frame(box, size):
    image = blank(size)
    draw_detections(image, detections([box], [[0.9, 0.8, 0.7]]), NAMES)
    draw_annotations(image, truth([box], [0], [3]), NAMES)


def test_colours_are_stable_and_apart():
    names = [f"class {i}" for i in range(40)]
    colours = class_colours(names)
    assert len(np.unique(colours, axis=0)) == 40
    np.testing.assert_array_equal(class_colours(names[::-1]), colours[::-1])
    np.testing.assert_array_equal(class_colours(names[:1]), class_colours([names[0]]))
    few = class_colours(names[:8]).astype(int)
    distance = np.abs(few[:, None] - few[None]).sum(axis=2) + 999 * np.eye(8, dtype=int)
    assert distance.min() > 60


def test_more_classes_than_colours():
    assert class_colours([str(i) for i in range(200)]).shape == (200, 3)
    assert class_colours([]).shape == (0, 3)
