"""How each model is trained: its step and its sampler."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from anchors.anchors import Anchors
from datasets.samplers import BatchSampler, frame_sampler
from detect.losses import YoloLoss
from detect.structures import AnnotationSet
from detect.training import FrameTrainingStep
from engine.loop import TrainingStep
from tools.training_config import TrainConfig
from tools.training_data import class_counts, process_share


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
    return FrameTrainingStep(yolo_loss(config, anchors, train))


def training_sampler(config: TrainConfig, train: AnnotationSet) -> BatchSampler:
    data = config.data
    return frame_sampler(
        train,
        data.batch,
        negatives=data.negatives,
        balance=data.balance,
        seed=config.seed,
        share=process_share(),
    )
