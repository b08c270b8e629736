"""Every classifier of the registry at a size that a test can afford, with inputs for it."""

from __future__ import annotations

import torch
from torch import Tensor

from stadet.classify.models.c3d import C3D
from stadet.classify.models.classifier import ClipClassifier
from stadet.classify.models.image_backbone import ImageBackbone
from stadet.classify.models.registry import build_model

TINY = {
    "convlstm": dict(hidden=4, grid=4),
    "cnn_lstm_custom": dict(channels=4, grid=4, embedding=8, hidden=8),
    "cnn_lstm_alexnet": dict(embedding=32, hidden=8, hidden_head=32),
    "cnn_lstm_resnet50": dict(embedding=8, hidden=8, hidden_head=0),
    "cnn_lstm": dict(backbone="resnet18", trainable=True, embedding=8, hidden=8),
    "three_stream": dict(backbone="resnet18"),
    "fused_keypoints": dict(size=[24, 32], kernels=4, hidden=8),
    "late_fusion_average": dict(backbone="resnet18", embedding=8),
    "late_fusion_concatenation": dict(backbone="resnet18", embedding=8, clip_length=3),
    "lrcn": dict(backbone="resnet18", embedding=8, hidden=8, bidirectional=True),
    "c3d": dict(clip_length=16, size=[32, 48], width=0.1, hidden=32),
    "i3d_resnet": dict(width=0.1),
    "nonlocal_i3d_resnet": dict(width=0.1),
    "i3d": dict(width=0.1),
    "nl_i3d": dict(width=0.1),
    "g_i3d": dict(width=0.1),
    "dilate_i3d": dict(width=0.1),
    "modified_i3d": dict(width=0.1),
    "compact": dict(channels=4),
    "resnet3d": dict(width=0.1),
}


def tiny_model(name: str, num_classes: int = 3, **options) -> ClipClassifier:
    """A small one with random weights, zero-initialised parts disturbed so that they act."""
    torch.manual_seed(0)
    model = build_model(name, num_classes, **(TINY[name] | options))
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)
    return model


def tiny_inputs(model: ClipClassifier, batch: int = 2) -> list[Tensor]:
    """uint8 frames of a size that is not square, and what else the model takes."""
    images_only = any(isinstance(module, ImageBackbone) for module in model.modules())
    length = 16 if isinstance(model, C3D) else 3 if images_only else 8
    size = getattr(model, "size", (64, 80))
    generator = torch.Generator().manual_seed(1)
    images = [
        torch.randint(0, 256, (batch, length, 3, *size), dtype=torch.uint8, generator=generator)
        for _ in range(3)
    ]
    keypoints = torch.randn(batch, length, 1662, generator=generator)
    known = dict(zip(("frames", "flow", "hog"), images, strict=True)) | {"keypoints": keypoints}
    return [known[name] for name in model.inputs]
