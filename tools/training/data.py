"""Data of a training: a data set's sides, the frame cache, anchors and loaders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from torch.utils.data import DataLoader

from stadet.anchors.anchors import Anchors
from stadet.anchors.presets import PRESETS
from stadet.anchors.strategies import STRATEGIES, pick_anchors
from stadet.datasets.clips.augment import AugmentConfig
from stadet.datasets.clips.clip_dataset import ClipDataset
from stadet.datasets.clips.evaluation_requests import evaluation_requests, stream_lanes
from stadet.datasets.clips.loader import build_loader
from stadet.datasets.clips.resample import Resampling, resample, same_rate
from stadet.datasets.clips.samplers import BatchSampler, FixedPlan, Share
from stadet.datasets.clips.streams import Coverage, coverage
from stadet.datasets.clips.timing import Timing, rate_text, training_timing
from stadet.datasets.dataset import Dataset, load_dataset
from stadet.datasets.footage.cache import FrameCache, build_cache
from stadet.datasets.statistics import seconds_looked_at
from stadet.detect.batch import PADDING, ClipRequest
from stadet.detect.detector import Detector
from stadet.detect.structures import AnnotationSet
from stadet.detect.view import View, pair
from stadet.engine import distributed
from stadet.engine.cache_folder import frames_folder
from stadet.engine.checkpoint import load_checkpoint
from stadet.engine.errors import UserError, neighbours
from stadet.tools.training.command import say
from stadet.tools.training.config import DataConfig
from stadet.tools.training.rates import (
    at_rate,
    frames_within_reach,
    read_tick,
    shown_of,
    source_length,
    ticks_of,
    times_in_frames,
)

Answer = TypeVar("Answer")
UNTIMED = Timing(None)  # frames as they come

EVALUATION_WINDOW = 16  # frames (of frame detectors), clips, or frames per lane and step
EVALUATION_LANES = 8  # streams that a detector with memory follows at once


@dataclass(frozen=True, eq=False)
class Footage:
    """A data set with its frame caches, ready to make loaders of any side. Under torchrun, whatever
    fills a cache must be called by all processes together.

    timing: how far apart in time a model sees its frames. A model that follows streams is shown
    videos of another rate tick by tick (`datasets.clips.resample`); key-frame clips are made of the
    frames nearest to even steps of time.
    needed: for each video the frames that a clip in training may show, None = all of them.
    """

    dataset: Dataset
    config: DataConfig
    timing: Timing = UNTIMED
    needed: Mapping[str, np.ndarray] | None = None

    @cached_property
    def cache(self) -> FrameCache:
        """Reduced frames for training, filled at first use."""
        fit = "contain" if self.config.resize == "letterbox" else "cover"
        return self._filled(self.dataset.annotations.videos, fit, self.needed)

    def _filled(
        self, videos: Iterable[str], fit: str, frames: Mapping[str, np.ndarray] | None
    ) -> FrameCache:
        dataset, config = self.dataset, self.config
        folder = frames_folder(config.cache, dataset.path.parent, dataset.video_paths.values())
        return distributed.main_first(
            lambda: build_cache(
                [dataset.open_video(name) for name in videos],
                folder,
                pair(config.size),
                kind=config.cache_kind,
                fit=fit,
                frames=frames,
            )
        )

    def clips(self, annotations: AnnotationSet, augment: AugmentConfig | None) -> ClipDataset:
        return ClipDataset(
            annotations,
            partial(read_tick, self.cache.read, ticks_of(annotations)),
            pair(self.config.size),
            resize=self.config.resize,
            augment=augment,
            flip_labels=self.dataset.flip_labels,
            reverses=self.dataset.reverses,
        )

    def visible(self, side: str, annotations: AnnotationSet) -> dict[str, np.ndarray]:
        """For each video the frames that no other side holds: what its clips and streams show."""
        split = self.dataset.split
        return {
            v.name: shown_of(split.visible(side, v.name, source_length(v)), v) for v in annotations
        }

    def coverage(self, side: str) -> Coverage:
        """Share of a side that is looked at, and the frames its streams run through."""
        annotations = self.dataset.side(side)
        return coverage(annotations, self.visible(side, annotations), self.config.lead_in)

    def places(self, annotations: AnnotationSet) -> dict[str, np.ndarray]:
        """Of videos at another rate than the model's: when each frame is shown, in its frames."""
        return times_in_frames(annotations, self.timing.fps)

    def training_side(self, model: Detector) -> AnnotationSet:
        """The training side as `model` is shown it: streams at the model's rate, whose ticks show
        looked-at frames where they can."""
        fps = self.timing.fps if model.follows_streams else None
        return at_rate(self.dataset.side("train"), fps, prefer_truth=True)

    def frames_of(
        self, answers: Iterable[tuple[str, int, Answer]], model: Detector
    ) -> Iterator[tuple[str, int, Answer]]:
        """(video, frame, answer) of each frame, from the answers to `evaluation_loader`."""
        fps = self.timing.stream_fps if model.follows_streams else None
        streams: dict[str, Resampling | None] = {}
        for name, place, answer in answers:
            if name not in streams:
                video = self.dataset.annotations.videos[name]
                even = fps is None or same_rate(video.clock, fps)
                streams[name] = None if even else resample(video.clock, video.num_frames, fps)
            stream = streams[name]
            for frame in [place] if stream is None else stream.frames_of(place):
                yield name, frame, answer

    def rate_note(self, side: str, model: Detector) -> str | None:
        """Line about the rate at which `model` is shown a side."""
        fps = self.timing.stream_fps if model.follows_streams else self.timing.fps
        videos = list(self.dataset.side(side))
        if fps is None or model.context_frames == 0:
            return None
        other = [video for video in videos if not same_rate(video.clock, fps)]
        if not other:
            return None
        return (
            f"{side}: {len(other)} of {len(videos)} videos (the first, {other[0].name!r}, at "
            f"{rate_text(other[0].clock)} fps) shown to the model at {fps:.4g} fps "
            "(--fps native takes every frame)"
        )

    def evaluation_loader(self, side: str, model: Detector) -> DataLoader:
        """This process's share of a side, as `model` wants it, without augmentation; `frames_of`
        brings the answers back to the videos' frames.

        The frames are those that `stad predict` shows, to the last bit where the cache is raw.
        """
        annotations = self.dataset.side(side)
        streams = model.follows_streams
        if streams:
            annotations = at_rate(annotations, self.timing.stream_fps)
        ask = partial(
            evaluation_requests,
            annotations,
            EVALUATION_WINDOW if streams else model.clip_length,
            clip_step=model.clip_step,
            predicts=model.predicts,
            visible=self.visible(side, annotations),
            lead_in=self.config.lead_in,
            places=self.places(annotations) if model.predicts == "last_frame" else None,
        )
        requests, ticks = ask(share=process_share()), ticks_of(annotations)
        shown = frames_shown(ask(), annotations.videos, ticks)
        cache = self._filled(annotations.videos, self.config.resize, shown)
        clips = ClipDataset(
            annotations,
            partial(read_tick, cache.read, ticks),
            pair(self.config.size),
            resize=self.config.resize,
            ready=True,
        )
        if streams:
            sampler = stream_lanes(requests, EVALUATION_LANES)
        else:
            sampler = BatchSampler(FixedPlan(requests), EVALUATION_WINDOW)
        return build_loader(clips, sampler, workers=self.config.workers)


