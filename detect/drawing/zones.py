"""The zones and lines of a camera over one of its frames."""

from __future__ import annotations

import cv2
import numpy as np

from stadet.detect.drawing.colours import class_colours, text_colour
from stadet.detect.drawing.render import line_width, text_height
from stadet.detect.drawing.text_patch import text_patch
from stadet.detect.scene.scene import Camera

FILL = 0.25  # share of a zone's colour in its area
GRID = 0.35  # share of its colour
LEAST_WIDTH = 900  # pixels of a picture with rulers, whose numbers are read


def draw_zones(image: np.ndarray, camera: Camera) -> np.ndarray:
    """A copy of a frame (H, W, 3) uint8 RGB with the camera's zones filled and its lines drawn.

    Each has its name. A line's arrow points to its right side, where `left_to_right` crossings end.
    """
    height, width = image.shape[:2]
    shapes = [*camera.zones.items(), *camera.lines.items()]  # one of each may have the same name
    names, zones = [name for name, _ in shapes], len(camera.zones)
    colours = class_colours(names).tolist()
    sides = np.array([width, height])
    drawn, thick = image.copy(), line_width((height, width))
    corners = [np.round(np.asarray(points) * sides).astype(np.int32) for _, points in shapes]
    for points, colour in zip(corners[:zones], colours[:zones], strict=True):
        cv2.fillPoly(drawn, [points], colour)
    drawn = cv2.addWeighted(drawn, FILL, image, 1 - FILL, 0)
    for number, (points, colour) in enumerate(zip(corners, colours, strict=True)):
        cv2.polylines(drawn, [points], number < zones, colour, thick)
    for points, colour in zip(corners[zones:], colours[zones:], strict=True):
        first, last = points.astype(float)
        along, middle = last - first, (first + last) / 2
        length = max(float(np.hypot(*along)), 1.0)
        right = np.array([-along[1], along[0]]) / length  # y points down
        tip = middle + right * min(0.1 * width, 0.5 * length)
        ends = [tuple(np.round(point).astype(int).tolist()) for point in (middle, tip)]
        cv2.arrowedLine(drawn, *ends, colour, thick, tipLength=0.3)
    for name, points, colour in zip(names, corners, colours, strict=True):
        _write(drawn, name, colour, points.mean(axis=0))
    return drawn


def with_rulers(image: np.ndarray) -> np.ndarray:
    """A copy of a frame (H, W, 3) uint8 RGB with a grid of tenths of its sides and their numbers,
    from which points of a scene file are read off; small frames are enlarged."""
    scale = max(1, -(-LEAST_WIDTH // image.shape[1]))
    drawn = image.repeat(scale, axis=0).repeat(scale, axis=1)
    height, width = drawn.shape[:2]
    grid = drawn.copy()
    places = [(tenth, round(width * tenth / 10), round(height * tenth / 10)) for tenth in range(10)]
    for _, x, y in places[1:]:
        grid[:, x], grid[y] = 255, 255
        grid[:, x - 1], grid[y - 1] = 0, 0  # seen on bright and on dark frames
    drawn = cv2.addWeighted(grid, GRID, drawn, 1 - GRID, 0)
    for tenth, x, y in places[1:]:
        text = f"{tenth / 10:g}"
        _write(drawn, text, [0, 0, 0], np.array([x, 0]))
        _write(drawn, text, [0, 0, 0], np.array([0, y]))
    return drawn


def _write(image: np.ndarray, name: str, colour: list[int], place: np.ndarray) -> None:
    """The name around a place, moved so far that it lies inside the picture."""
    height, width = image.shape[:2]
    background = (colour[0], colour[1], colour[2])
    patch = text_patch(name, text_height((height, width)), text_colour(background), background)
    patch = patch[:height, :width]
    rows, columns = patch.shape[:2]
    x = int(np.clip(place[0] - columns / 2, 0, width - columns))
    y = int(np.clip(place[1] - rows / 2, 0, height - rows))
    image[y : y + rows, x : x + columns] = patch
