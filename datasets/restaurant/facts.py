"""Facts of generated footage beyond its annotations: `restaurant.json`."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from stadet.datasets.restaurant.annotator import Track, tracks_of
from stadet.datasets.restaurant.config import FootageConfig
from stadet.datasets.restaurant.scene import Scene
from stadet.engine.errors import UserError
from stadet.engine.reading import guarded, read_json

SCHEMA = "stad-restaurant/1"


@dataclass(frozen=True)
class Stop:
    """A hand that rests while it carries: only earlier frames tell the action.

    label; first, last: frames (0-based, inclusive); on `first` the hand has just arrived, on
    `first + k` the k frames before show the same hand. box: xyxy pixels, the same on all of them.
    """

    label: str
    first: int
    last: int
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Facts:
    """The part of `restaurant.json` that an evaluation needs. stops, views: by video name."""

    told_by_one_frame: tuple[str, ...]
    reversed_pairs: tuple[tuple[str, str], ...]
    stops: dict[str, tuple[Stop, ...]]
    views: dict[str, str]


@guarded("the facts of generated footage")
def read_facts(path: str | os.PathLike) -> Facts:
    """Read a `restaurant.json`.

    Raises:
        UserError: the file is missing, is not JSON or has another schema.
    """
    content = read_json(path, "the facts of generated footage")
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema != SCHEMA:
        raise UserError(f"{path}: expected schema {SCHEMA!r}, found {schema!r}")
    return Facts(
        tuple(content["told_by_one_frame"]),
        tuple((one, other) for one, other in content["reversed_pairs"]),
        {
            name: tuple(
                Stop(row["label"], row["first"], row["last"], tuple(row["box"]))
                for row in video["motionless"]
            )
            for name, video in content["videos"].items()
        },
        {name: video["view"] for name, video in content["videos"].items()},
    )


def describe(config: FootageConfig, videos: dict[str, Any]) -> dict[str, Any]:
    """The facts, ready for JSON; videos: those of all scenes, as `scene_facts` gives them.

    `parameters`; `classes` in order; `told_by_one_frame`: classes that a single picture tells;
    `reversed_pairs`: classes that are exact time reversals of each other; `videos`: for each
    video `scene`, `view`, `frames`, `looked_at` (ranges), `share_without_action` (of the frames
    looked at) and `motionless`: where a carrying hand rests, rows of `label`, `first`,
    `last` and its `box` there (xyxy pixels).

    Frames are 0-based, ranges include their last frame, all refers to the clean annotations.
    """
    classes = config.class_set
    return {
        "schema": SCHEMA,
        "seed": config.seed,
        "parameters": asdict(config),
        "classes": list(classes.names),
        "told_by_one_frame": list(classes.told_by_one_frame),
        "reversed_pairs": [list(pair) for pair in classes.reverses.items()],
        "videos": videos,
    }


def scene_facts(scene: Scene) -> dict[str, Any]:
    """Video name -> facts, of the scene's views."""
    return {scene.video_name(view): _video_facts(scene, view) for view in scene.cameras}


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
