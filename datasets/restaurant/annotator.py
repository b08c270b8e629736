"""Annotation of a scene: a box around hand, tool and item of every action."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stadet.datasets.restaurant.arm import outline_of, reach_of
from stadet.datasets.restaurant.motion import Performance
from stadet.datasets.restaurant.painter import rotate
from stadet.detect.boxes import area, clip_boxes
from stadet.detect.structures import VideoAnnotations

if TYPE_CHECKING:
    from stadet.datasets.restaurant.scene import Scene

LEAST_VISIBLE = 0.3  # share of the box inside the picture below which nobody annotates it


@dataclass(frozen=True, eq=False)
class Track:
    """One annotated action in one view.

    track_id: the same in all views; label; frames (L,) where it is annotated; boxes (L, 4) xyxy
    pixels clipped to the picture; still: (first, last) annotated frames on which the carrying hand
    stays at one place, or None.
    """

    track_id: int
    label: str
    frames: np.ndarray
    boxes: np.ndarray
    still: tuple[int, int] | None


def hand_outline(performance: Performance, at: int, hand: float, left: bool) -> np.ndarray:
    """(K, 2) outline of hand, tool and item in counter units."""
    look = performance.looks[at]
    outline = outline_of(look, left) + np.array([0, performance.reach - reach_of(look)])
    return performance.tip[at] + rotate(outline * hand, performance.angle(at))


def tracks_of(scene: Scene, view: str) -> list[Track]:
    """The clean tracks of one view, in order of their start; unseen stretches are not left out."""
    return [track for track, _, _ in _drawn(scene, view)]


def _drawn(scene: Scene, view: str):
    """Each clean track with the boxes and visibility of its whole performance."""
    camera = scene.cameras[view]
    for track_id, appearance in enumerate(scene.script.appearances):
        performance = appearance.performance
        if performance.annotated is None:
            continue
        left = scene.workers[appearance.worker].left
        whole = np.array(
            [
                _bounds(camera.project(hand_outline(performance, at, scene.layout.hand, left)))
                for at in range(len(performance))
            ]
        )
        boxes = clip_boxes(whole, camera.size)
        visible = area(boxes) / area(whole) >= LEAST_VISIBLE
        span = np.zeros(len(performance), dtype=bool)
        span[slice(*performance.annotated)] = True
        at = np.flatnonzero(span & visible)
        if len(at) == 0:
            continue
        still = performance.still
        if still is not None:
            still = (appearance.start + still[0], appearance.start + still[1] - 1)
        track = Track(track_id, performance.label, appearance.start + at, boxes[at], still)
        yield track, boxes, np.flatnonzero(visible)


def _bounds(points: np.ndarray) -> np.ndarray:
    return np.concatenate([points.min(0), points.max(0)])


def annotate(
    scene: Scene, view: str, faults: np.random.Generator | None = None
) -> VideoAnnotations:
    """Annotations of one view over the frames looked at; with `faults`, imperfect ones."""
    names = scene.classes.names
    looked_at = scene.script.looked_at
    columns = []
    for track, boxes, visible in _drawn(scene, view):
        if faults is not None:
            start = scene.script.appearances[track.track_id].start
            track = _spoil(track, start, boxes, visible, scene, faults)
        seen = looked_at[track.frames]
        columns.append((track, track.frames[seen], track.boxes[seen]))
    frames = np.concatenate([np.zeros(0, dtype=np.int64)] + [c[1] for c in columns])
    labels = np.zeros((len(frames), len(names)), dtype=bool)
    label_of_row = np.concatenate(
        [np.zeros(0, dtype=np.int64)]
        + [np.full(len(f), names.index(track.label)) for track, f, _ in columns]
    )
    labels[np.arange(len(frames)), label_of_row] = True
    return VideoAnnotations.build(
        scene.video_name(view),
        scene.config.size,
        scene.config.fps,
        looked_at,
        frames,
        np.concatenate([np.zeros((0, 4))] + [c[2] for c in columns]),
        labels,
        np.concatenate(
            [np.zeros(0, dtype=np.int64)] + [np.full(len(f), t.track_id) for t, f, _ in columns]
        ),
    )


def _spoil(
    track: Track,
    start: int,
    boxes: np.ndarray,
    visible: np.ndarray,
    scene: Scene,
    rng: np.random.Generator,
) -> Track:
    """The track with shifted ends, a slowly wandering box and, seldom, a wrong label.

    start: first frame of the performance; boxes: of all its frames; visible: which of them show it.
    """
    config = scene.config
    first, last = track.frames[0] - start, track.frames[-1] - start
    shift = np.round(rng.normal(0, config.onset_shift * config.fps, 2)).astype(int)
    first, last = first + shift[0], last + shift[1]
    at = visible[(visible >= first) & (visible <= last)]
    if len(at) < 2:
        at = track.frames - start
    knots = np.unique(np.append(np.arange(0, len(at), max(2, round(config.fps / 2))), len(at) - 1))
    wander = rng.normal(0, config.box_jitter, (len(knots), 4))  # hand-set key frames
    drift = np.stack(
        [np.interp(np.arange(len(at)), knots, wander[:, side]) for side in range(4)], axis=1
    )
    sides = boxes[at][:, 2:] - boxes[at][:, :2]
    noisy = clip_boxes(boxes[at] + drift * np.tile(sides, 2), config.size)
    label = track.label
    if len(scene.classes.names) > 1 and rng.uniform() < config.wrong_labels:
        label = str(rng.choice([name for name in scene.classes.names if name != label]))
    return Track(track.track_id, label, start + at, noisy, track.still)
