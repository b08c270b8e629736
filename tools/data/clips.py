"""Long videos and their annotations to short clips in folders by action."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml

from stadet.datasets.clip_export import ExportClip, folder_rate, write_clips
from stadet.datasets.clips.resample import same_rate
from stadet.datasets.dataset import Dataset, load_dataset
from stadet.engine.errors import UserError, neighbours
from stadet.engine.files import atomic_directory, atomic_write
from stadet.engine.progress import progress_bar
from stadet.recurrent_yolo.sequences import SequenceConfig, action_sequences

_log = logging.getLogger(__name__)

YOWO_SIZE = (240, 320)  # (height, width) that YOWO's public code takes for granted


def make_clips(
    data: str | Path,
    out: str | Path,
    *,
    layout: str = "folders",
    side: str | None = None,
    classes: Sequence[str] | None = None,
    size: tuple[int, int] | None = None,
    pad: float = 0.5,
    merge: float = 0.5,
    shortest: float = 1.0,
    longest: float = 10.0,
) -> list[ExportClip]:
    """Cut every action of a data set out as a clip, with the boxes of its frames.

    Args:
        data: data set file.
        out: new folder to write.
        layout: "folders" (`OUT/<side>/<Class>/<clip>.mp4`), or "yowo" (JPEG folders and lists for
            YOWO's public code).
        side: only this side of the split (default: all).
        classes: only clips of these (default: all).
        size: (height, width) to stretch frames to (default: the video's; yowo: 240 320).
        pad: seconds around an action.
        merge: break between two actions of a class that is bridged, seconds.
        shortest: of a clip, seconds.
        longest: of a clip, seconds.

    Returns:
        The clips, by video and time.

    Raises:
        UserError: for unknown classes, and where there is nothing to cut out.
    """
    if size and min(size) < 1:
        raise UserError(f"--size: expected a height and a width of at least 1, found {list(size)}")
    lengths = SequenceConfig(pad, merge, shortest, longest, overlap=0.0)
    dataset = load_dataset(data)
    dataset.findings.report()
    clips, empty = plan_clips(dataset, lengths, [side] if side else None, classes)
    if empty:
        _log.info(
            f"{empty} clips left out that lie in the padding of their action alone; make --longest "
            "longer or --pad shorter to have none"
        )
    if layout == "yowo":
        fps = folder_rate(dataset.annotations, clips)
        own = {clip.video for clip in clips}
        other = sum(not same_rate(dataset.annotations.videos[name].clock, fps) for name in own)
        if other:
            _log.info(
                f"{other} of {len(own)} videos are brought to {fps:.4g} fps, the rate of most of "
                "the footage: folders of images have no times"
            )
    bar = progress_bar(description="clips", total=len(clips), unit="clip")
    with atomic_directory(out) as root, bar:
        keys = write_clips(
            root,
            clips,
            dataset.annotations,
            dataset.open_video,
            layout=layout,
            size=size or (YOWO_SIZE if layout == "yowo" else None),
            watch=lambda clip: bar.update(),
        )
        for key in ("reverses", "flip_labels"):
            if pairs := getattr(dataset.config, key):
                keys[key] = dict(pairs)
        with atomic_write(root / "dataset.yaml") as stream:
            yaml.safe_dump(keys, stream, sort_keys=False, allow_unicode=True, width=96)
    return clips


def plan_clips(
    dataset: Dataset,
    lengths: SequenceConfig,
    sides: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
) -> tuple[list[ExportClip], int]:
    """The clips of every side and class, by video and time, and how many were left out because
    none of their frames has the action: pieces of its padding. UserError where there is none, and
    for unknown classes."""
    for name in classes or ():
        if name not in dataset.names:
            raise UserError(f"--classes: no class {name!r}{neighbours(name, dataset.names)}")
    clips, empty = [], 0
    for side in sides or list(dataset.split.masks):
        for video in dataset.side(side).objects():
            for column, label in enumerate(dataset.names):
                if classes and label not in classes:
                    continue
                has_action = np.zeros(video.num_frames, dtype=bool)
                has_action[video.frames[video.labels[:, column]]] = True
                spans = action_sequences(has_action, video.looked_at, video.clock, lengths)
                full = [(a, b) for a, b in spans if has_action[a:b].any()]
                clips += [ExportClip(video.name, a, b, label, side) for a, b in full]
                empty += len(spans) - len(full)
    if not clips:
        raise UserError(f"{dataset.path}: expected frames with an action to cut out, found none")
    return sorted(clips, key=lambda clip: (clip.video, clip.start, clip.stop, clip.label)), empty
