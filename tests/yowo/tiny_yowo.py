"""A YOWO small enough for tests, and footage for it."""

from __future__ import annotations

import numpy as np
import torch

from anchors.anchors import Anchors
from yowo.model import YOWO

SIZE = (64, 32)  # (height, width)
NUM_CLASSES = 3


def anchors() -> Anchors:
    return Anchors((np.array([(10.0, 20.0), (24.0, 30.0)]),), (32,), SIZE)


def yowo(
    backbone: str = "resnet18", *, width: float = 0.125, clip_length: int = 8, size=SIZE
) -> YOWO:
    """Its batch norms have seen something, its attention takes part."""
    torch.manual_seed(0)
    model = YOWO(NUM_CLASSES, anchors(), backbone=backbone, width=width, clip_length=clip_length)
    torch.nn.init.constant_(model.cfam.sc.gamma, 0.3)
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
