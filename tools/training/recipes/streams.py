"""What the recipes of detectors with memory share: streams through action sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, cast

import numpy as np

from stadet.anchors.anchors import Anchors
from stadet.detect.detector import Detector
from stadet.detect.structures import AnnotationSet, VideoAnnotations
from stadet.engine.errors import UserError
from stadet.engine.training_step import EpochSampler, TrainingStep
from stadet.recurrent_yolo.sequences import ActionSequence, action_sequences, repeat_factors
from stadet.tools.training.command import say
from stadet.tools.training.config import RecurrentConfig
from stadet.tools.training.data import Footage, process_share
from stadet.tools.training.recipes.frames import FrameRecipe
from stadet.tools.training.recipes.reversals import reverse_share

if TYPE_CHECKING:
    from stadet.detect.yolo.staged import StagedDetector


class StreamRecipe(FrameRecipe):
    """A frame detector with the memory and the streams of `recurrent`; mixed in before its
    recipe."""

    key = "recurrent"
    section: ClassVar[type | None] = RecurrentConfig
    has_public_weights = False
    around_detector = True

    def check(self) -> None:
        super().check()
        if self.config.loop.compile:
            raise UserError(
                "loop.compile: expected false for a detector with memory, whose batches change "
                "their shape (torch would compile most of them anew), found true"
            )

    def complete(self, base: Detector) -> Detector:
        from stadet.recurrent_yolo.model import RecurrentYOLO

        recurrent = self.config.recurrent
        return RecurrentYOLO(
            cast("StagedDetector", base),
            recurrent.memory,
            placement=recurrent.placement,
            levels=recurrent.levels,
            clip_length=recurrent.sampler.window,
            network_size=self.config.data.size,
        )

    def step(self, anchors: Anchors | None, train: AnnotationSet) -> TrainingStep:
        from stadet.recurrent_yolo.training import RecurrentTrainingStep

        recurrent = self.config.recurrent
        return RecurrentTrainingStep(
            self.loss(anchors, train), recurrent.bptt_windows, recurrent.warmup_frames
        )

    def frame_step(self) -> int:
        return self.config.recurrent.sampler.stride

    def sampler(self, footage: Footage, train: AnnotationSet) -> EpochSampler:
        from stadet.recurrent_yolo.sampler import HybridClipSampler

        config, share = self.config.recurrent.sampler, process_share()
        reverse = reverse_share("recurrent.sampler.reverse", config.reverse, footage)
        sequences = training_sequences(self.config.recurrent, footage, train)
        say(f"train: {describe_sequences(sequences, train)}")
        return HybridClipSampler(
            sequences,
            replace(config, reverse=reverse),
            seed=self.config.seed,
            rank=share.rank,
            world=share.world,
            boxes={video.name: frames_with_boxes(video) for video in train},
        )


def training_sequences(
    config: RecurrentConfig, footage: Footage, train: AnnotationSet
) -> list[ActionSequence]:
    """The action sequences of the training side, rare classes repeated.

    They run through frames that nobody looked at, which have no loss, and end at frames of other
    sides; `sequences.pad` is the lead-in before the first action.
    """
    found: list[tuple[str, int, int]] = []
    labels: list[np.ndarray] = []
    visible = footage.visible("train", train)
    for video in train.objects():
        spans = action_sequences(
            frames_with_boxes(video),
            video.looked_at,
            video.clock,
            config.sequences,
            allowed=visible[video.name],
        )
        for start, stop in spans:
            rows = slice(*np.searchsorted(video.frames, [start, stop]))
            found.append((video.name, start, stop))
            labels.append(np.asarray(video.labels[rows].any(axis=0)))
    repeats = repeat_factors(np.array(labels), config.balance_threshold)
    return [
        ActionSequence(name, start, stop, repeats=int(times))
        for (name, start, stop), times in zip(found, repeats, strict=True)
    ]


def frames_with_boxes(video: VideoAnnotations) -> np.ndarray:
    """(F,) bool."""
    flags = np.zeros(video.num_frames, dtype=bool)
    flags[video.frames] = True
    return flags


def describe_sequences(sequences: Sequence[ActionSequence], train: AnnotationSet) -> str:
    """Summary of what the memory sees in training."""
    if not sequences:
        return "no action sequence"
    lengths = [len(sequence) for sequence in sequences]
    seen = [train.videos[s.video].looked_at[s.start : s.stop].sum() for s in sequences]
    return (
        f"{len(sequences)} sequences of {min(lengths)} to {max(lengths)} frames (median "
        f"{np.median(lengths):.0f}); {100 * sum(seen) / sum(lengths):.0f} % of their frames are "
        "looked at and have a loss"
    )