def process_share() -> Share:
    """This process's rank among those that train together."""
    return Share(distributed.rank(), distributed.world_size())


def open_footage(
    config: DataConfig,
    reach: tuple[int, int] | None = None,
    *,
    timing: Timing | None = None,
    step: int = 1,
) -> Footage:
    """Read the data set file; its caches of reduced frames are filled when they are used.

    reach: how many frames before and after a looked-at frame a clip may show; frames that no clip
    can show are then not cached. None: all frames are.
    timing: of the model that is shown it; None: of one to be trained on it, at `data.fps`, whose
    clips or streams take every `step`-th frame.
    """
    dataset = load_dataset(config.dataset)
    if timing is None:
        used = [(video.clock, seconds_looked_at(video)) for video in dataset.side("train")]
        timing = training_timing(config.fps, used, step)
    needed = None
    if reach is not None:
        needed = frames_within_reach(dataset.annotations, *reach, fps=timing.fps)
    if distributed.is_main():
        dataset.findings.report()
    return Footage(dataset, config, timing, needed)


def frames_shown(
    requests: Iterable[ClipRequest], videos: Iterable[str], ticks: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """For each video the sorted indices of its frames that requests show.

    ticks: of resampled videos, the frame that each place of a request means.
    """
    shown: dict[str, set[int]] = {name: set() for name in videos}
    for request in requests:
        shown[request.video].update(request.frames)
    found = {}
    for name, places in shown.items():
        own = np.array(sorted(places - {PADDING}), np.int64)
        found[name] = np.unique(ticks[name][own]) if name in ticks else own
    return found


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
    size = pair(data.size)
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
            "kmeans-anchors --config",
            warning=True,
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
    if Path(wanted).suffix == ".pt":  # the anchors of a checkpoint
        return Anchors.from_dict(load_checkpoint(wanted)["anchors"])
    return Anchors.load(wanted)


def class_counts(annotations: AnnotationSet) -> np.ndarray:
    """(C,) boxes of each class."""
    return np.sum([video.labels.sum(axis=0) for video in annotations.objects()], axis=0)
