"""A model's score on one side of a data set: what validation logs and what best.pt is chosen by."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from detect.inference import InferenceConfig, detect
from detect.metrics.frame_map import FrameMAP
from detect.structures import AnnotationSet
from engine import distributed


def score(
    model: nn.Module,
    batches: Iterable,
    truth: AnnotationSet,
    config: InferenceConfig,
    device: torch.device,
    precision: torch.dtype | None = None,
) -> dict[str, float]:
    """frame-mAP and what goes with it over `truth`'s looked-at frames.

    batches: this process's share; the processes' answers are merged and each frame counts once.
    """
    metric = FrameMAP(truth.names)
    for video, frame, detections in detect(model, batches, config, device, precision=precision):
        annotations = truth.videos[video][frame]
        if annotations is not None:
            metric.update(video, frame, annotations, detections)
    first, *others = distributed.gather_objects(metric)
    for other in others:
        first.merge(other)
    result = first.compute([0.5])
    return {"frame_map_50": result.mean_at(0.5)}
