"""Hits of the rules over tubes, and the files of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from stadet.detect.scene.rules import Hit, RuleEngine, Seen
from stadet.detect.scene.scene import Camera, Scene
from stadet.detect.tubes.events import time_text
from stadet.detect.tubes.tube_set import VideoTubes
from stadet.engine.csv_files import CsvWriter
from stadet.engine.errors import UserError
from stadet.engine.files import atomic_write

COLUMNS = ("video", "camera", "rule", "kind", "time", "start_s", "end_s", "met_s", "score")
VideoHit = tuple[str, Hit]  # the video's name, and a hit in it


def hits_in_tubes(
    scene: Scene,
    camera: Camera,
    video: VideoTubes,
    names: Sequence[str],
    size: tuple[int, int],
    looked_at: np.ndarray | None = None,
) -> list[Hit]:
    """Hits of a camera's rules over one video, by time.

    An actor is who the tubes say (tubes without one belong to nobody), or where no tube says it, a
    tube's id.

    Args:
        scene: with the rules.
        camera: of the video.
        video: its tubes.
        names: of the tubes' classes.
        size: (height, width) of the video's frames.
        looked_at: (F,) bool, frames that are shown to the rules; None = all.

    Raises:
        UserError: for a video whose frame rate is not known.
    """
    if video.clock is None:
        raise UserError(
            f"{video.name}: expected its frames a second, found none in the tube file; "
            "give --fps, or make the tubes with --data or --ground-truth"
        )
    frames = np.arange(video.length) if looked_at is None else np.flatnonzero(looked_at)
    scale = np.array([size[1], size[0], size[1], size[0]], dtype=np.float64)
    engine = RuleEngine(scene, camera)
    known = any(tube.actor is not None for tube in video.tubes)
    told = []
    for frame, seconds in zip(frames.tolist(), video.clock.seconds(frames).tolist(), strict=True):
        seen = [
            Seen(
                names[tube.label],
                tuple((tube.boxes[frame - tube.start] / scale).tolist()),
                tube.score,
                tube.actor if known else number,
            )
            for number, tube in video.at(frame)
        ]
        told += engine.update(seconds, seen)
    hits = [hit for what, hit in (*told, *engine.finish()) if what == "ended"]
    return sorted(hits, key=lambda hit: (hit.start, hit.rule, hit.actor or 0))


def hit_values(hit: Hit) -> dict[str, Any]:
    """A hit as plain values, times in milliseconds' precision."""
    values = asdict(hit)
    for key in ("start", "stop", "at"):
        values[key] = round(values[key], 3)
    values["score"] = None if hit.score is None else round(hit.score, 4)
    return values


def write_hits_csv(path: str | os.PathLike, hits: Iterable[VideoHit], clock: float = 0.0) -> None:
    """csv, one hit a row. clock: time of day at the videos' beginning, in seconds."""
    with atomic_write(path) as stream:
        rows = CsvWriter(stream)
        rows.writerow([*COLUMNS, "actor", "zone"])
        for video, hit in hits:
            rows.writerow(
                [
                    video,
                    hit.camera,
                    hit.rule,
                    hit.kind,
                    time_text(hit.start + clock),
                    *(f"{value:.2f}" for value in (hit.start, hit.stop, hit.at)),
                    "" if hit.score is None else f"{hit.score:.3f}",
                    "" if hit.actor is None else hit.actor,
                    hit.zone or "",
                ]
            )


def write_hits_jsonl(path: str | os.PathLike, hits: Iterable[VideoHit]) -> None:
    """JSON Lines, one hit a line."""
    with atomic_write(path) as stream:
        for video, hit in hits:
            stream.write(json.dumps({"video": video, **hit_values(hit)}, ensure_ascii=False) + "\n")
