"""Polygons against OpenCV and an angle sum, crossings against intersecting segments."""

import time

import cv2
import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stadet.detect.scene.polygon import contains, crossed_edges, crossing, polygon_area, side

SHARE = st.integers(0, 20).map(lambda k: k / 20)
POINT = st.tuples(SHARE, SHARE)


def winds(polygon, point):
    """Turns of the polygon around a point, by summed angles."""
    total = 0.0
    for a, b in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
        one = np.arctan2(a[1] - point[1], a[0] - point[0])
        other = np.arctan2(b[1] - point[1], b[0] - point[0])
        total += (other - one + np.pi) % (2 * np.pi) - np.pi
    return round(total / (2 * np.pi))


@settings(max_examples=300, deadline=None)
@given(st.lists(POINT, min_size=3, max_size=7, unique=True), POINT)
def test_simple_polygons_hold_what_they_wind_around(points, point):
    assume(crossed_edges(points) is None and polygon_area(points) > 0)
    point = (point[0] + 0.013, point[1] + 0.017)  # on no edge through the grid's points
    edges = zip(points, [*points[1:], points[0]], strict=True)
    assume(all(abs(np.cross(np.subtract(b, a), np.subtract(point, a))) > 1e-9 for a, b in edges))
    inside = bool(contains(np.array(points), np.array([point]))[0])
    assert inside == (winds(points, point) != 0)
    contour = (np.array(points) * 1000).astype(np.float32)
    assert inside == (cv2.pointPolygonTest(contour, (point[0] * 1000, point[1] * 1000), False) > 0)


def test_neighbouring_zones_share_no_point():
    left = np.array([(0, 0), (0.5, 0), (0.5, 1), (0, 1)])
    right = np.array([(0.5, 0), (1, 0), (1, 1), (0.5, 1)])
    points = np.array([(0.5, 0.2), (0.5, 0.0), (0.0, 0.0), (0.999, 0.999)])
    both = np.stack([contains(left, points), contains(right, points)])
    assert (both.sum(axis=0) == 1).all()


@settings(max_examples=200, deadline=None)
@given(st.lists(POINT, min_size=4, max_size=6, unique=True))
def test_crossed_edges_are_found_as_by_solving_for_the_point(points):
    def meet(a, b, c, d):
        table = np.array([[b[0] - a[0], c[0] - d[0]], [b[1] - a[1], c[1] - d[1]]])
        if abs(np.linalg.det(table)) < 1e-12:
            return None  # parallel: not asked here
        s, t = np.linalg.solve(table, [c[0] - a[0], c[1] - a[1]])
        return -1e-9 <= s <= 1 + 1e-9 and -1e-9 <= t <= 1 + 1e-9

    count, expected = len(points), False
    for i in range(count):
        for j in range(i + 2, count - (i == 0)):
            found = meet(points[i], points[i + 1], points[j], points[(j + 1) % count])
            assume(found is not None)
            expected |= found
    assert (crossed_edges(points) is not None) == expected


@settings(max_examples=200, deadline=None)
@given(POINT, POINT, POINT, POINT)
def test_a_crossing_is_the_way_back_turned(a, b, before, after):
    assume(a != b and before != after)
    assume(all(side((a, b), point) for point in (before, after)))
    assert crossing((a, b), before, after) == -crossing((a, b), after, before)
    assert crossing((a, b), before, after) == -crossing((b, a), before, after)


def test_a_corner_on_another_edge_is_found_whatever_the_rounding():
    assert crossed_edges([(0.25, 0.5), (0.35, 0.3), (0.1, 0.8), (0.3, 0.45)]) is not None
    assert crossed_edges([(0.0, 0.0), (0.3, 0.0), (0.3, 0.3), (0.0, 0.3)]) is None


def test_many_corners_take_no_time():
    """A circle of 2,000 corners, and the same with two of them swapped."""
    turns = np.linspace(0, 2 * np.pi, 2000, endpoint=False)
    circle = np.stack([0.5 + 0.4 * np.cos(turns), 0.5 + 0.4 * np.sin(turns)], axis=1)
    begin = time.process_time()
    assert crossed_edges(circle.tolist()) is None
    circle[[1500, 1501]] = circle[[1501, 1500]]
    assert crossed_edges(circle.tolist()) == (1499, 1501)
    assert time.process_time() - begin < 15  # 20 s each in a loop over pairs


def test_left_and_right():
    upwards = ((0.5, 1.0), (0.5, 0.0))  # walking up the picture, left is left
    assert crossing(upwards, (0.4, 0.5), (0.6, 0.5)) == 1
    assert crossing(upwards, (0.6, 0.5), (0.4, 0.5)) == -1
    short = ((0.5, 1.0), (0.5, 0.8))
    assert crossing(short, (0.4, 0.5), (0.6, 0.5)) == 0  # past its end
