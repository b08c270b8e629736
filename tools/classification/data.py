"""Data of a classifier's training: opened videos, the frame cache and loaders of any side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import DataLoader

from stadet.datasets.clips.augment import AugmentConfig
from stadet.datasets.clips.loader import build_loader
from stadet.datasets.clips.resample import resample, same_rate
from stadet.datasets.clips.samplers import BatchSampler, FixedPlan
from stadet.datasets.clips.timing import Timing, training_timing
from stadet.datasets.footage.cache import build_cache
from stadet.datasets.footage.video import Video
from stadet.datasets.labelled.array_clips import ArrayClips, read_array_clips
from stadet.datasets.labelled.camera_motion import CameraMotionConfig
from stadet.datasets.labelled.clip_sampling import SamplingConfig
from stadet.datasets.labelled.labelled_clips import (
    AlternatingSampler,
    Extra,
    LabelledClips,
    Pixels,
    SeveralSets,
    TrainingPlan,
    evaluation_requests,
)
from stadet.datasets.labelled.labelled_video import (
    BadVideo,
    ClassificationSet,
    check_sides,
    open_all,
    without_bad,
)
from stadet.datasets.splits.split import Split
from stadet.detect.batch import ClipRequest
from stadet.detect.classification_batch import collate_labelled
from stadet.detect.view import pair
from stadet.engine import distributed
from stadet.engine.cache_folder import frames_folder
from stadet.engine.errors import UserError
from stadet.tools.classification.config import ClassifierConfig, InputConfig, SourceConfig
from stadet.tools.classification.sources import read_source, reverses_of
from stadet.tools.training.data import UNTIMED, process_share
from stadet.tools.training.rates import read_tick

SHORTER = "choose shorter clips (sampling.frames) or set sampling.pad_short=true"


@dataclass(frozen=True, eq=False)
class ClassFootage:
    """One data set with access to its frames.

    Attributes:
        digests: video -> content key.
        head: its number among the data sets that train together.
        bad: the videos that were left out.
        arrays: of a set that brings its clips and keypoints as arrays.
    """

    data: ClassificationSet
    pixels: Pixels
    config: SourceConfig
    digests: dict[str, str]
    bad: tuple[BadVideo, ...] = ()
    head: int = 0
    arrays: ArrayClips | None = None
    timing: Timing = UNTIMED
    source_lengths: Mapping[str, int] = field(default_factory=dict)

    def clips(
        self,
        side: ClassificationSet,
        config: InputConfig,
        inputs: Sequence[str] = ("frames",),
        augment: AugmentConfig | None = None,
        motion: CameraMotionConfig | None = None,
    ) -> LabelledClips:
        """Clips of one side as a model of these `inputs` takes them."""
        if "keypoints" in inputs and augment is not None and augment.flip > 0:
            raise UserError(
                "augment.flip: keypoints are not mirrored with their frames; set augment.flip=0"
            )
        return LabelledClips(
            side,
            self.pixels,
            pair(config.size),
            resize=config.resize,
            augment=augment,
            motion=motion,
            reverses=reverses_of(self.config, self.data),
            extras=extra_inputs(inputs, self.arrays),
            head=self.head,
        )

    def evaluation_loader(
        self, side: str, config: ClassifierConfig, inputs: Sequence[str]
    ) -> DataLoader:
        """This process's share of a side, unaugmented; a batch holds `input.batch` clips."""
        chosen = self.data.side(side)
        share = process_share()
        requests = evaluation_requests(chosen, self.pixels.lengths, config.sampling)
        return build_loader(
            self.clips(chosen, config.input, inputs),
            BatchSampler(FixedPlan(requests), config.input.batch, share),
            workers=config.input.workers,
            collate=collate_labelled,
        )


