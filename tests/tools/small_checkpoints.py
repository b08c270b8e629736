"""Checkpoints as `stad train` writes them, of small networks that have learnt nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stadet.anchors.anchors import Anchors
from stadet.datasets.clips.timing import Timing
from stadet.datasets.splits.split import Split
from stadet.detect.ultralytics_models.detector import UltralyticsDetector
from stadet.detect.yolo.head import OutputConv
from stadet.engine.checkpoint import save_checkpoint
from stadet.engine.config import from_dict
from stadet.tools.classification.checkpoint import (
    build_classifier,
)
from stadet.tools.classification.checkpoint import (
    checkpoint_description as classifier_description,
)
from stadet.tools.classification.config import ClassifierConfig
from stadet.tools.inference.detectors import checkpoint_description
from stadet.tools.training.config import TrainConfig
from tests.detect.ultralytics_models.peers import tell_apart

SIZE = (32, 64)  # (height, width)
NAMES = ("pick up", "put back")

_SMALL = {
    "yolo": {"yolo": {"network": "yolov3-tiny", "width": 0.125}},
    "recurrent-yolo": {
        "yolo": {"network": "yolov3-tiny", "width": 0.125},
        "recurrent": {"memory": {"hidden": 6}},
    },
    "stacked-yolo": {"yolo": {"network": "yolov3-tiny", "width": 0.125}},
    "yolo backbone": {
        "yolo": {"network": "backbone", "backbone": "mobilenet_v3_small", "width": 0.125}
    },
    "recurrent-yolo backbone": {
        "yolo": {"network": "backbone", "backbone": "mobilenet_v3_small", "width": 0.125},
        "recurrent": {"memory": {"hidden": 6}},
    },
    "ultralytics": {"ultralytics": {"network": "yolo11n"}},
    "recurrent-ultralytics": {
        "ultralytics": {"network": "yolo26n"},
        "recurrent": {"memory": {"hidden": 6}},
    },
    "yowo": {"yowo": {"backbone": "resnet18", "width": 0.125, "clip_length": 8}},
}

SMALL_CLASSIFIER = {
    "input": {"size": [16, 24], "batch": 3, "fps": "native"},
    "sampling": {"frames": 4},
    "model": {"name": "compact", "options": {"channels": 4}},
}


def save_small_checkpoint(
    path: Path, kind: str, timing: Timing | None = None, *, threshold: float | None = None
) -> Path:
    """kind: as `model` in a configuration, then what else it is of.
    Everything is above the score floor."""
    torch.manual_seed(0)
    settings = {
        "model": kind.split()[0],
        "data": {"size": list(SIZE), "resize": "stretch"},
        "inference": {"score_floor": 0.0, "max_detections": 5},
        **_SMALL[kind],
    }
    config = from_dict(TrainConfig, settings, "a test")
    strides = (32,) if kind == "yowo" else (16, 32)
    levels = tuple(np.array([(8.0, 12.0), (20.0, 24.0)]) * (n + 1) for n in range(len(strides)))
    anchors = Anchors(levels, strides, SIZE)
    model = config.recipe.build(len(NAMES), anchors)
    frames = torch.randint(0, 256, (2, 8, 3, *SIZE), dtype=torch.uint8)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, OutputConv):  # scores apart from each other
                torch.nn.init.normal_(module.weight, std=0.3)
            elif isinstance(module, UltralyticsDetector):
                tell_apart(module, SIZE)
        model.train()(frames)  # batch norms that have seen something
    description = checkpoint_description(config, NAMES, anchors, Split({}).record(), timing)
    content = {**description, "threshold": threshold, "model": model.state_dict()}
    save_checkpoint(path, content)
    return path


def save_small_classifier(
    path: Path, heads: Sequence[Sequence[str]] = (("bright", "dark"),), **changes: Any
) -> Path:
    """A checkpoint as `stad train-classifier` writes it, of a network that has learnt nothing."""
    torch.manual_seed(0)
    config = from_dict(ClassifierConfig, {**SMALL_CLASSIFIER, **changes}, "a test")
    model = build_classifier(config, heads)
    with torch.no_grad():
        branches = getattr(model, "branches", [model])
        for branch in branches:
            clips = torch.randint(0, 256, (4, 4, 3, 16, 24), dtype=torch.uint8)
            branch.train()(*[clips for _ in branch.inputs])
            branch.head.weight.normal_(std=2.0)
    split = Split({}).record()
    content = {**classifier_description(config, heads, split), "model": model.state_dict()}
    save_checkpoint(path, {**content, "rejection": {"confidence": 0.5, "known": None}})
    return path
