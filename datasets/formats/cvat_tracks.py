"""CVAT's tracks: interpolation between keyframes, and which tracks are the same actor."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Track:
    """One `<track>`: listed boxes by position in the task (0, 1, ..), in order of position.

    positions (K,); boxes (K, 4) xyxy; outside (K,) bool; labels: K tuples of class names.
    """

    number: str
    group: str
    positions: np.ndarray
    boxes: np.ndarray
    outside: np.ndarray
    labels: list[tuple[str, ...]] = field(default_factory=list)


def interpolate(track: Track) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every visible position (L,), its box (L, 4) and the listed box it follows (L,).

    Between two visible listed boxes: linear. Between a visible one and one marked outside: the box
    stays where it was until visibility ends. Nothing before the first listed box, after the last,
    or between an outside box and the next: what nobody drew is not there.
    """
    positions, boxes, source = [], [], []
    for k in np.flatnonzero(~track.outside).tolist():
        start = int(track.positions[k])
        last = k + 1 == len(track.positions)
        stop = start + 1 if last else int(track.positions[k + 1])
        steps = np.arange(stop - start)
        target = track.boxes[k] if last or track.outside[k + 1] else track.boxes[k + 1]
        share = (steps / max(stop - start, 1))[:, None]
        boxes.append(track.boxes[k] * (1 - share) + target * share)
        positions.append(start + steps)
        source.append(np.full(len(steps), k))
    if not positions:
        return np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0, np.int64)
    return np.concatenate(positions), np.concatenate(boxes), np.concatenate(source)


def same_actor(
    groups: list[str], positions: list[np.ndarray], boxes: list[np.ndarray]
) -> np.ndarray:
    """Actor number of each track (N,): annotators draw an actor of two actions as two tracks.

    Tracks are one actor where they share a frame with exactly the same box, or stand in the same
    group, and are nowhere seen at different places at once. Numbers follow the order of the file.
    """
    places = [
        dict(zip(p.tolist(), map(tuple, b.tolist()), strict=True))
        for p, b in zip(positions, boxes, strict=True)
    ]
    parent = list(range(len(places)))

    def root(track: int) -> int:
        while parent[track] != track:
            track = parent[track]
        return track

    def join(a: int, b: int) -> None:
        a, b = sorted((root(a), root(b)))
        if a == b or any(places[a][f] != places[b][f] for f in places[a].keys() & places[b].keys()):
            return
        parent[b] = a
        places[a] = places[a] | places[b]

    together = defaultdict(list)
    for track, place in enumerate(places):
        for item in place.items():
            together[item].append(track)
        if groups[track]:
            together[groups[track]].append(track)
    for tracks in together.values():
        for other in tracks[1:]:
            join(tracks[0], other)
    roots = [root(track) for track in range(len(places))]
    return np.unique(roots, return_inverse=True)[1] if roots else np.zeros(0, np.int64)


def keyframes(boxes: np.ndarray, tolerance: float) -> np.ndarray:
    """(L,) bool: the boxes of a gapless run (L, 4) from which linear interpolation restores all
    others to within `tolerance` pixels a side (Douglas and Peucker's rule on four coordinates)."""
    keep = np.zeros(len(boxes), dtype=bool)
    keep[[0, -1]] = True
    open_spans = [(0, len(boxes) - 1)]
    while open_spans:
        first, last = open_spans.pop()
        if last - first < 2:
            continue
        share = (np.arange(1, last - first) / (last - first))[:, None]
        straight = boxes[first] * (1 - share) + boxes[last] * share
        error = np.abs(boxes[first + 1 : last] - straight).max(axis=1)
        worst = int(error.argmax())
        if error[worst] > tolerance:
            middle = first + 1 + worst
            keep[middle] = True
            open_spans += [(first, middle), (middle, last)]
    return keep
