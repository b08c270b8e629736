"""Points, polygons and lines in shares of the frame: (x, y) from 0 to 1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Point = tuple[float, float]
_ON_LINE = 1e-12  # area, in shares of the frame, up to which a point and a line span none


def contains(polygon: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(N,) bool: points (N, 2) inside a polygon (K, 2), by the even-odd rule.

    A left or upper edge belongs to the polygon, a right or lower one does not, so that zones that
    share an edge share no point.
    """
    start, stop = polygon, np.roll(polygon, -1, axis=0)
    x, y = points[:, :1], points[:, 1:]  # (N, 1) against edges (K,)
    spans = (start[:, 1] <= y) != (stop[:, 1] <= y)
    rise = np.where(stop[:, 1] == start[:, 1], 1.0, stop[:, 1] - start[:, 1])
    at = start[:, 0] + (y - start[:, 1]) / rise * (stop[:, 0] - start[:, 0])
    return (spans & (x < at)).sum(axis=1) % 2 == 1


def side(line: Sequence[Point], point: Point) -> int:
    """-1 left, 1 right of the line as one walks from its first to its second point in the picture
    (y down); 0 on it."""
    (x1, y1), (x2, y2) = line
    turn = (x2 - x1) * (point[1] - y1) - (y2 - y1) * (point[0] - x1)
    return 0 if abs(turn) <= _ON_LINE else int(np.sign(turn))


def crossing(line: Sequence[Point], before: Point, after: Point) -> int:
    """Does a move cross the stretch between the line's two points?

    1 from left to right, -1 from right to left, 0 not. A point on the line counts as right of it.
    """
    first, second = side(line, before) or 1, side(line, after) or 1
    if first == second:
        return 0
    move = (before, after)
    ends = side(move, line[0]), side(move, line[1])
    return 0 if ends[0] == ends[1] else second


def crossed_edges(polygon: Sequence[Point]) -> tuple[int, int] | None:
    """Two edges of a polygon that meet elsewhere than in a shared corner, or `None`.

    Edge i goes from point i to the next one.
    """
    corners = np.array(polygon, dtype=np.float64)
    count, ends = len(corners), np.roll(corners, -1, axis=0)
    for i in range(count - 2):
        last = count - 1 if i == 0 else count  # its neighbour is not asked
        others = slice(i + 2, last)
        met = _meet(corners[i], ends[i], corners[others], ends[others])
        if met.any():
            return i, i + 2 + int(met.argmax())
    return None


def polygon_area(polygon: Sequence[Point]) -> float:
    """Area, in shares of the frame."""
    x, y = np.array(polygon, dtype=np.float64).T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def _meet(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    """(N,) bool: the segment from a to b (2,) shares a point with those from c to d (N, 2)."""
    one, two = _sides(a, b, c), _sides(a, b, d)
    three, four = _sides(c, d, a), _sides(c, d, b)
    met = (one != two) & (three != four)
    met |= (one == 0) & _between(a, b, c) | (two == 0) & _between(a, b, d)
    return met | (three == 0) & _between(c, d, a) | (four == 0) & _between(c, d, b)


def _sides(a: np.ndarray, b: np.ndarray, points: np.ndarray) -> np.ndarray:
    """`side` of lines and points (.., 2) that broadcast."""
    along, to = b - a, points - a
    turn = along[..., 0] * to[..., 1] - along[..., 1] * to[..., 0]
    return np.where(np.abs(turn) <= _ON_LINE, 0, np.sign(turn))


def _between(a: np.ndarray, b: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points on the line through a and b that lie between them."""
    return ((np.minimum(a, b) <= points) & (points <= np.maximum(a, b))).all(axis=-1)
