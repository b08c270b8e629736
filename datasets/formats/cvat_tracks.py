"""CVAT's tracks: interpolation between keyframes, and which tracks are the same actor."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from stadet.datasets.formats.cvat_shapes import enclose_turned


@dataclass
class Track:
    """One `<track>`: listed boxes by position in the task (0, 1, ..), in order of position.

    positions (K,); boxes (K, 4) xyxy, upright; degrees (K,) by which they are turned clockwise;
    outside (K,) bool; interpolated (K,) bool: listed, but no keyframe; shapeless (K,) bool:
    visible, but as a shape without a box; labels: K tuples of class names.
    """

    number: str
    group: str
    positions: np.ndarray
    boxes: np.ndarray
    degrees: np.ndarray
    outside: np.ndarray
    interpolated: np.ndarray
    shapeless: np.ndarray
    labels: list[tuple[str, ...]] = field(default_factory=list)


@dataclass(frozen=True)
class DenseTrack:
    """Every visible position (L,) of a track, its box (L, 4) and the listed box that it follows
    (L,); unseen (U,): positions of which the file says nothing."""

    positions: np.ndarray
    boxes: np.ndarray
    source: np.ndarray
    unseen: np.ndarray


def interpolate(track: Track, stop: int, *, every_frame_listed: bool) -> DenseTrack:
    """A track between its listed boxes, up to position `stop` (exclusive).

    Between two visible listed boxes: linear, and then the upright box around the turned one.
    Between a visible one and one marked outside: the box stays where it was until visibility ends.
    Nothing before the first listed box, after the last, or between an outside box and the next:
    what nobody drew is not there. every_frame_listed: the file lists interpolated boxes too, as
    CVAT's exports do, so that a frame which a visible track skips was deleted: it is unseen.
    """
    positions, boxes, degrees, source, unseen = [], [], [], [], []
    for k in np.flatnonzero(~track.outside).tolist():
        start = int(track.positions[k])
        last = k + 1 == len(track.positions)
        end = start + 1 if last else min(int(track.positions[k + 1]), stop)
        if every_frame_listed and end > start + 1:
            unseen.append(np.arange(start + 1, end))
            end = start + 1
        if track.shapeless[k]:
            unseen.append(np.arange(start, end))
            continue
        steps = np.arange(end - start)
        target = k if last or track.outside[k + 1] or track.shapeless[k + 1] else k + 1
        length = 1 if last else int(track.positions[k + 1]) - start
        share = steps / max(length, 1)
        boxes.append(track.boxes[k] * (1 - share[:, None]) + track.boxes[target] * share[:, None])
        turn = (track.degrees[target] - track.degrees[k] + 180) % 360 - 180  # the shorter way
        degrees.append(track.degrees[k] + turn * share)
        positions.append(start + steps)
        source.append(np.full(len(steps), k))
    joined = lambda parts, empty: np.concatenate([empty, *parts])  # noqa: E731
    numbers = np.zeros(0, np.int64)
    return DenseTrack(
        joined(positions, numbers),
        enclose_turned(joined(boxes, np.zeros((0, 4))), joined(degrees, np.zeros(0))),
        joined(source, numbers),
        joined(unseen, numbers),
    )


def same_actor(
    groups: list[str], positions: list[np.ndarray], boxes: list[np.ndarray]
) -> np.ndarray:
    """Actor number of each track (N,): annotators draw an actor of two actions as two tracks.

    Tracks are one actor where they share a frame with exactly the same box, or are in the same
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