def open_footage(
    source: SourceConfig,
    config: InputConfig,
    sampling: SamplingConfig,
    head: int = 0,
    *,
    timing: Timing | None = None,
) -> ClassFootage:
    """Read the labels, open every video and fill the cache of reduced frames (once, by the main
    process). Videos of another rate than the model's are shown tick by tick
    (`datasets.clips.resample`).

    timing: of a model that was trained elsewhere; None: of one to be trained on these videos, at
    `input.fps`. UserError that counts and names unusable videos, unless `skip_bad`.
    """
    data = read_source(source)
    if source.format == "keypoints":
        return _open_arrays(data, source, sampling, config, head)
    cache = frames_folder(config.cache)
    videos, bad = open_all(data)
    data = without_bad(data, bad, skip=config.skip_bad, remedy="copy them again")
    if timing is None:
        timing = _training_timing(config, data, videos)
    streams = {name: shown_frames(video, timing.fps) for name, video in videos.items()}
    lengths = {name: len(videos[name]) if s is None else len(s) for name, s in streams.items()}
    short = too_short(videos, sampling, lengths)
    data = without_bad(data, short, skip=config.skip_bad, remedy=SHORTER)
    check_sides(data, source.root)
    kept = [videos[item.name] for item in data.items]
    fit = "contain" if config.resize == "letterbox" else "cover"
    frames = distributed.main_first(
        lambda: build_cache(kept, cache, pair(config.size), kind=config.cache_kind, fit=fit)
    )
    shown = {name: ticks for name, ticks in streams.items() if ticks is not None}
    pixels = Pixels(
        {video.name: lengths[video.name] for video in kept},
        {video.name: video.size for video in kept},
        partial(read_tick, frames.read, shown),
    )
    digests = {video.name: video.digest for video in kept}
    return ClassFootage(
        data,
        pixels,
        source,
        digests,
        (*bad, *short),
        head,
        timing=timing,
        source_lengths={video.name: len(video) for video in kept},
    )


def _training_timing(
    config: InputConfig, data: ClassificationSet, videos: Mapping[str, Video]
) -> Timing:
    used = [
        (videos[item.name].clock, float(videos[item.name].clock.seconds(len(videos[item.name]))))
        for item in data.items
        if item.side == "train" and item.name in videos
    ]
    return training_timing(config.fps, used, where="input.fps")


def shown_frames(video: Video, fps: float | None) -> np.ndarray | None:
    """The frame that each tick of a video shows at `fps`; None: all frames in order."""
    if fps is None or same_rate(video.clock, fps):
        return None
    return resample(video.clock, len(video), fps).shown


def _open_arrays(
    data: ClassificationSet,
    source: SourceConfig,
    sampling: SamplingConfig,
    config: InputConfig,
    head: int,
) -> ClassFootage:
    _, arrays = read_array_clips(Path(source.root))
    shapes = {side: found.frames.shape for side, found in arrays.sides.items()}  # (N, T, H, W, 3)
    side_of = {item.name: item.name.partition("/")[0] for item in data.items}
    lengths = {name: shapes[side][1] for name, side in side_of.items()}
    sizes = {name: shapes[side][2:4] for name, side in side_of.items()}
    short = [_too_short(n, source.root, length, sampling) for n, length in lengths.items()]
    short = [bad for bad in short if bad is not None]
    data = without_bad(data, short, skip=config.skip_bad, remedy=SHORTER)
    check_sides(data, source.root)
    pixels = Pixels(lengths, sizes, arrays.read_frame)
    return ClassFootage(data, pixels, source, {}, tuple(short), head, arrays)


def too_short(
    videos: Mapping[str, Video],
    sampling: SamplingConfig,
    lengths: Mapping[str, int] | None = None,
) -> list[BadVideo]:
    """The videos that have fewer frames than a clip spans; lengths: frames that a model is shown,
    where that is another number."""
    found = (
        _too_short(n, video.path, len(video) if lengths is None else lengths[n], sampling)
        for n, video in videos.items()
    )
    return [bad for bad in found if bad is not None]


def _too_short(
    name: str, path: str | Path, length: int, sampling: SamplingConfig
) -> BadVideo | None:
    least = sampling.least_frames
    if length >= least:
        return None
    return BadVideo(name, f"{path} has {length} frames, a clip needs {least}")


