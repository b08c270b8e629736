"""What a training run is made of: the keys of a configuration file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from datasets.augment import AugmentConfig
from detect.inference import InferenceConfig
from engine.loop import LoopConfig

ModelName = Literal["yolov3", "yolov3-tiny"]


@dataclass
class DataConfig:
    """dataset: the data set file; size: (height, width) of the network's input; resize: keep the
    frame's shape on grey, or stretch it; batch: frames (or clips, or lanes) a process and step;
    negatives: frames without action per frame with one; balance: how strongly rare classes are
    repeated (0 = not at all, 1 = to equality); workers: loading processes; cache: folder of
    reduced frames (default: beside the data set file); cache_kind: JPEG, raw, or by size."""

    dataset: str = "dataset.yaml"
    size: tuple[int, int] = (416, 416)
    resize: Literal["letterbox", "stretch"] = "letterbox"
    batch: int = 16
    negatives: float = 1.0
    balance: float = 0.0
    workers: int = 2
    cache: str | None = None
    cache_kind: Literal["auto", "jpeg", "raw"] = "auto"


@dataclass
class YoloConfig:
    """width, depth: factors on channels and blocks; body: activation and residuals as published
    or as ultralytics'; strides: levels, finest first (add 4 for small objects); anchors: "kmeans"
    (from the training side), a preset's name, or a file; num_anchors: of k-means, over all
    levels; weights: a checkpoint, Darknet .weights or ultralytics .pt to start from; freeze: parts
    that keep their weights (backbone, scales)."""

    width: float = 1.0
    depth: float = 1.0
    body: Literal["published", "ultralytics"] = "published"
    strides: list[int] = field(default_factory=lambda: [8, 16, 32])
    anchors: str = "kmeans"
    num_anchors: int = 9
    weights: str | None = None
    freeze: list[str] = field(default_factory=list)


@dataclass
class YoloLossConfig:
    """Arguments of `detect.losses.YoloLoss`. balance_classes: weigh each class's terms by its
    rarity to this power (0 = all alike)."""

    box_weight: float = 5.0
    objectness_weight: float = 1.0
    class_weight: float = 1.0
    no_object_weight: float = 1.0
    class_gamma: float = 0.0
    objectness_gamma: float = 1.5
    match_iou: float = 0.3
    ignore_iou: float = 0.7
    balance_classes: float = 0.0


@dataclass
class TrainConfig:
    """model: which network; output: the run's folder; seed: governs everything random;
    allow_overlap: start from weights that were trained on frames of this validation side."""

    model: ModelName = "yolov3"
    output: str = "runs/yolov3"
    seed: int = 0
    allow_overlap: bool = False
    data: DataConfig = field(default_factory=DataConfig)
    yolo: YoloConfig = field(default_factory=YoloConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    loss: YoloLossConfig = field(default_factory=YoloLossConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    inference: InferenceConfig = field(default_factory=InferenceConfig)
