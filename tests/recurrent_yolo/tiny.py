"""A YOLOv3 and a batch small enough for tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from stadet.anchors.anchors import Anchors
from stadet.detect.batch import PADDING, ClipBatch, ClipRequest, Targets
from stadet.detect.view import View
from stadet.detect.yolo.yolov3 import YOLOv3

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


def requested_batch(requests: Sequence[ClipRequest]) -> ClipBatch:
    """A batch whose pixels and truth are a function of (video, frame), as a data set's are."""
    indices = torch.tensor([request.frames for request in requests])
    batch = clip_batch(*indices.shape)
    pixels, boxes = torch.zeros_like(batch.frames), batch.targets.boxes
    for lane, request in enumerate(requests):
        for place, frame in enumerate(request.frames):
            if frame != PADDING:
                one = clip_batch(1, 1, 100 * int(request.video) + frame)
                pixels[lane, place] = one.frames[0, 0]
                boxes[lane * len(request.frames) + place] = one.targets.boxes[0]
    looked_at = ((indices != PADDING) & (indices % 3 != 0)).flatten()
    labels = torch.eye(NUM_CLASSES)[indices.flatten() % NUM_CLASSES]
    return replace(
        batch,
        frames=pixels,
        targets=Targets(boxes, labels, batch.targets.item, looked_at),
        starts_stream=torch.tensor([r.starts_stream for r in requests]),
        valid=indices != PADDING,
        videos=[r.video for r in requests],
        frame_indices=indices,
    )


def randomise(module: torch.nn.Module, scale: float = 0.3, seed: int = 3) -> torch.nn.Module:
    """Random memory weights, so that what starts at zero takes part."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    return module
