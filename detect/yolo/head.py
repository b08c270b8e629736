"""Shared parts of the YOLO detectors: the output convolution, decoding, and the detector
contract."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stadet.anchors.anchors import Anchors
from stadet.detect.batch import Predictions
from stadet.detect.boxes import cxcywh_to_xyxy
from stadet.detect.yolo.staged import StagedDetector

OBJECTNESS_PRIOR = 0.01  # share of cells that start as objects (RetinaNet's prior, 1708.02002)
MAX_LOG_SCALE = math.log(1000 / 16)  # a side is at most 62.5 anchors, as in torchvision


class OutputConv(nn.Conv2d):
    """The last 1x1 convolution of a scale: (N, in, h, w) to (N, A, 5 + C, h, w).

    The 5 + C values are tx, ty, tw, th, objectness and classes, as logits. The start is quiet:
    boxes of about anchor size at the cell's centre, objectness `OBJECTNESS_PRIOR`, and each class
    as likely as any other.
    """

    def __init__(self, in_channels: int, num_anchors: int, num_classes: int) -> None:
        super().__init__(in_channels, num_anchors * (5 + num_classes), 1)
        self.num_anchors = num_anchors
        class_prior = 1 / max(2, num_classes)
        nn.init.normal_(self.weight, std=0.01)
        with torch.no_grad():
            assert self.bias is not None
            bias = self.bias.view(num_anchors, 5 + num_classes)
            bias.zero_()
            bias[:, 4] = math.log(OBJECTNESS_PRIOR / (1 - OBJECTNESS_PRIOR))
            bias[:, 5:] = math.log(class_prior / (1 - class_prior)) if class_prior < 1 else 0

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).unflatten(1, (self.num_anchors, -1))


def cell_grid(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Column indices (1, w) and row indices (h, 1) of a grid, float32."""
    columns = torch.arange(width, dtype=torch.float32, device=device)[None, :]
    rows = torch.arange(height, dtype=torch.float32, device=device)[:, None]
    return columns, rows


def decode_boxes(
    values: Tensor, columns: Tensor, rows: Tensor, anchors: Tensor, stride: int
) -> Tensor:
    """(..., 4) raw tx, ty, tw, th to (..., 4) xyxy network pixels (1804.02767, section 2.1).

    Centre = (sigmoid(txy) + cell) * stride, size = anchor * exp(twh). columns, rows: cell indices
    that broadcast with `values[..., 0]`; anchors (..., 2) (width, height) likewise. Sizes stay
    between 1/62.5 and 62.5 anchors, so that a wild output has neither no area nor an infinite one.
    """
    values = values.float()
    x = (values[..., 0].sigmoid() + columns) * stride
    y = (values[..., 1].sigmoid() + rows) * stride
    w, h = (anchors * values[..., 2:4].clamp(-MAX_LOG_SCALE, MAX_LOG_SCALE).exp()).unbind(-1)
    return cxcywh_to_xyxy(torch.stack([x, y, w, h], dim=-1))


def decode_map(level_map: Tensor, anchors: Tensor, stride: int) -> Tensor:
    """One level's map (N, A, 5 + C, h, w) and its anchors (A, 2) to boxes (N, A, h, w, 4)."""
    height, width = level_map.shape[-2:]
    columns, rows = cell_grid(height, width, level_map.device)
    values = level_map[:, :, :4].permute(0, 1, 3, 4, 2)  # (N, A, h, w, 4)
    return decode_boxes(values, columns, rows, anchors[None, :, None, None], stride)


def decode_maps(
    maps: Sequence[Tensor], anchors: Sequence[Tensor], strides: Sequence[int]
) -> Predictions:
    """Maps of all levels to boxes, objectness and scores = objectness x class probability.

    Box k runs over levels, then anchors, rows and columns.
    """
    boxes, objectness, scores = [], [], []
    for level_map, level_anchors, stride in zip(maps, anchors, strides, strict=True):
        boxes.append(decode_map(level_map, level_anchors, stride).flatten(1, 3))
        probabilities = level_map[:, :, 4:].float().sigmoid().movedim(2, -1).flatten(1, 3)
        objectness.append(probabilities[..., 0])
        scores.append(probabilities[..., :1] * probabilities[..., 1:])
    return Predictions(torch.cat(boxes, 1), torch.cat(objectness, 1), torch.cat(scores, 1))


class YoloDetector(StagedDetector):
    """A frame detector: backbone, and for each scale a neck, a 3x3 and a linear 1x1 convolution.

    A subclass gives `backbone` with `forward_backbone`, the channels of the features between the
    parts and `scales`, coarsest first (the order of computation, and of Darknet's weight files):
    modules with `forward_neck(x, coarser)`, `head` and `output`.
    """

    backbone: nn.Module
    scales: nn.ModuleList

    def __init__(self, num_classes: int, anchors: Anchors) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.strides = tuple(int(stride) for stride in anchors.strides)
        for level, sizes in enumerate(anchors.levels):
            tensor = torch.tensor(sizes, dtype=torch.float32)
            self.register_buffer(f"anchors_{level}", tensor, persistent=False)

    @property
    def level_anchors(self) -> list[Tensor]:
        """Anchor sizes (A, 2) (width, height) of each level in network pixels, finest first."""
        return [getattr(self, f"anchors_{level}") for level in range(len(self.strides))]

    def decode(self, maps: Sequence[Tensor]) -> Predictions:
        """Maps to boxes in network pixels with final scores, not yet suppressed."""
        return decode_maps(maps, self.level_anchors, self.strides)

    def forward_neck(self, backbone_features: list[Tensor]) -> list[Tensor]:
        """The backbone's features to those before the heads, finest first."""
        features: list[Tensor] = []
        coarser = None
        for scale, x in zip(self.scales, reversed(backbone_features), strict=True):
            coarser = scale.forward_neck(x, coarser)
            features.append(coarser)
        return features[::-1]

    def forward_head_features(self, features: list[Tensor]) -> list[Tensor]:
        """The neck's features to the inputs of the last convolutions, finest first."""
        return [scale.head(x) for scale, x in zip(reversed(self.scales), features, strict=True)]

    def forward_output(self, head_features: list[Tensor]) -> list[Tensor]:
        """Inputs of the last convolutions to maps (N, A, 5 + C, h, w), finest first."""
        scales = zip(reversed(self.scales), head_features, strict=True)
        return [scale.output(x) for scale, x in scales]

    def modules_of(self, part: str) -> list[nn.Module]:
        """The head is the 3x3 and the last convolution of each scale, the neck all before it."""
        if part == "backbone":
            return [self.backbone]
        return [
            module
            for scale in self.scales
            for name, module in scale.named_children()
            if (name in ("head", "output")) == (part == "head")
        ]
