"""The YOLO loss: objectness everywhere, boxes and classes where a truth is assigned."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from stadet.anchors.anchors import Anchors
from stadet.detect.batch import Targets
from stadet.detect.detection_loss import DetectionLoss
from stadet.detect.yolo.assignment import Assignment, assign, match_anchors, overlaps_truth
from stadet.detect.yolo.head import decode_boxes, decode_map


class YoloLoss(DetectionLoss):
    """Loss of the maps of a YOLO detector (arXiv 1804.02767, with later parts where they train
    better: benchmarks/yolo_loss.py).

    box: CIoU loss (arXiv 1911.08287) of the decoded boxes; objectness: focal cross-entropy (arXiv
    1708.02002, without its alpha) over all cells but those whose box overlaps a truth above
    `ignore_iou` without being assigned to one, or lies in an ignored region; class: cross-entropy
    of each class by itself, so that a box may have several labels. Everything is computed in
    float32.

    match_iou: shape IoU above which an anchor besides the best is assigned too (1 for the paper's
    single anchor). class_weights (C,): factor of each class's terms, against imbalance.
    class_gamma: focal exponent of the class term, 0 for plain cross-entropy.
    no_object_weight: factor of the cells without object.
    """

    def __init__(
        self,
        anchors: Anchors,
        *,
        box_weight: float = 5.0,
        objectness_weight: float = 1.0,
        class_weight: float = 1.0,
        no_object_weight: float = 1.0,
        class_weights: Sequence[float] | None = None,
        class_gamma: float = 0.0,
        objectness_gamma: float = 1.5,
        match_iou: float = 0.3,
        ignore_iou: float = 0.7,
    ) -> None:
        super().__init__()
        self.strides = anchors.strides
        self.num_per_level = anchors.num_per_level
        self.weights = {
            "box": box_weight,
            "objectness": objectness_weight,
            "class": class_weight,
        }
        self.no_object_weight = no_object_weight
        self.class_gamma = class_gamma
        self.objectness_gamma = objectness_gamma
        self.match_iou = match_iou
        self.ignore_iou = ignore_iou
        sizes = torch.tensor(anchors.sizes, dtype=torch.float32)
        self.register_buffer("anchors", sizes, persistent=False)  # (A, 2), finest level first
        factors = None if class_weights is None else torch.tensor(class_weights).float()
        self.register_buffer("class_weights", factors, persistent=False)

    def count_positives(self, targets: Targets) -> Tensor:
        """Divisor of the sums, (): the matches of truths with anchors, and one for each
        looked-at image, so that a batch without objects weighs no more than its images.

        It adds up over the images of a batch: reduce it over processes and give it to `forward`.
        """
        anchors = self.anchors.to(targets.boxes.device)
        _, matches = match_anchors(targets, anchors, self.match_iou)
        return (matches.sum() + targets.looked_at.sum()).float()

    def forward(
        self, maps: Sequence[Tensor], targets: Targets, num_positives: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Maps (N, A, 5 + C, h, w), finest first, to the terms `box`, `objectness` and `class`.

        num_positives: the divisor, by default `count_positives(targets)`. Without truths the terms
        stay connected to the maps; images not looked at, truths without area or with their centre
        outside the image take no part.
        """
        if num_positives is None:
            num_positives = self.count_positives(targets)
        divisor = num_positives.clamp(min=1)
        anchors = self.anchors.to(maps[0].device).split(self.num_per_level)
        sizes = [tuple(level_map.shape[-2:]) for level_map in maps]
        assignments = assign(targets, anchors, self.strides, sizes, self.match_iou)
        terms = [
            self._level_terms(level_map.float(), targets, *level)
            for level_map, *level in zip(maps, anchors, self.strides, assignments, strict=True)
        ]
        return {
            name: weight * sum(term[name] for term in terms) / divisor
            for name, weight in self.weights.items()
        }

    def _level_terms(
        self, level_map: Tensor, targets: Targets, anchors: Tensor, stride: int, level: Assignment
    ) -> dict[str, Tensor]:
        from torchvision.ops import complete_box_iou_loss  # late: it imports torch._dynamo

        values = level_map[level.item, level.anchor, :, level.row, level.column]  # (P, 5 + C)
        boxes = decode_boxes(
            values[:, :4], level.column, level.row, anchors[level.anchor], stride
        )  # (P, 4)
        labels = targets.labels[level.truth].float()  # (P, C)
        return {
            "box": complete_box_iou_loss(boxes, targets.boxes[level.truth].float()).sum(),
            "objectness": self._objectness(level_map, targets, anchors, stride, level),
            "class": self._classes(values[:, 5:], labels),
        }

    def _objectness(
        self, level_map: Tensor, targets: Targets, anchors: Tensor, stride: int, level: Assignment
    ) -> Tensor:
        from torchvision.ops import sigmoid_focal_loss

        logits = level_map[:, :, 4]  # (N, A, h, w)
        with torch.no_grad():
            boxes = decode_map(level_map, anchors, stride)  # (N, A, h, w, 4)
            ignored = overlaps_truth(boxes.flatten(1, 3), targets, self.ignore_iou)
            weights = torch.where(ignored, 0.0, self.no_object_weight).view_as(logits)
            truth = torch.zeros_like(logits)
            positives = (level.item, level.anchor, level.row, level.column)
            truth[positives] = 1.0
            weights[positives] = 1.0
            weights = weights * targets.looked_at[:, None, None, None]
        terms = sigmoid_focal_loss(logits, truth, alpha=-1, gamma=self.objectness_gamma)
        return (weights * terms).sum()

    def _classes(self, logits: Tensor, labels: Tensor) -> Tensor:
        if self.class_gamma:
            from torchvision.ops import sigmoid_focal_loss

            terms = sigmoid_focal_loss(logits, labels, alpha=-1, gamma=self.class_gamma)
        else:
            terms = binary_cross_entropy_with_logits(logits, labels, reduction="none")
        if self.class_weights is not None:
            terms = terms * self.class_weights.to(terms.device)
        return terms.sum()
