"""YOWO's region loss (arXiv 1911.06644, section 3.2), as published or with our improvements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, smooth_l1_loss

from stadet.anchors.anchors import Anchors
from stadet.detect.batch import Targets
from stadet.detect.boxes import xyxy_to_cxcywh
from stadet.detect.yolo.assignment import assign, overlaps_truth
from stadet.detect.yolo.head import decode_boxes, decode_map


def focal_softmax_loss(logits: Tensor, labels: Tensor, gamma: float) -> Tensor:
    """Focal cross-entropy (arXiv 1708.02002) over one softmax: (P, C) logits and multi-hot labels
    to (P,). Several labels of one box share the weight."""
    log_probability = logits.log_softmax(-1)
    share = labels / labels.sum(-1, keepdim=True).clamp(min=1)
    modulation = (1 - log_probability.exp()) ** gamma
    return -(share * modulation * log_probability).sum(-1)


class RegionLoss(nn.Module):
    """Loss of a map (B, A, 5 + C, h, w) against the truth of B key frames, as named scalars.

    The cell of a box's centre and the anchor of best shape are responsible. Boxes: smooth L1 on
    (x, y after the sigmoid, log w, log h), or 1 - CIoU. Confidence: half the squared error to the
    IoU that the prediction reaches, times `object_scale`; other predictions to 0 unless they
    overlap a truth above `ignore_iou`. Classes: focal softmax, and for the last
    `multi_label_classes` sigmoids.
    class_weights (C,): a factor on the class loss of boxes of each class, against imbalance.
    """

    def __init__(
        self,
        anchors: Anchors,
        *,
        box: Literal["smooth_l1", "ciou"] = "smooth_l1",
        object_scale: float = 5.0,
        no_object_scale: float = 1.0,
        box_scale: float = 1.0,
        class_scale: float = 1.0,
        focal_gamma: float = 2.0,
        ignore_iou: float = 0.6,
        multi_label_classes: int = 0,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        (sizes,) = anchors.levels
        self.register_buffer("anchor_sizes", torch.tensor(sizes, dtype=torch.float32))
        (self.stride,) = anchors.strides
        self.box, self.box_scale = box, box_scale
        self.object_scale, self.no_object_scale = object_scale, no_object_scale
        self.class_scale, self.focal_gamma = class_scale, focal_gamma
        self.ignore_iou, self.multi_label_classes = ignore_iou, multi_label_classes
        weights = None if class_weights is None else torch.tensor(class_weights).float()
        self.register_buffer("class_weights", weights)

    def forward(
        self, maps: Sequence[Tensor], targets: Targets, normaliser: Tensor | float = 1.0
    ) -> dict[str, Tensor]:
        """maps: one level; targets of its B images. The published loss is a sum over the batch
        (normaliser 1). Images that nobody looked at take no part."""
        level = maps[0].float()
        height, width = level.shape[-2:]
        (own,) = assign(targets, [self.anchor_sizes], [self.stride], [(height, width)])
        raw = level[own.item, own.anchor, :, own.row, own.column]  # (P, 5 + C)
        truth = targets.boxes[own.truth].float()
        anchor = self.anchor_sizes[own.anchor]
        boxes = decode_boxes(raw[:, :4], own.column, own.row, anchor, self.stride)
        labels = targets.labels[own.truth].float()
        losses = {
            "box": self.box_scale * self._box_loss(raw[:, :4], boxes, truth, anchor, own),
            "confidence": self._confidence_loss(level, targets, own, boxes, truth),
            "class": self.class_scale * self._class_loss(raw[:, 5:], labels),
        }
        return {name: value / normaliser for name, value in losses.items()}

    def _box_loss(self, raw, boxes, truth, anchor, own) -> Tensor:
        if self.box == "ciou":
            from torchvision.ops import complete_box_iou_loss  # late: it imports torch._dynamo

            return complete_box_iou_loss(boxes, truth, reduction="sum")
        wanted = xyxy_to_cxcywh(truth)
        cell = torch.stack([own.column, own.row], dim=-1)
        centre = wanted[:, :2] / self.stride - cell
        predicted = torch.cat([raw[:, :2].sigmoid(), raw[:, 2:]], dim=-1)
        target = torch.cat([centre, (wanted[:, 2:] / anchor).log()], dim=-1)
        return smooth_l1_loss(predicted, target, reduction="sum") / 2

    def _confidence_loss(self, level, targets, own, boxes, truth) -> Tensor:
        from torchvision.ops import box_iou

        with torch.no_grad():
            predicted = decode_map(level, self.anchor_sizes, self.stride)  # (B, A, h, w, 4)
            flat = predicted.flatten(1, 3)
            ignored = overlaps_truth(flat, targets, self.ignore_iou).view(predicted.shape[:-1])
            weight = torch.where(ignored, 0.0, self.no_object_scale)
            wanted = torch.zeros_like(weight)
            place = (own.item, own.anchor, own.row, own.column)
            wanted[place] = box_iou(boxes, truth).diagonal()
            weight[place] = self.object_scale
            weight = weight * targets.looked_at[:, None, None, None]
        return (weight * (level[:, :, 4].sigmoid() - wanted).square()).sum() / 2

    def _class_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        shared = logits.shape[1] - self.multi_label_classes
        weight = logits.new_ones(len(logits))
        if self.class_weights is not None and len(logits):
            weight = (labels * self.class_weights).sum(-1) / labels.sum(-1).clamp(min=1)
        loss = focal_softmax_loss(logits[:, :shared], labels[:, :shared], self.focal_gamma)
        if self.multi_label_classes:
            loss = loss + binary_cross_entropy_with_logits(
                logits[:, shared:], labels[:, shared:], reduction="none"
            ).sum(-1)
        return (weight * loss).sum()
