import numpy as np

from stadet.detect.drawing.zones import draw_zones, with_rulers
from stadet.detect.scene.scene import Camera

GREY = np.full((120, 200, 3), 90, np.uint8)


def changed(camera):
    drawn = draw_zones(GREY, camera)
    assert drawn.shape == GREY.shape and (GREY == 90).all()  # a copy
    return (drawn != 90).any(axis=2)


def test_a_zone_is_filled_where_it_lies():
    square = np.array([[0.1, 0.25], [0.6, 0.25], [0.6, 0.75], [0.1, 0.75]])
    found = changed(Camera("c", ("c",), zones={"tray": square}))
    assert found[34:86, 24:116].all()
    found[26:95, 16:125] = False
    assert not found.any()


def test_a_lines_arrow_points_to_the_right_of_the_way_along_it():
    down = changed(Camera("c", ("c",), lines={"h": ((0.5, 0.0), (0.5, 1.0))}))
    up = changed(Camera("c", ("c",), lines={"h": ((0.5, 1.0), (0.5, 0.0))}))
    for found, tip, other in (
        (down, slice(78, 84), slice(117, None)),
        (up, slice(117, 123), slice(84)),
    ):
        assert found[:, 100].mean() > 0.9  # the line
        assert found[55:65, tip].any() and not found[:, other].any()


def test_long_names_at_the_edge_stay_inside():
    corner = np.array([[0.95, 0.95], [1.0, 0.95], [1.0, 1.0]])
    name = "a very long name of a zone that is wider than the picture is by far"
    assert changed(Camera("c", ("c",), zones={name: corner})).any()


def test_a_zone_and_a_line_of_one_name():
    square = np.array([[0.1, 0.25], [0.6, 0.25], [0.6, 0.75], [0.1, 0.75]])
    line = {"tray": ((0.9, 0.0), (0.9, 1.0))}
    both = changed(Camera("c", ("c",), zones={"tray": square}, lines=line))
    assert both[34:86, 24:116].all() and both[:, 180].mean() > 0.9


def test_rulers_are_at_tenths_of_an_enlarged_frame():
    drawn = with_rulers(GREY)
    height, width = drawn.shape[:2]
    assert (height, width) == (600, 1000)
    changed = (drawn != 90).any(axis=2)[60:, 60:]  # without the numbers
    columns, rows = changed.all(axis=0), changed.all(axis=1)
    assert (np.flatnonzero(columns) + 60).tolist() == [
        x for tenth in range(1, 10) for x in (100 * tenth - 1, 100 * tenth)
    ]
    assert (np.flatnonzero(rows) + 60).tolist() == [
        y for tenth in range(1, 10) for y in (60 * tenth - 1, 60 * tenth) if y >= 60
    ]
    assert (drawn[:20, 95:105] != 90).any(axis=2).mean() > 0.5  # "0.1"
