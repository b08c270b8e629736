"""Which reversed actions a mirror turns into each other, by the way their boxes move."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stadet.detect.structures import AnnotationSet, VideoAnnotations
from stadet.detect.tubes.truth import truth_tubes

CLEAR = 0.35  # box sizes that a box goes, or that its way encloses, before it counts as a side
SHARE = 0.8  # of the tracks that go to either side, before the class has that side
CLEARLY = 0.25  # share of a class's tracks that go to either side: in few looked-at frames few do
LEAST = 2  # and the fewest such tracks


@dataclass(frozen=True)
class MirrorPair:
    """Two reversed actions of which one, mirrored, moves as the other does.

    Attributes:
        one, other: the classes; `one` goes right, or turns clockwise as seen on the picture.
        kind: `"direction"` (to the right and to the left) or `"turn"` (clockwise and against it).
        tracks: how many of each go their way, and how many clearly go either way:
            ((of one, all such of one), (of other, all such of other)).
    """

    one: str
    other: str
    kind: str
    tracks: tuple[tuple[int, int], tuple[int, int]]

    def __str__(self) -> str:
        way, back = (
            ("goes right", "left")
            if self.kind == "direction"
            else ("turns clockwise", "anticlockwise")
        )
        (a, of_a), (b, of_b) = self.tracks
        return (
            f"{self.one!r} {way} in {a} of {of_a} tracks, {self.other!r} {back} in {b} of {of_b}: "
            "in a mirror one moves as the other"
        )


def mirror_pairs(
    annotations: AnnotationSet, reverses: Mapping[str, str], flip_labels: Mapping[str, str]
) -> list[MirrorPair]:
    """The reversed actions that a horizontal flip confuses.

    Single frames of them look alike, so a mirrored clip of one that moves as the other is a wrong
    example. Two measures of a track change their sign in a mirror and nothing else: the horizontal
    way from the first box to the last, and the signed area of the polygon that the centre runs
    through. Tracks that go to a side by at least `CLEAR` box sizes count, and a class has a side
    where at least `SHARE` of them go there. Only motion is looked at: writing, and left and right
    hands, are for `flip_labels`.

    Args:
        annotations: the side to train on.
        reverses: label -> label of the reversed action, in both directions.
        flip_labels: label -> label that are exchanged in a mirrored frame, in both directions.
    """
    ways: list[list[tuple[float, float]]] = [[] for _ in annotations.names]
    for video in annotations:
        for label, way in _tracks(video):
            ways[label].append(way)
    found = []
    for pair in sorted({tuple(sorted(pair)) for pair in reverses.items()}):
        first, second = pair
        if flip_labels.get(first) == second:
            continue
        for place, kind in enumerate(("direction", "turn")):
            sides = {n: _side([w[place] for w in ways[annotations.names.index(n)]]) for n in pair}
            if sides[first][0] * sides[second][0] < 0:
                one, other = (first, second) if sides[first][0] > 0 else (second, first)
                found.append(MirrorPair(one, other, kind, (sides[one][1], sides[other][1])))
    return found


def _side(values: list[float]) -> tuple[int, tuple[int, int]]:
    """1 or -1 where enough tracks agree, else 0; and how many do, of how many that go anywhere."""
    clear = [value for value in values if abs(value) >= CLEAR]
    if len(clear) < max(LEAST, CLEARLY * len(values)):
        return 0, (0, len(clear))
    for side in (1, -1):
        count = sum(side * value > 0 for value in clear)
        if count >= SHARE * len(clear):
            return side, (count, len(clear))
    return 0, (0, len(clear))


def _tracks(video: VideoAnnotations) -> list[tuple[int, tuple[float, float]]]:
    """(label, (horizontal way, root of the signed area)) of each track, in its median box size."""
    found = []
    for tube in truth_tubes(video, max_gap=max(1, round(video.fps))):
        boxes = tube.boxes
        size = float(np.median(np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))))
        if size <= 0:
            continue
        x, y = ((boxes[:, :2] + boxes[:, 2:]) / 2 / size).T
        area = 0.5 * float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())
        turn = float(np.sign(area) * np.sqrt(abs(area)))
        found.append((tube.label, (float(x[-1] - x[0]), turn)))
    return found
