"""Generated footage as a data set on disk."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import yaml

from datasets.formats.cvat import write_cvat
from datasets.restaurant.classes import ClassSet
from datasets.restaurant.config import FootageConfig
from datasets.restaurant.facts import describe, scene_facts
from datasets.restaurant.scene import Scene, generate
from datasets.video_writer import VideoWriter
from engine.errors import UserError
from engine.files import atomic_write
from engine.progress import progress_bar

QUALITY = 18  # x264's crf: coarser ones leave trails behind a hand, which tell its direction
BLOCK_SECONDS = 4  # as report 001: frames that are closer in time never cross a split


def write_footage(directory: Path, config: FootageConfig, *, overwrite: bool = False) -> Path:
    """Write videos, annotations, `dataset.yaml` and, last of all, `restaurant.json`.

    With `config.imperfect`, `annotations/` holds the faulty ones, `annotations_clean/` the truth,
    and `dataset_clean.yaml` is the data set to score against. Returns the path of `dataset.yaml`.

    Raises:
        UserError: `directory` holds something already and `overwrite` is not set, or it cannot be
            written to.
    """
    _make_room(directory, overwrite)
    videos: dict[str, Any] = {}
    total = config.scenes * config.frames_per_scene
    with progress_bar(description="filming", total=total, unit="frame") as bar:
        for scene in generate(config):
            _film(directory, scene, bar)
            for view in config.view_names:
                _write_annotations(directory, scene, view)
            videos.update(scene_facts(scene))
    with atomic_write(directory / "dataset.yaml") as stream:
        stream.write(_dataset_file(config, videos, "annotations"))
    if config.imperfect:
        with atomic_write(directory / "dataset_clean.yaml") as stream:
            stream.write(_dataset_file(config, videos, "annotations_clean"))
    with atomic_write(directory / "restaurant.json") as stream:
        json.dump(describe(config, videos), stream, indent=1)
    return directory / "dataset.yaml"


def _make_room(directory: Path, overwrite: bool) -> None:
    if directory.exists() and not directory.is_dir():
        raise UserError(f"--out: expected a folder, found the file {directory}; name another")
    if not directory.exists() or not any(directory.iterdir()):
        return
    if not overwrite:
        raise UserError(
            f"--out: expected a new or empty folder, found files in {directory}; "
            "name another, or replace the footage in it with --overwrite"
        )
    (directory / "restaurant.json").unlink(missing_ok=True)  # it marks whole footage
    for old in ("videos/counter*_*.mp4", "annotations/counter*_*.xml"):
        for path in directory.glob(old):
            path.unlink()
    for path in directory.glob("annotations_clean/counter*_*.xml"):
        path.unlink()
    (directory / "dataset_clean.yaml").unlink(missing_ok=True)


def _film(directory: Path, scene: Scene, bar) -> None:
    config = scene.config
    with contextlib.ExitStack() as stack:
        writers = {
            view: stack.enter_context(
                VideoWriter(
                    directory / "videos" / f"{scene.video_name(view)}.mp4",
                    config.size,
                    config.fps,
                    crf=QUALITY,
                )
            )
            for view in config.view_names
        }
        for pictures in scene.frames_of_views():
            for view, picture in pictures.items():
                writers[view].write(picture)
            bar.update(1)


def _write_annotations(directory: Path, scene: Scene, view: str) -> None:
    names = scene.classes.names
    file_name = f"{scene.video_name(view)}.xml"
    clean = scene.annotations(view)
    if not scene.config.imperfect:
        write_cvat(directory / "annotations" / file_name, clean, names)
        return
    write_cvat(directory / "annotations_clean" / file_name, clean, names)
    faulty = scene.annotations(view, imperfect=True)
    write_cvat(directory / "annotations" / file_name, faulty, names)


def _dataset_file(config: FootageConfig, videos: dict[str, Any], annotations: str) -> str:
    classes = ClassSet.most_frequent(config.classes, config.tail)
    content: dict[str, Any] = {
        "path": ".",
        "format": "cvat",
        "videos": "videos",
        "annotations": annotations,
        "names": list(classes.names),
        "looked_at": {name: video["looked_at"] for name, video in videos.items()},
        "reverses": classes.reverses,
        "split": {
            "method": "blocks",
            "block_seconds": BLOCK_SECONDS,
            "val": 0.2,
            "test": 0.0,
            "seed": 0,
        },
    }
    if config.views > 1:
        content["views"] = {}
        for name, video in videos.items():
            content["views"].setdefault(video["scene"], []).append(name)
    if classes.flip_labels:
        content["flip_labels"] = classes.flip_labels
    head = "# Generated by `stad make-footage`; facts about it stand in restaurant.json.\n"
    return head + yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=96)
