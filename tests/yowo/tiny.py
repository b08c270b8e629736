"""A YOWO and batches small enough for tests."""

from __future__ import annotations

import numpy as np
import torch

from stadet.anchors.anchors import Anchors
from stadet.detect.batch import ClipBatch, Targets
from stadet.detect.view import View
from stadet.yowo.model import YOWO

SIZE = (64, 96)  # (height, width)
NUM_CLASSES = 3


def anchors(stride: int = 32) -> Anchors:
    return Anchors((np.array([(12, 18), (30, 24), (40, 60)]),), (stride,), SIZE)


def network(backbone: str = "resnet18", seed: int = 0, stride: int = 32, **options) -> YOWO:
    """Width 1/16, 8 frames."""
    torch.manual_seed(seed)
    options = {"width": 0.0625, "clip_length": 8, **options}
    return YOWO(NUM_CLASSES, anchors(stride), backbone=backbone, **options)


def frames(batch: int = 2, steps: int = 8, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (batch, steps, 3, *SIZE), dtype=torch.uint8, generator=generator)


def targets(rows, images, looked_at=None, classes=NUM_CLASSES) -> Targets:
    """rows: (image, box, labels); looked_at: all by default."""
    labels = torch.zeros(len(rows), classes)
    for place, (_, _, own) in enumerate(rows):
        labels[place, own] = 1
    return Targets(
        torch.tensor([box for _, box, _ in rows], dtype=torch.float32).reshape(-1, 4),
        labels,
        torch.tensor([image for image, _, _ in rows], dtype=torch.int64),
        torch.tensor(looked_at if looked_at is not None else [True] * images),
    )


def clip_batch(steps: int = 8, rows=((0, (10, 8, 40, 40), [1]), (1, (50, 20, 90, 60), [2]))):
    """Two clips, the boxes of `rows` (clip, box, labels) on their key frames."""
    rows = [(clip * steps + steps - 1, box, labels) for clip, box, labels in rows]
    return ClipBatch(
        frames=frames(2, steps),
        targets=targets(rows, 2 * steps),
        starts_stream=torch.ones(2, dtype=torch.bool),
        valid=torch.ones(2, steps, dtype=torch.bool),
        views=[View.resize(SIZE, SIZE)] * 2,
        videos=["a", "b"],
        frame_indices=torch.arange(steps).repeat(2, 1),
    )
