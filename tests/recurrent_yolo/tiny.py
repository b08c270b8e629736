"""A YOLOv3 and a batch small enough for tests."""

from __future__ import annotations

import numpy as np
import torch

from anchors.anchors import Anchors
from detect.batch import ClipBatch, Targets
from detect.view import View
from detect.yolov3 import YOLOv3

SIZE = (32, 64)  # (height, width)
NUM_CLASSES = 3


def anchors() -> Anchors:
    sizes = [[(8, 8)], [(16, 12)], [(24, 30)]]
    return Anchors(tuple(np.array(s) for s in sizes), (8, 16, 32), SIZE)


def detector(seed: int = 0, settle: bool = True) -> YOLOv3:
    """Width 1/8; `settle`: batch norm has seen some frames, as in a trained network."""
    torch.manual_seed(seed)
    model = YOLOv3(NUM_CLASSES, anchors(), width=0.125, depth=0.1)
    if settle:
        with torch.no_grad():
            for _ in range(3):
                model.train()(frames(2, 2))
    return model.eval()


def frames(batch: int = 2, steps: int = 6, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (batch, steps, 3, *SIZE), dtype=torch.uint8, generator=generator)


def clip_batch(batch: int = 2, steps: int = 4, seed: int = 0, *, starts=False) -> ClipBatch:
    """One box on every frame; every frame looked at."""
    count = batch * steps
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * 16
    labels = torch.zeros(count, NUM_CLASSES)
    labels[torch.arange(count), torch.arange(count) % NUM_CLASSES] = 1
    return ClipBatch(
        frames=frames(batch, steps, seed),
        targets=Targets(
            torch.cat([corner, corner + 14], 1),
            labels,
            torch.arange(count),
            torch.ones(count, dtype=torch.bool),
        ),
        starts_stream=torch.full((batch,), starts),
        valid=torch.ones(batch, steps, dtype=torch.bool),
        views=[View.resize(SIZE, SIZE)] * batch,
        videos=[f"video {lane}" for lane in range(batch)],
        frame_indices=torch.arange(steps).repeat(batch, 1) + 100 * seed,
    )


def randomise(module: torch.nn.Module, scale: float = 0.3, seed: int = 3) -> torch.nn.Module:
    """Random memory weights, so that what starts at zero takes part."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    return module
