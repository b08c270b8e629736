"""Training, validation and test sides: which frames of which video, decided by a seed.

Footage is cut into units (blocks of time, clips, whole videos) and units are distributed over the
sides. Videos that show the same time from different cameras are cut at the same moments, and the
frames of a unit in all of them fall on the same side, whatever their frame rates. Dealing is
stratified after Sechidis, Tsoumakas and Vlahavas, "On the stratification of multi-label data"
(2011): rare classes first, each to the side that lacks it most, so that a class of two units is on
two sides.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from stadet.datasets.splits.lists import read_video_list
from stadet.datasets.splits.ranges import mask_to_ranges, ranges_to_mask
from stadet.datasets.splits.units import cut_blocks, cut_clips, cut_videos, deal
from stadet.detect.structures import AnnotationSet, VideoAnnotations
from stadet.engine.errors import UserError, neighbours

SIDES = ("train", "val", "test")


@dataclass(frozen=True)
class SplitConfig:
    """The `split` of a data set file.

    Attributes:
        method: "blocks" of block_seconds; "clips", cut in the middle of the pauses between actions;
            "videos", whole ones with all their views; or "lists".
        block_seconds: length of a block.
        val: share of the validation side; the rest is for training.
        test: share of the test side.
        seed: of the draw.
        lists: side -> names of its videos, or a text file of them.
        allow_overlap: lists may put a frame on several sides (to check a set-up, not for a result).
    """

    method: Literal["blocks", "clips", "videos", "lists"] = "blocks"
    block_seconds: float = 4.0
    val: float = 0.2
    test: float = 0.0
    seed: int = 0
    lists: dict[str, list[str] | str] | None = None
    allow_overlap: bool = False

    def __post_init__(self) -> None:
        if not (0 <= self.val < 1 and 0 <= self.test < 1 and self.val + self.test < 1):
            raise UserError(
                f"split: expected shares val and test of at least 0 with a sum below 1, found "
                f"{self.val} and {self.test}"
            )
        if self.block_seconds <= 0:
            raise UserError(f"split: expected block_seconds above 0, found {self.block_seconds}")
        if (self.method == "lists") != bool(self.lists):
            raise UserError("split: method 'lists' and the key 'lists' go together; give both")


@dataclass(frozen=True, eq=False)
class Split:
    """side -> video name -> (F,) bool, the frames of that side. Sides without frames are absent.

    video_digests: content keys of the videos, where known; they tell the same footage under
    another name, and other footage under the same name.
    """

    masks: Mapping[str, Mapping[str, np.ndarray]]
    video_digests: Mapping[str, str] = field(default_factory=dict)

    def mask(self, side: str, video: str, num_frames: int) -> np.ndarray:
        """(num_frames,) bool; all False for a video that has no frame on this side."""
        found = self.masks.get(side, {}).get(video)
        return np.zeros(num_frames, dtype=bool) if found is None else found

    def visible(self, side: str, video: str, num_frames: int) -> np.ndarray:
        """(num_frames,) bool: what a clip of this side may show, which is its own frames and those
        that no other side holds (nobody looked at them, as between AVA's key frames)."""
        others = [self.mask(other, video, num_frames) for other in self.masks if other != side]
        return self.mask(side, video, num_frames) | ~np.any(others, axis=0)

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that change with any frame's side."""
        text = json.dumps(self._ranges(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def select(self, annotations: AnnotationSet, side: str) -> AnnotationSet:
        """The videos with looked-at frames on `side`, `looked_at` and boxes narrowed to them.

        UserError for a side that has none.
        """
        videos = {}
        for video in annotations:
            narrowed = video.narrowed(self.mask(side, video.name, video.num_frames))
            if narrowed.looked_at.any():
                videos[video.name] = narrowed
        if not videos:
            known = side in SIDES
            hint = "give it a share or a list under split" if known else f"sides: {SIDES}"
            raise UserError(
                f"split: expected looked-at frames on side {side!r}, found none; {hint}"
            )
        return AnnotationSet(annotations.names, videos)

    def record(self) -> dict[str, Any]:
        """Plain data for a checkpoint: digest, ranges of every side, the videos' content keys."""
        return {
            "digest": self.digest,
            "sides": self._ranges(),
            "video_digests": dict(self.video_digests),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Split:
        masks = {
            side: {v: ranges_to_mask(r, r[-1][1] + 1) for v, r in videos.items()}
            for side, videos in record["sides"].items()
        }
        return cls(masks, dict(record["video_digests"]))

    def _ranges(self) -> dict[str, dict[str, list[list[int]]]]:
        return {
            side: {name: mask_to_ranges(mask) for name, mask in sorted(videos.items())}
            for side, videos in sorted(self.masks.items())
        }


def make_split(
    annotations: AnnotationSet,
    config: SplitConfig | None = None,
    *,
    views: Mapping[str, Sequence[str]] | None = None,
    video_digests: Mapping[str, str] | None = None,
    folder: Path = Path("."),
) -> Split:
    """Deal the looked-at frames of `annotations` to the sides.

    views: name -> videos that show the same time; folder: what list files are relative to.
    The same input and seed give the same split. UserError where a side that was asked for, or
    train, stays empty.
    """
    config = config or SplitConfig()
    if config.method == "lists":
        masks = _from_lists(annotations, config, folder)
        shares = {side: 1.0 for side in config.lists or {}}
    else:
        shares = {"train": 1 - config.val - config.test, "val": config.val, "test": config.test}
        masks = _from_units(annotations, config, view_groups(annotations, views or {}), shares)
    masks = {
        side: {name: mask for name, mask in videos.items() if mask.any()}
        for side, videos in masks.items()
    }
    for side, share in shares.items():
        if share > 0 and not masks.get(side):
            raise UserError(
                f"split: side {side!r} has no looked-at frame; {_REMEDY[config.method]}"
            )
    if not config.allow_overlap:
        _refuse_shared_frames(masks)
    masks = {side: videos for side, videos in masks.items() if videos}
    return Split(masks, dict(video_digests or {}))


_REMEDY = {
    "blocks": "shorten block_seconds, annotate more, or set its share under split to 0",
    "clips": "use method blocks, annotate more, or set its share under split to 0",
    "videos": "use method blocks, add videos, or set its share under split to 0",
    "lists": "name videos that the data set has",
}


def view_groups(
    annotations: AnnotationSet, views: Mapping[str, Sequence[str]]
) -> list[list[VideoAnnotations]]:
    """Videos of the same time together, every other video alone, in the order of the set."""
    group_of: dict[str, str] = {}
    for group, members in views.items():
        for name in members:
            if group_of.setdefault(name, group) != group:
                raise UserError(f"views: video {name!r} is in {group_of[name]!r} and {group!r}")
    groups: dict[tuple[str, str], list[VideoAnnotations]] = {}
    for video in annotations:
        key = ("views", group_of[video.name]) if video.name in group_of else ("", video.name)
        groups.setdefault(key, []).append(video)
    return list(groups.values())


def _from_units(
    annotations: AnnotationSet,
    config: SplitConfig,
    groups: list[list[VideoAnnotations]],
    shares: Mapping[str, float],
) -> dict[str, dict[str, np.ndarray]]:
    cut = {
        "blocks": lambda group: cut_blocks(group, config.block_seconds),
        "clips": cut_clips,
        "videos": cut_videos,
    }[config.method]
    unit_of: dict[str, np.ndarray] = {}  # (F,) number of each frame's unit, -1 where not looked at
    count = 0
    for group in groups:
        numbers = cut(group)
        pairs = list(zip(group, numbers, strict=True))
        seen = np.unique(np.concatenate([n[video.looked_at] for video, n in pairs]))
        for video, n in pairs:
            unit_of[video.name] = np.where(video.looked_at, count + np.searchsorted(seen, n), -1)
        count += len(seen)
    side_of = deal(
        _classes_in_units(annotations, unit_of, count), list(shares.values()), config.seed
    )
    side_of = np.append(side_of, -1)  # for frames of no unit
    return {
        side: {name: side_of[units] == number for name, units in unit_of.items()}
        for number, side in enumerate(shares)
    }


def _classes_in_units(
    annotations: AnnotationSet, unit_of: Mapping[str, np.ndarray], count: int
) -> np.ndarray:
    """(count, C + 1) bool: the classes in each unit, and in the last place whether it has none."""
    present = np.zeros((count, len(annotations.names) + 1), dtype=bool)
    for name, units in unit_of.items():
        video = annotations.videos[name].objects()
        rows, columns = np.nonzero(video.labels)
        present[units[video.frames[rows]], columns] = True
    present[:, -1] = ~present.any(axis=1)
    return present


def _from_lists(
    annotations: AnnotationSet, config: SplitConfig, folder: Path
) -> dict[str, dict[str, np.ndarray]]:
    masks: dict[str, dict[str, np.ndarray]] = {}
    for side, entries in (config.lists or {}).items():
        if side not in SIDES:
            raise UserError(f"split: lists: unknown side {side!r}{neighbours(side, SIDES)}")
        listed = read_video_list(entries, annotations, folder)
        masks[side] = {
            name: mask & annotations.videos[name].looked_at for name, mask in listed.items()
        }
    return masks


def _refuse_shared_frames(masks: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    sides = list(masks)
    for i, first in enumerate(sides):
        for second in sides[i + 1 :]:
            for name in masks[first].keys() & masks[second].keys():
                shared = int((masks[first][name] & masks[second][name]).sum())
                if shared:
                    raise UserError(
                        f"split: {shared} frames of video {name!r} are on {first} and on "
                        f"{second}; keep it on one side, or set allow_overlap: true"
                    )
