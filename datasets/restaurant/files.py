"""Generated footage as a data set on disk."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Any

import yaml

from stadet.datasets.footage.writer import VideoWriter
from stadet.datasets.formats.cvat import write_cvat
from stadet.datasets.restaurant.config import FootageConfig
from stadet.datasets.restaurant.facts import describe, scene_facts
from stadet.datasets.restaurant.scene import Scene
from stadet.engine.errors import UserError
from stadet.engine.files import atomic_write
from stadet.engine.progress import progress
from stadet.engine.signatures import checked

QUALITY = 18  # x264's crf: coarser ones leave trails behind a hand, which tell its direction
BLOCK_SECONDS = 4  # as the restaurant report: frames that are closer in time never cross a split


@checked
def write_footage(
    directory: str | Path,
    config: FootageConfig,
    *,
    overwrite: bool = False,
    workers: int | None = None,
) -> Path:
    """Write videos, annotations, `dataset.yaml` and, last of all, `restaurant.json`.

    With `config.imperfect`, `annotations/` holds the faulty ones, `annotations_clean/` the truth,
    and `dataset_clean.yaml` is the data set to score against.

    Args:
        directory: a new or empty folder.
        config: the footage to generate.
        overwrite: replace what an earlier call wrote there.
        workers: processes that film a scene each (default: one per core, at most one per scene);
            their number changes no picture.

    Returns:
        The path of `dataset.yaml`.

    Raises:
        UserError: `directory` holds something already and `overwrite` is not set, or it cannot be
            written to.
    """
    directory = Path(directory)
    _make_room(directory, overwrite)
    videos: dict[str, Any] = {}
    workers = min(workers or os.cpu_count() or 1, config.scenes)
    numbers = range(config.scenes)
    with contextlib.ExitStack() as stack:
        run: Callable[..., Iterable[dict[str, Any]]] = map
        if workers > 1:  # spawned: a fork of a process with threads may hang
            context = multiprocessing.get_context("spawn")
            run = stack.enter_context(ProcessPoolExecutor(workers, mp_context=context)).map
        written = run(_write_scene, repeat(directory), repeat(config), numbers)
        bar = progress(written, description="filming", unit="scene", total=config.scenes)
        for facts in bar:
            videos.update(facts)
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


def _write_scene(directory: Path, config: FootageConfig, number: int) -> dict[str, Any]:
    """One scene's videos and annotations; returns its facts by video."""
    scene = Scene(config, number)
    _film(directory, scene)
    for view in config.view_names:
        _write_annotations(directory, scene, view)
    return scene_facts(scene)


def _film(directory: Path, scene: Scene) -> None:
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
    classes = config.class_set
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
    head = "# Generated by `stad make-footage`; facts about it are in restaurant.json.\n"
    return head + yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=96)
