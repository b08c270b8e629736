"""What is known of generated footage beyond its annotations: `restaurant.json`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from datasets.restaurant.annotator import Track, tracks_of
from datasets.restaurant.classes import ClassSet
from datasets.restaurant.config import FootageConfig
from datasets.restaurant.scene import Scene

SCHEMA = "stad-restaurant/1"


def describe(config: FootageConfig, scenes: list[Scene]) -> dict[str, Any]:
    """The facts, ready for JSON.

    `parameters`; `classes` in order; `told_by_one_frame`: classes that a single picture tells;
    `reversed_pairs`: classes that are exact time reversals of each other; `videos`: for each
    video `scene`, `view`, `frames`, `looked_at` (ranges), `share_without_action` (of the frames
    looked at) and `motionless`: where a carrying hand stands still, rows of `label`, `first`,
    `last` and its `box` there (xyxy pixels).

    Frames are 0-based, ranges include their last frame, and all refers to the clean annotations.
    On `first` the hand has just arrived, so it differs from the frame before; on `first + k` the
    k frames before show the same hand.
    """
    classes = ClassSet.most_frequent(config.classes, config.tail)
    videos = {
        scene.video_name(view): _video_facts(scene, view)
        for scene in scenes
        for view in config.view_names
    }
    return {
        "schema": SCHEMA,
        "seed": config.seed,
        "parameters": asdict(config),
        "classes": list(classes.names),
        "told_by_one_frame": list(classes.told_by_one_frame),
        "reversed_pairs": [list(pair) for pair in classes.reverses.items()],
        "videos": videos,
    }


def _video_facts(scene: Scene, view: str) -> dict[str, Any]:
    looked_at = scene.script.looked_at
    tracks = tracks_of(scene, view)
    acting = np.zeros(len(scene), dtype=bool)
    for track in tracks:
        acting[track.frames] = True
    seen = int(looked_at.sum())
    return {
        "scene": scene.name,
        "view": view,
        "frames": len(scene),
        "looked_at": ranges(looked_at),
        "share_without_action": round(1 - float((acting & looked_at).sum()) / max(1, seen), 4),
        "motionless": [row for track in tracks for row in _motionless(track, looked_at)],
    }


def _motionless(track: Track, looked_at: np.ndarray) -> list[dict[str, Any]]:
    if track.still is None:
        return []
    first, last = track.still
    annotated = np.isin(np.arange(first, last + 1), track.frames)
    if not (annotated.all() and looked_at[first : last + 1].all()):
        return []
    box = track.boxes[int(np.searchsorted(track.frames, first))]
    return [{"label": track.label, "first": first, "last": last, "box": box.round(3).tolist()}]


def ranges(mask: np.ndarray) -> list[list[int]]:
    """[first, last] of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int)))
    return [[int(a), int(b) - 1] for a, b in zip(edges[::2], edges[1::2], strict=True)]
