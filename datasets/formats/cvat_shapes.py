"""CVAT's shapes as upright boxes: the box that encloses a turned box, an ellipse, a polygon, ..

https://docs.cvat.ai/docs/manual/advanced/xml_format/ names the elements and their attributes.
"""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence

import numpy as np

from stadet.engine.errors import UserError
from stadet.engine.reading import parse_number, shown

BOX = "box"
SHAPES = frozenset({BOX, "polygon", "polyline", "points", "ellipse", "mask", "cuboid", "skeleton"})
_CUBOID = re.compile(r"([xy])[tb][lr][12]")


def shape_box(element: ElementTree.Element, where: str) -> tuple[list[float], float]:
    """(x1, y1, x2, y2) of a shape and the degrees by which it is still to be turned clockwise about
    its centre, which only boxes are; the others come enclosed.

    A shape without an area, as a single point, gives a box without one. UserError naming `where`
    for numbers that are missing or not finite.
    """
    number = lambda key: parse_number(element.get(key), f"{where}: {key}")  # noqa: E731
    turned = parse_number(element.get("rotation") or "0", f"{where}: rotation")
    kind = element.tag
    if kind == BOX:
        return [number(key) for key in ("xtl", "ytl", "xbr", "ybr")], turned
    if kind == "ellipse":
        x, y, rx, ry = (number(key) for key in ("cx", "cy", "rx", "ry"))
        cos, sin = math.cos(math.radians(turned)), math.sin(math.radians(turned))
        half_x, half_y = math.hypot(rx * cos, ry * sin), math.hypot(rx * sin, ry * cos)
        return _rounded([x - half_x, y - half_y, x + half_x, y + half_y]), 0.0
    if kind == "mask":
        left, top, width, height = (number(key) for key in ("left", "top", "width", "height"))
        return [left, top, left + width, top + height], 0.0
    if kind == "cuboid":
        sides: dict[str, list[float]] = {"x": [], "y": []}
        for key in element.attrib:
            if found := _CUBOID.fullmatch(key):
                sides[found[1]].append(number(key))
        points = [sides["x"], sides["y"]]
    elif kind == "skeleton":
        seen = [e for e in element.iter("points") if not is_true(e.get("outside"), where)]
        corners = [_points(e.get("points"), where) for e in seen]
        points = [[p[i] for part in corners for p in part] for i in (0, 1)]
    else:
        found = _points(element.get("points"), where)
        points = [[p[i] for p in found] for i in (0, 1)]
    if not all(points):
        return [0.0, 0.0, 0.0, 0.0], 0.0  # a skeleton none of whose points is seen
    return [min(points[0]), min(points[1]), max(points[0]), max(points[1])], 0.0


def enclose_turned(boxes: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """(N, 4) xyxy boxes turned clockwise by `degrees` (N,) about their centres, to the upright
    boxes around them."""
    if not degrees.any():
        return boxes
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]) / 2
    angle = np.radians(degrees)
    cos, sin = np.abs(np.cos(angle)), np.abs(np.sin(angle))
    around = np.column_stack(
        [half[:, 0] * cos + half[:, 1] * sin, half[:, 0] * sin + half[:, 1] * cos]
    )
    turned = np.round(np.concatenate([centre - around, centre + around], axis=1), 6)
    return np.where((degrees == 0)[:, None], boxes, turned)


def is_true(text: str | None, where: str) -> bool:
    """A flag as CVAT (0, 1) or Python and XML Schema (True, true) write it; absent is false."""
    value = (text or "0").strip().lower()
    if value in ("1", "true"):
        return True
    if value in ("0", "false", ""):
        return False
    raise UserError(f"{where}: expected 0 or 1 for a flag, found {shown(text)}")


def _points(text: str | None, where: str) -> list[tuple[float, float]]:
    pairs = [pair for pair in (text or "").split(";") if pair.strip()]
    points = []
    for pair in pairs:
        sides = pair.split(",")
        if len(sides) != 2:
            raise UserError(f"{where}: expected points as x,y;x,y, found {shown(text)}")
        points.append(tuple(parse_number(side, f"{where}: points") for side in sides))
    if not points:
        raise UserError(f"{where}: expected points as x,y;x,y, found {shown(text)}")
    return points


def _rounded(sides: Sequence[float]) -> list[float]:
    return [round(side, 6) for side in sides]
