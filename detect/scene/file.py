"""Scene files: `stad-scene/1`, YAML."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from itertools import permutations
from typing import Any

import numpy as np

from stadet.detect.scene.counts_section import read_counts
from stadet.detect.scene.polygon import Point, crossed_edges, polygon_area
from stadet.detect.scene.scene import KINDS, Camera, Rule, Scene
from stadet.detect.scene.values import (
    ANCHORS,
    check_places,
    condition,
    expect_known,
    flag,
    listing,
    mapping,
    named,
    one_of,
    zones_of,
)
from stadet.engine.errors import UserError, neighbours
from stadet.engine.reading import (
    finite_number,
    guarded,
    image_side,
    read_yaml_document,
    shown,
    whole_number,
)

SCHEMA = "stad-scene/1"
DIRECTIONS = ("any", "left_to_right", "right_to_left")
_ALWAYS = {"name", "kind", "camera", "min_score", "anchor", "cooldown"}
_HELD = {"classes", "zone", "seconds", "grace"}
_KEYS = {
    "presence": _HELD,
    "dwell": _HELD,
    "count": _HELD | {"at_least", "at_most"},
    "crossing": {"classes", "line", "direction", "grace"},
    "sequence": {"steps", "within", "unless", "same_actor"},
    "absence": {"after", "expect", "within", "same_actor", "grace"},
}
_NEEDED = {
    "presence": (),
    "dwell": ("seconds",),
    "count": (),
    "crossing": ("line",),
    "sequence": ("steps", "within"),
    "absence": ("after", "expect", "within"),
}


class SceneError(UserError):
    """What is wrong in a scene file, and where.

    Attributes:
        place: keys from the top of the file, as in ``("cameras", "counter", "zones", "tray")``,
            ``("rules", "queue")`` or ``("counts",)``.
    """

    def __init__(self, message: str, place: tuple[str, ...]):
        super().__init__(message)
        self.place = place


@guarded("a scene file")
def read_scene(path: str | os.PathLike) -> Scene:
    """Read a scene file; everything in it is checked.

    Raises:
        UserError: another schema, unknown keys, polygons that cross themselves, rules that name
            unknown cameras, zones or lines, and limits that contradict each other.
    """
    return parse_scene(read_yaml_document(path, "a scene file"), str(path))


def parse_scene(document: Any, where: str) -> Scene:
    """The scene of a document that was read from the file `where`, checked as by `read_scene`."""
    content = mapping(document, where)
    if content.get("schema") != SCHEMA:
        raise UserError(
            f"{where}: expected schema: {SCHEMA}, found {shown(content.get('schema'))}; begin the "
            "file with it"
        )
    expect_known(content, {"schema", "cameras", "rules", "counts"}, where)
    cameras = {}
    for name, values in mapping(content.get("cameras"), f"{where}: cameras").items():
        with _at("cameras", str(name)):
            named(name, f"{where}: cameras")
            cameras[name] = _camera(name, values, f"{where}: camera {name!r}")
    if not cameras:
        raise UserError(f"{where}: cameras: expected at least one camera, found none")
    _check_videos(cameras, where)
    rules: list[Rule] = []
    for number, values in enumerate(listing(content.get("rules", []), f"{where}: rules"), start=1):
        rule = _rule(mapping(values, f"{where}: rule {number}"), f"{where}: rule {number}")
        with _at("rules", rule.name):
            if any(rule.name == other.name for other in rules):
                raise UserError(f"{where}: two rules are called {rule.name!r}; rename one")
            _check_places(rule, cameras, f"{where}: rule {rule.name!r}")
        rules.append(rule)
    counts = None
    if "counts" in content:
        with _at("counts"):
            counts = read_counts(content["counts"], cameras, f"{where}: counts")
    return Scene(where, cameras, tuple(rules), counts)


def _check_videos(cameras: Mapping[str, Camera], where: str) -> None:
    """No camera shows all that another one's patterns name: a video has one camera."""
    for one, other in permutations(cameras.values(), 2):
        for pattern in one.videos:
            if pattern in other.videos or ("[" not in pattern and other.shows(pattern)):
                with _at("cameras", one.name):
                    raise UserError(
                        f"{where}: expected one camera of a video, found that {one.name!r} and "
                        f"{other.name!r} both show {pattern!r}; correct their videos"
                    )


