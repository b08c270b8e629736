"""Cameras with zones and lines, and the rules that hold in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np

from stadet.detect.scene.polygon import Point
from stadet.engine.errors import UserError

if TYPE_CHECKING:
    from stadet.detect.scene.counts import CountRules

KINDS = ("presence", "dwell", "count", "crossing", "sequence", "absence")


@dataclass(frozen=True, eq=False)
class Camera:
    """A fixed view.

    Attributes:
        name: of the camera.
        videos: patterns (`*`, `?`) of the names of its videos and streams.
        size: (height, width) of its frames in pixels; None = as the video says.
        zones: polygons (K, 2) by name, (x, y) in shares of the frame.
        lines: two points by name.
    """

    name: str
    videos: tuple[str, ...]
    size: tuple[int, int] | None = None
    zones: Mapping[str, np.ndarray] = field(default_factory=dict)
    lines: Mapping[str, tuple[Point, Point]] = field(default_factory=dict)

    def shows(self, video: str) -> bool:
        """Is a video of this camera?"""
        return any(fnmatchcase(video, pattern) for pattern in self.videos)


@dataclass(frozen=True)
class Condition:
    """Boxes that a rule looks for.

    Attributes:
        classes: names; None = every class.
        zone: in which the box's anchor lies; None = the whole frame.
    """

    classes: tuple[str, ...] | None = None
    zone: str | None = None

    def covers(self, other: Condition) -> bool:
        """Does it look for every box that `other` looks for?"""
        in_classes = self.classes is None or (
            other.classes is not None and set(other.classes) <= set(self.classes)
        )
        return in_classes and self.zone in (None, other.zone)


@dataclass(frozen=True)
class Rule:
    """A rule of a scene; docs/rules.md says what each kind means.

    Attributes:
        name: of the rule, unique in its scene.
        kind: presence, dwell, count, crossing, sequence or absence.
        camera: where it holds; None = every camera that has its zones and lines.
        when: what presence, dwell, count and crossing look for.
        seconds: for which the condition must hold.
        grace: seconds of a pause that does not end a condition; of crossing: the longest pause
            between two sightings of an actor.
        cooldown: seconds after a hit without another (of the same actor, for rules by actor).
        min_score: weaker boxes are not seen.
        anchor: point of a box that lies in a zone: center, top or bottom (middle of that side).
        at_least: of count.
        at_most: of count.
        line: of crossing.
        direction: of crossing: any, left_to_right or right_to_left.
        steps: of sequence.
        unless: of sequence: breaks it off.
        after: of absence: what begins the wait.
        expect: of absence: what ends it.
        within: seconds, of sequence and absence.
        same_actor: the boxes of a sequence or absence belong to one actor.
    """

    name: str
    kind: str
    camera: str | None = None
    when: Condition = Condition()
    seconds: float = 0.0
    grace: float = 0.5
    cooldown: float = 0.0
    min_score: float = 0.3
    anchor: str = "center"
    at_least: int | None = None
    at_most: int | None = None
    line: str | None = None
    direction: str = "any"
    steps: tuple[Condition, ...] = ()
    unless: Condition | None = None
    after: Condition = Condition()
    expect: Condition = Condition()
    within: float = 0.0
    same_actor: bool = False

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Every condition of its kind."""
        if self.kind == "sequence":
            return self.steps + ((self.unless,) if self.unless else ())
        return (self.after, self.expect) if self.kind == "absence" else (self.when,)

    @property
    def longest_wait(self) -> float:
        """Seconds from a hit's start until the rule is met, at most."""
        return max(self.seconds, self.within, self.grace if self.kind == "crossing" else 0.0)

    def holds_in(self, camera: Camera) -> bool:
        """Does the rule hold in a camera's view?"""
        if self.camera is not None:
            return self.camera == camera.name
        zones = {c.zone for c in self.conditions} - {None}
        return zones <= set(camera.zones) and (self.line is None or self.line in camera.lines)


@dataclass(frozen=True, eq=False)
class Scene:
    """A scene file.

    Attributes:
        source: the file, for messages.
        cameras: by name.
        rules: in the file's order.
        counts: what is counted; None = nothing.
    """

    source: str
    cameras: Mapping[str, Camera]
    rules: tuple[Rule, ...]
    counts: CountRules | None = None

    def camera_of(self, video: str) -> Camera:
        """The camera of a video or stream.

        Raises:
            UserError: where none or several cameras show it.
        """
        found = [camera for camera in self.cameras.values() if camera.shows(video)]
        if len(found) != 1:
            names = ", ".join(camera.name for camera in found) or (
                f"none (cameras: {', '.join(self.cameras)})"
            )
            raise UserError(
                f"{self.source}: expected one camera of the video {video!r}, found {names}; "
                "correct the cameras' videos"
            )
        return found[0]

    def check_classes(self, names: tuple[str, ...]) -> None:
        """Every class of rules and counts is one of `names`; `UserError` otherwise."""
        from stadet.engine.errors import neighbours

        wanted = [(f"rule {rule.name!r}", rule) for rule in self.rules]
        wanted += [("counts", rule) for rule in self.counts.rules] if self.counts else []
        for where, rule in wanted:
            for condition in rule.conditions:
                for name in condition.classes or ():
                    if name not in names:
                        raise UserError(
                            f"{self.source}: {where}: expected one of the {len(names)} classes, "
                            f"found {name!r}{neighbours(name, names)}; they are "
                            f"{', '.join(names[:8])}{', ..' if len(names) > 8 else ''}"
                        )
