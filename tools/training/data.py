"""Data of a training: a data set's sides, the frame cache, anchors and loaders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch.utils.data import DataLoader

from stadet.anchors.anchors import Anchors
from stadet.anchors.presets import PRESETS
from stadet.anchors.strategies import STRATEGIES, pick_anchors
from stadet.datasets.clips.augment import AugmentConfig
from stadet.datasets.clips.clip_dataset import ClipDataset
from stadet.datasets.clips.evaluation_requests import evaluation_requests, stream_lanes
from stadet.datasets.clips.loader import build_loader
from stadet.datasets.clips.samplers import BatchSampler, FixedPlan, Share
from stadet.datasets.clips.streams import Coverage, coverage
from stadet.datasets.dataset import Dataset, load_dataset
from stadet.datasets.footage.cache import FrameCache, build_cache
from stadet.detect.detector import Detector
from stadet.detect.structures import AnnotationSet
from stadet.detect.view import View
from stadet.engine import distributed
from stadet.engine.cache_folder import frames_folder
from stadet.engine.errors import UserError, neighbours
from stadet.tools.training.command import say
from stadet.tools.training.config import DataConfig

EVALUATION_WINDOW = 16  # frames (of frame detectors), clips, or frames per lane and step
EVALUATION_LANES = 8  # streams that a detector with memory follows at once


@dataclass(frozen=True, eq=False)
class Footage:
    """A data set with its frame cache, ready to make loaders of any side."""

    dataset: Dataset
    cache: FrameCache
    config: DataConfig

    def clips(self, annotations: AnnotationSet, augment: AugmentConfig | None) -> ClipDataset:
        return ClipDataset(
            annotations,
            self.cache.read,
            tuple(self.config.size),
            resize=self.config.resize,
            augment=augment,
            flip_labels=self.dataset.flip_labels,
            reverses=self.dataset.reverses,
        )

    def visible(self, side: str, annotations: AnnotationSet) -> dict[str, np.ndarray]:
        """For each video the frames that no other side holds: what its clips and streams show."""
        return {v.name: self.dataset.split.visible(side, v.name, v.num_frames) for v in annotations}

    def coverage(self, side: str) -> Coverage:
        """Share of a side that is looked at, and the frames its streams run through."""
        annotations = self.dataset.side(side)
        return coverage(annotations, self.visible(side, annotations), self.config.lead_in)

    def evaluation_loader(self, side: str, model: Detector) -> DataLoader:
        """This process's share of a side, as `model` wants it, without augmentation."""
        annotations = self.dataset.side(side)
        streams = model.follows_streams
        requests = evaluation_requests(
            annotations,
            EVALUATION_WINDOW if streams else model.clip_length,
            clip_step=model.clip_step,
            predicts=model.predicts,
            visible=self.visible(side, annotations),
            lead_in=self.config.lead_in,
            share=process_share(),
        )
        if streams:
            sampler = stream_lanes(requests, EVALUATION_LANES)
        else:
            sampler = BatchSampler(FixedPlan(requests), EVALUATION_WINDOW)
        return build_loader(self.clips(annotations, None), sampler, workers=self.config.workers)


def process_share() -> Share:
    """This process's rank among those that train together."""
    return Share(distributed.rank(), distributed.world_size())


def open_footage(config: DataConfig, reach: tuple[int, int] | None = None) -> Footage:
    """Read the data set file and fill the cache of reduced frames (once, by the main process).

    reach: how many frames before and after a looked-at frame a clip may show; frames that no clip
    can show are then not cached. None: all frames are.
    """
    dataset = load_dataset(config.dataset)
    if distributed.is_main():
        dataset.findings.report()
    folder = frames_folder(config.cache, dataset.path.parent, dataset.video_paths.values())
    cache = distributed.main_first(
        lambda: build_cache(
            [dataset.open_video(name) for name in dataset.annotations.videos],
            folder,
            tuple(config.size),
            kind=config.cache_kind,
            fit="contain" if config.resize == "letterbox" else "cover",
            frames=None if reach is None else frames_within_reach(dataset.annotations, *reach),
        )
    )
    return Footage(dataset, cache, config)