@contextlib.contextmanager
def _at(*place: str) -> Iterator[None]:
    """Give errors of the block their place, unless they have one."""
    try:
        yield
    except SceneError:
        raise
    except UserError as error:
        raise SceneError(str(error), place) from error


def _camera(name: str, values: Any, where: str) -> Camera:
    values = mapping(values, where)
    expect_known(values, {"videos", "size", "zones", "lines"}, where)
    videos = [named(v, f"{where}: videos") for v in listing(values.get("videos", [name]), where)]
    if not videos:
        raise UserError(f"{where}: videos: expected names, found none; leave it out for {name!r}")
    size = None
    if "size" in values:
        sides = listing(values["size"], f"{where}: size")
        if len(sides) != 2:
            raise UserError(f"{where}: size: expected [height, width], found {shown(sides)}")
        size = (image_side(sides[0], f"{where}: size"), image_side(sides[1], f"{where}: size"))
    zones, lines = {}, {}
    for key, points in mapping(values.get("zones", {}), f"{where}: zones").items():
        with _at("cameras", name, "zones", str(key)):
            zones[named(key, f"{where}: zones")] = _polygon(points, f"{where}: zone {key!r}")
    for key, points in mapping(values.get("lines", {}), f"{where}: lines").items():
        with _at("cameras", name, "lines", str(key)):
            lines[named(key, f"{where}: lines")] = _line(points, f"{where}: line {key!r}")
    return Camera(name, tuple(videos), size, zones, lines)


def _polygon(value: Any, where: str) -> np.ndarray:
    points = _points(value, where)
    if len(points) < 3:
        raise UserError(f"{where}: expected three points or more, found {len(points)}")
    for number, point in enumerate(points):
        if point in points[:number]:
            raise UserError(
                f"{where}: expected every point once, found that points {points.index(point) + 1} "
                f"and {number + 1} are the same; leave one out (a zone closes by itself)"
            )
    crossed = crossed_edges(points)
    if crossed is not None:
        i, j = crossed
        raise UserError(
            f"{where}: expected a polygon that does not cross itself, found that its edges from "
            f"point {i + 1} and from point {j + 1} meet; put the points in order around the zone"
        )
    if polygon_area(points) == 0:
        raise UserError(f"{where}: expected a polygon with an area, found none")
    return np.array(points)


def _line(value: Any, where: str) -> tuple[Point, Point]:
    points = _points(value, where)
    if len(points) != 2 or points[0] == points[1]:
        raise UserError(f"{where}: expected two different points, found {shown(value)}")
    return points[0], points[1]


def _points(value: Any, where: str) -> list[Point]:
    points = []
    for point in listing(value, where):
        if not isinstance(point, list) or len(point) != 2:
            raise UserError(f"{where}: expected points [x, y], found {shown(point)}")
        x, y = point
        try:
            points.append(
                (
                    finite_number(x, where, least=0, most=1),
                    finite_number(y, where, least=0, most=1),
                )
            )
        except UserError as error:
            raise UserError(f"{error}; points are shares of the frame's width and height") from None
    return points


