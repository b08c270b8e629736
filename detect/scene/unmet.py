"""Why a rule has no hit: how far the boxes come that it looks for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from stadet.detect.scene.polygon import contains
from stadet.detect.scene.rules import anchor_point
from stadet.detect.scene.scene import Camera, Condition, Rule
from stadet.detect.tubes.tube_set import VideoTubes


@dataclass
class ConditionCounts:
    """Tubes that a condition of a rule looks for.

    Attributes:
        words: what the condition is for, as "step 2" or "after"; "" for a rule's only one.
        condition: classes and zone.
        tubes: of its classes.
        sure: those of them that reach the rule's `min_score`.
        inside: those of them whose anchor is in the zone on some frame.
    """

    words: str
    condition: Condition
    tubes: int = 0
    sure: int = 0
    inside: int = 0


def condition_counts(
    rule: Rule,
    videos: Iterable[tuple[Camera, VideoTubes, tuple[int, int]]],
    names: Sequence[str],
) -> list[ConditionCounts]:
    """What each condition of a rule finds; empty where the rule holds in none of the cameras.

    Args:
        rule: of a scene.
        videos: each with its camera and the (height, width) of its frames.
        names: of the tubes' classes.
    """
    found = [ConditionCounts(words, condition) for words, condition in _conditions(rule)]
    holds = False
    for camera, video, (height, width) in videos:
        if not rule.holds_in(camera):
            continue
        holds = True
        scale = np.array([width, height, width, height], dtype=np.float64)
        for tube in video.tubes:
            for counts in found:
                classes, zone = counts.condition.classes, counts.condition.zone
                if classes is not None and names[tube.label] not in classes:
                    continue
                counts.tubes += 1
                if tube.score < rule.min_score:
                    continue
                counts.sure += 1
                if zone is not None:
                    boxes = (tube.boxes / scale).tolist()
                    points = np.array([anchor_point(box, rule.anchor) for box in boxes])
                    counts.inside += bool(contains(camera.zones[zone], points).any())
    return found if holds else []


def why_unmet(rule: Rule, found: Sequence[ConditionCounts]) -> Iterator[str]:
    """A line for each condition of a rule without a hit."""
    if not found:
        yield "holds in no camera of these videos"
    for counts in found:
        zone = counts.condition.zone
        line = f"{counts.tubes:,} tubes of its classes"
        if counts.sure < counts.tubes:
            line += f", {counts.sure:,} of them with a score of {rule.min_score:g} (min_score)"
        if zone is not None:
            line += f", {counts.inside:,} with their {_ANCHORS[rule.anchor]} in zone {zone!r}"
        yield f"{counts.words}: {line}" if counts.words else line


_ANCHORS = {"center": "centre", "top": "upper side", "bottom": "lower side"}


def _conditions(rule: Rule) -> list[tuple[str, Condition]]:
    if rule.kind == "sequence":
        steps = [(f"step {number}", step) for number, step in enumerate(rule.steps, start=1)]
        return [*steps, *([("unless", rule.unless)] if rule.unless else [])]
    if rule.kind == "absence":
        return [("after", rule.after), ("expect", rule.expect)]
    return [("", rule.when)]
