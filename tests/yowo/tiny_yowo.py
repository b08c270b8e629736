"""A YOWO small enough for tests, and footage for it."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from stadet.anchors.anchors import Anchors
from stadet.yowo.model import YOWO

SIZE = (64, 32)  # (height, width)
NUM_CLASSES = 3


def anchors(stride: int = 32) -> Anchors:
    return Anchors((np.array([(10.0, 20.0), (24.0, 30.0)]),), (stride,), SIZE)


def yowo(
    backbone: str = "resnet18",
    *,
    width: float = 0.125,
    clip_length: int = 8,
    size=SIZE,
    stride: int = 32,
) -> YOWO:
    """Its batch norms have seen something, its attention takes part."""
    torch.manual_seed(0)
    options = {"backbone": backbone, "width": width, "clip_length": clip_length}
    model = YOWO(NUM_CLASSES, anchors(stride), **options)
    torch.nn.init.constant_(model.cfam.sc.gamma, 0.3)
    for module in model.fine_grid.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = 1.0  # of these clips alone: else what comes from below vanishes
    with torch.no_grad():
        model.train()(clips(4, 16, size=size)[:, :clip_length])
    return model.eval()


def clips(batch: int, steps: int, seed: int = 0, size=SIZE) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, steps, 3, *size)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def video(frames: int, seed: int = 0) -> np.ndarray:
    """(F, H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (frames, *SIZE, 3), dtype=np.uint8)
