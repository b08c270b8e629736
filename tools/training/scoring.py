"""A model's score on one side of a data set: what validation logs and what best.pt is chosen by."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch

from stadet.detect.detector import Detector
from stadet.detect.inference import InferenceConfig, detect
from stadet.detect.metrics.frame_map import FrameMAP, frame_map_of_columns
from stadet.detect.metrics.localization import localization
from stadet.detect.structures import AnnotationSet
from stadet.engine import distributed

METRICS = ("frame_map_50", "localization_recall", "classification_accuracy")


def score(
    model: Detector,
    batches: Iterable,
    truth: AnnotationSet,
    config: InferenceConfig,
    device: torch.device,
    precision: torch.dtype | None = None,
    *,
    frames_of: Callable[[Iterable, Detector], Iterable] = lambda answers, _: answers,
) -> dict[str, float]:
    """frame-mAP and what goes with it over `truth`'s looked-at frames: for key-frame models YOWO's
    localization recall and classification accuracy, where there is something to count.

    batches: this process's share; the processes' answers are merged and each frame counts once.
    frames_of: brings the answers back to the frames of the videos (`Footage.frames_of`).
    """
    metric = FrameMAP(truth.names)
    answers = detect(model, batches, config, device, precision=precision)
    for video, frame, detections in frames_of(answers, model):
        annotations = truth.videos[video][frame]
        if annotations is not None:
            metric.update(video, frame, annotations, detections)
    first, *others = distributed.gather_objects(metric)
    for other in others:
        first.merge(other)
    columns = first.columns
    scores = {"frame_map_50": frame_map_of_columns(columns, first.protocol, [0.5]).mean_at(0.5)}
    if model.predicts == "last_frame":
        found = localization(columns)
        named = {"localization_recall": found.recall, "classification_accuracy": found.accuracy}
        scores |= {name: value for name, value in named.items() if value is not None}
    return scores