def _rule(values: Mapping[str, Any], where: str) -> Rule:
    if "name" in values:
        where = f"{where} ({shown(values['name'])})"
    name = named(values.get("name"), f"{where}: name")
    kind = one_of(values.get("kind"), KINDS, f"{where}: kind")
    expect_known(values, _ALWAYS | _KEYS[kind], f"{where} of kind {kind}")
    for key in _NEEDED[kind]:
        if key not in values:
            raise UserError(f"{where}: a rule of kind {kind} needs {key}; add it")

    def number(key: str, default: float) -> float:
        return finite_number(values.get(key, default), f"{where}: {key}", least=0)

    def count(key: str) -> int | None:
        return whole_number(values[key], f"{where}: {key}", least=0) if key in values else None

    held = {key: values[key] for key in ("classes", "zone") if key in values}
    camera = values.get("camera")
    rule = Rule(
        name,
        kind,
        camera=None if camera is None else named(camera, f"{where}: camera"),
        when=condition(held, where),
        seconds=number("seconds", 0.0),
        grace=number("grace", 0.5),
        cooldown=number("cooldown", 0.0),
        min_score=finite_number(
            values.get("min_score", 0.3), f"{where}: min_score", least=0, most=1
        ),
        anchor=one_of(values.get("anchor", "center"), ANCHORS, f"{where}: anchor"),
        at_least=count("at_least"),
        at_most=count("at_most"),
        line=named(values["line"], f"{where}: line") if "line" in values else None,
        direction=one_of(values.get("direction", "any"), DIRECTIONS, f"{where}: direction"),
        steps=tuple(
            condition(step, f"{where}: steps")
            for step in listing(values.get("steps", []), f"{where}: steps")
        ),
        unless=condition(values["unless"], f"{where}: unless") if "unless" in values else None,
        after=condition(values.get("after", {}), f"{where}: after"),
        expect=condition(values.get("expect", {}), f"{where}: expect"),
        within=number("within", 0.0),
        same_actor=flag(values.get("same_actor", False), f"{where}: same_actor"),
    )
    _check_limits(rule, where)
    return rule


def _check_limits(rule: Rule, where: str) -> None:
    if rule.kind == "count":
        if rule.at_least is None and rule.at_most is None:
            raise UserError(f"{where}: a rule of kind count needs at_least or at_most; add one")
        if rule.at_most is not None and (rule.at_least or 0) > rule.at_most:
            raise UserError(
                f"{where}: expected at_least up to at_most, found {rule.at_least} and "
                f"{rule.at_most}: no number is both"
            )
        if rule.at_most is None and rule.at_least == 0:
            raise UserError(f"{where}: at_least: expected 1 or more, found 0: every number is met")
    if rule.kind == "dwell" and rule.seconds == 0:
        raise UserError(f"{where}: seconds: expected more than 0, found 0; or take kind presence")
    if rule.kind in ("sequence", "absence") and rule.within == 0:
        raise UserError(f"{where}: within: expected more than 0 s, found 0")
    if rule.kind == "sequence" and len(rule.steps) < 2:
        raise UserError(f"{where}: steps: expected two or more, found {len(rule.steps)}")
    if rule.kind == "sequence" and rule.unless is not None:
        if any(rule.unless.covers(step) for step in rule.steps[1:]):
            raise UserError(
                f"{where}: unless looks for all boxes of a later step, so that it never happens; "
                "name other classes or another zone"
            )
        if rule.unless == rule.steps[0]:
            raise UserError(f"{where}: unless is the first step, so that it says nothing")
    if rule.kind == "absence" and rule.expect.covers(rule.after):
        raise UserError(
            f"{where}: expect looks for all boxes of after, so that it never happens; name other "
            "classes or another zone"
        )


def _check_places(rule: Rule, cameras: Mapping[str, Camera], where: str) -> None:
    if rule.camera is not None and rule.camera not in cameras:
        raise UserError(
            f"{where}: camera {rule.camera!r} is unknown{neighbours(rule.camera, cameras)}; "
            f"expected {', '.join(cameras)}"
        )
    asked = list(cameras.values()) if rule.camera is None else [cameras[rule.camera]]
    lines = {name for camera in asked for name in camera.lines}
    check_places("zone", (c.zone for c in rule.conditions), zones_of(asked), where)
    check_places("line", [rule.line], lines, where)
    if not any(rule.holds_in(camera) for camera in asked):
        raise UserError(f"{where}: no camera has all of its zones and lines; name them in one")