def frames_within_reach(
    annotations: AnnotationSet, before: int, after: int = 0
) -> dict[str, np.ndarray]:
    """For each video the sorted indices of its looked-at frames and of so many frames before and
    after each: a small part of a video with a key frame a second (AVA)."""
    needed = {}
    for video in annotations:
        key_frames = np.flatnonzero(video.looked_at)
        change = np.zeros(video.num_frames + 1, dtype=np.int64)
        np.add.at(change, np.maximum(key_frames - before, 0), 1)
        np.add.at(change, np.minimum(key_frames + after + 1, video.num_frames), -1)
        needed[video.name] = np.flatnonzero(change.cumsum()[:-1] > 0)
    return needed


def expect_boxes(annotations: AnnotationSet, side: str) -> None:
    """UserError for a side of looked-at frames without a single box: nothing to learn or judge."""
    if not any(len(video.frames) for video in annotations):
        frames = sum(int(video.looked_at.sum()) for video in annotations)
        raise UserError(
            f"split: expected boxes on side {side!r}, found none on its {frames} frames; set "
            "another seed or share under split in the data set file"
        )


def box_sizes(annotations: AnnotationSet, size: tuple[int, int], resize: str) -> np.ndarray:
    """(N, 2) (width, height) of all boxes in network pixels."""
    parts = []
    for video in annotations:
        boxes = View.fit(video.size, size, resize).to_network(video.boxes)
        parts.append(boxes[:, 2:] - boxes[:, :2])
    return np.concatenate(parts)


def choose_anchors(
    wanted: str,
    count: int,
    strides: Sequence[int],
    train: AnnotationSet,
    data: DataConfig,
    seed: int,
) -> Anchors:
    """By a strategy on the training side, a preset scaled to the network's size, or a file."""
    size = tuple(data.size)
    if wanted in STRATEGIES:
        train = train.objects()
        labels = np.concatenate([video.labels for video in train])
        sizes = box_sizes(train, size, data.resize)
        return pick_anchors(wanted, sizes, count, strides, size, labels=labels, seed=seed)
    found = fixed_anchors(wanted, size, strides, count)
    if found.resize and found.resize != data.resize:
        say(
            f"anchors {wanted}: note: made for frames by {found.resize}, but data.resize is "
            f"{data.resize}, so that their shapes do not fit; make them again with stad "
            "kmeans-anchors --config"
        )
    return found


def fixed_anchors(
    wanted: str, size: tuple[int, int], strides: Sequence[int], count: int | None = None
) -> Anchors:
    """A preset or a file, scaled to the network's size (height, width).

    Sizes of one level suit a grid of any stride, so they are taken for the one of `strides`.
    UserError for others, for levels of other strides than the network's, and for a file of another
    number of anchors than `count`.
    """
    found = _saved_anchors(wanted).scaled_to(size)
    if len(found.strides) == len(strides) == 1:
        found = Anchors(found.levels, tuple(strides), found.network_size, found.resize)
    remedy = "make them with stad kmeans-anchors --config CONFIG"
    if found.strides != tuple(strides):
        raise UserError(
            f"anchors {wanted}: expected levels of strides {_list(strides)}, as in the "
            f"configuration, found {_list(found.strides)}; {remedy}, or set the strides to "
            f"[{_list(found.strides)}]"
        )
    if count is not None and wanted not in PRESETS and len(found) != count:
        raise UserError(
            f"anchors {wanted}: expected {count} anchors (num_anchors), found {len(found)}; "
            f"{remedy}, or set num_anchors to {len(found)}"
        )
    return found


def _list(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _saved_anchors(wanted: str) -> Anchors:
    if wanted in PRESETS:
        return PRESETS[wanted]
    if wanted in STRATEGIES:
        raise UserError(
            f"anchors {wanted!r}: expected a preset ({', '.join(PRESETS)}) or a file, since "
            "weights need the anchors they were trained with"
        )
    if not Path(wanted).is_file():
        raise UserError(
            f"anchors {wanted!r}: expected a file or one of {', '.join([*STRATEGIES, *PRESETS])}"
            f"{neighbours(wanted, [*STRATEGIES, *PRESETS])}"
        )
    return Anchors.load(wanted)


def class_counts(annotations: AnnotationSet) -> np.ndarray:
    """(C,) boxes of each class."""
    return np.sum([video.labels.sum(axis=0) for video in annotations.objects()], axis=0)
