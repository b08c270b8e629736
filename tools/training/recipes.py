"""How each model is trained: its step and its sampler."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np

from stadet.anchors.anchors import Anchors
from stadet.datasets.clips.samplers import frame_sampler, key_frame_sampler
from stadet.detect.structures import AnnotationSet
from stadet.detect.yolo.loss import YoloLoss
from stadet.detect.yolo.training import FrameTrainingStep
from stadet.engine.loop import EpochSampler, TrainingStep
from stadet.recurrent_yolo.sequences import ActionSequence, action_sequences, repeat_factors
from stadet.tools.training.command import say
from stadet.tools.training.config import RecurrentConfig, TrainConfig
from stadet.tools.training.data import Footage, class_counts, process_share


def yolo_loss(config: TrainConfig, anchors: Anchors, train: AnnotationSet) -> YoloLoss:
    """The loss of the YOLO family; class weights from the training side's counts."""
    options = asdict(config.loss)
    power = options.pop("balance_classes")
    return YoloLoss(
        anchors, class_weights=class_weights(train, power) if power else None, **options
    )


def class_weights(train: AnnotationSet, power: float) -> list[float]:
    """(mean count / count) ** power for each class; classes without boxes weigh 1."""
    counts = np.array(list(class_counts(train).values()), dtype=np.float64)
    mean = counts[counts > 0].mean()
    return np.where(counts > 0, (mean / counts.clip(1)) ** power, 1.0).tolist()


def training_step(config: TrainConfig, anchors: Anchors, train: AnnotationSet) -> TrainingStep:
    """The step of the configured model."""
    if config.model == "yowo":
        from stadet.yowo.loss import RegionLoss
        from stadet.yowo.training import YOWOTrainingStep

        yowo = config.yowo
        weights = class_weights(train, yowo.balance_classes) if yowo.balance_classes else None
        loss = RegionLoss(
            anchors,
            box=yowo.box_loss,
            focal_gamma=yowo.focal_gamma,
            multi_label_classes=yowo.multi_label_classes,
            class_weights=weights,
        )
        return YOWOTrainingStep(loss, yowo.normalise)
    loss = yolo_loss(config, anchors, train)
    if config.model == "yolo":
        return FrameTrainingStep(loss)
    from stadet.recurrent_yolo.training import RecurrentTrainingStep

    return RecurrentTrainingStep(
        loss, config.recurrent.bptt_windows, config.recurrent.warmup_frames
    )


def training_sampler(config: TrainConfig, footage: Footage, train: AnnotationSet) -> EpochSampler:
    """The batch sampler of the configured model, over this process's share."""
    data, share = config.data, process_share()
    if config.model in ("recurrent-yolo", "stacked-yolo"):
        from stadet.recurrent_yolo.sampler import HybridClipSampler

        sampler = config.recurrent.sampler
        share_reversed = _reverse_share("recurrent.sampler.reverse", sampler.reverse, footage)
        return HybridClipSampler(
            clips_of(config.recurrent, footage, train),
            replace(sampler, reverse=share_reversed),
            seed=config.seed,
            rank=share.rank,
            world=share.world,
        )
    common = {
        "negatives": data.negatives,
        "balance": data.balance,
        "seed": config.seed,
        "share": share,
    }
    if config.model == "yowo":
        return key_frame_sampler(
            train,
            config.yowo.clip_length,
            data.batch,
            steps=config.yowo.steps,
            reverse_share=_reverse_share("yowo.reverse", config.yowo.reverse, footage),
            usable=footage.visible("train", train),
            **common,
        )
    return frame_sampler(train, data.batch, **common)


def _reverse_share(key: str, wanted: float, footage: Footage) -> float:
    """No clip runs backwards unless it is known what its label then is."""
    if wanted and not footage.dataset.reverses:
        say(
            f"{key}={wanted:g}: no clip runs backwards, since {footage.dataset.path} does not say "
            "under reverses which classes are each other's reversal"
        )
        return 0.0
    return wanted


def clips_of(
    config: RecurrentConfig, footage: Footage, train: AnnotationSet
) -> list[ActionSequence]:
    """The action sequences of the training side, rare classes repeated."""
    found: list[tuple[str, int, int]] = []
    labels: list[np.ndarray] = []
    for video in train.objects():
        has_action = np.zeros(video.num_frames, dtype=bool)
        has_action[video.frames] = True
        usable = footage.usable("train", train)[video.name]
        spans = action_sequences(
            has_action, video.looked_at, video.clock, config.sequences, allowed=usable
        )
        for start, stop in spans:
            rows = slice(*np.searchsorted(video.frames, [start, stop]))
            found.append((video.name, start, stop))
            labels.append(video.labels[rows].any(axis=0))
    repeats = repeat_factors(np.array(labels), config.balance_threshold)
    return [
        ActionSequence(name, start, stop, repeats=int(times))
        for (name, start, stop), times in zip(found, repeats, strict=True)
    ]