def training_loader(
    footage: Sequence[ClassFootage], config: ClassifierConfig, inputs: Sequence[str], *, pin: bool
) -> tuple[DataLoader, BatchSampler | AlternatingSampler]:
    """Augmented batches of the training sides, and the sampler that orders them."""
    share = process_share()
    samplers, sets = [], []
    for part in footage:
        side = part.data.side("train")
        plan = TrainingPlan(
            side,
            part.pixels.lengths,
            config.sampling,
            seed=config.seed,
            reverse_share=config.input.reverse_share if part.config.reverses else 0.0,
            balance=config.input.balance,
        )
        samplers.append(BatchSampler(plan, config.input.batch, share))
        sets.append(part.clips(side, config.input, inputs, config.augment, config.motion))
    several = len(footage) > 1
    sampler = AlternatingSampler(samplers) if several else samplers[0]
    loader = build_loader(
        SeveralSets(sets) if several else sets[0],
        sampler,
        workers=config.input.workers,
        pin_memory=pin,
        collate=collate_labelled,
    )
    return loader, sampler


def split_record(footage: Sequence[ClassFootage]) -> Split:
    """All videos of all data sets with their sides, as a `stadet.datasets.splits.split.Split`."""
    masks: dict[str, dict[str, np.ndarray]] = {}
    digests: dict[str, str] = {}
    for part in footage:
        for item in part.data.items:
            if item.side:
                lengths = part.source_lengths or part.pixels.lengths
                length = lengths[item.name]
                masks.setdefault(item.side, {})[item.name] = np.ones(length, dtype=bool)
                if item.name in part.digests:
                    digests[item.name] = part.digests[item.name]
    return Split(masks, digests)


def classification_identity(footage: Sequence[ClassFootage], split: Split) -> dict[str, Any]:
    """Identity of the data, compared when a run is resumed: classes, labels, videos and
    their sides."""
    record = split.record()
    labels = {item.name: str(item.label) for part in footage for item in part.data.items}
    return {
        "names": [name for part in footage for name in part.data.names],
        "split": record["digest"],
        "videos": dict(record["video_digests"]),
        "annotations": labels,
    }


def has_validation(footage: Sequence[ClassFootage]) -> bool:
    """Every data set has videos to validate on."""
    return all("val" in part.data.sides for part in footage)


def extra_inputs(inputs: Sequence[str], arrays: ArrayClips | None = None) -> dict[str, Extra]:
    """Functions that make the inputs of a model besides frames. UserError for one not available."""
    made: dict[str, Extra] = {"flow": flow_images, "hog": hog_images}
    if arrays is not None:
        made["keypoints"] = partial(keypoint_values, arrays)
    wanted = [name for name in inputs if name != "frames"]
    missing = [name for name in wanted if name not in made]
    if missing:
        raise UserError(
            f"the model also takes {', '.join(missing)}, which these videos do not bring; use data "
            "of format keypoints"
        )
    return {name: made[name] for name in wanted}


def keypoint_values(arrays: ArrayClips, request: ClipRequest, frames: np.ndarray) -> np.ndarray:
    """(T, K) float32 of the frames that a request asks for."""
    return arrays.read_keypoints(request.video, request.frames)


def flow_images(request: ClipRequest, frames: np.ndarray) -> np.ndarray:
    """(T, 3, H, W) uint8: optical flow of a clip as the network sees it."""
    from stadet.classify.streams import flow_image, optical_flow

    return np.ascontiguousarray(flow_image(optical_flow(frames)).transpose(0, 3, 1, 2))


def hog_images(request: ClipRequest, frames: np.ndarray) -> np.ndarray:
    """(T, 3, H, W) uint8: histograms of oriented gradients, drawn."""
    from stadet.classify.streams import hog_image

    return np.stack([hog_image(frame).transpose(2, 0, 1) for frame in frames])
