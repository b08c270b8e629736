"""Assignment of truths to anchors of cells (YOLOv3, arXiv 1804.02767, section 2.1),
without a loop over boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stadet.detect.batch import Targets
from stadet.detect.boxes import xyxy_to_cxcywh

INSIDE = 0.5  # share of a prediction's area within an ignored region that takes it from the loss
PAIRS_AT_ONCE = 1 << 22  # bounds the memory of `overlap_truths`: some 16 bytes a pair, a few times


@dataclass(frozen=True)
class Assignment:
    """The P positives of one level: rows of `Targets` and indices into the map, all (P,) int64."""

    truth: Tensor
    item: Tensor
    anchor: Tensor
    row: Tensor
    column: Tensor

    def __len__(self) -> int:
        return len(self.truth)


def shape_iou(sizes: Tensor, anchors: Tensor) -> Tensor:
    """IoU of sizes (M, 2) with anchors (A, 2), all centred on one point: (M, A)."""
    intersection = torch.minimum(sizes[:, None], anchors[None]).prod(-1)
    union = sizes.prod(-1)[:, None] + anchors.prod(-1)[None] - intersection
    return intersection / union


def match_anchors(targets: Targets, anchors: Tensor, iou_threshold: float) -> tuple[Tensor, Tensor]:
    """Shape IoU (M, A) of truths with anchors (A, 2), and which of the pairs match (M, A) bool.

    A truth matches its best anchor, the first of equals, and every anchor of IoU above
    `iou_threshold`. Truths on images not looked at, ignored ones, and boxes without area match
    none.
    """
    sizes = xyxy_to_cxcywh(targets.boxes.float())[:, 2:]  # (M, 2)
    usable = (sizes > 0).all(-1) & targets.boxes.isfinite().all(-1)
    usable &= targets.looked_at[targets.item] & ~targets.ignored
    iou = torch.where(usable[:, None], shape_iou(sizes, anchors), 0)
    matches = iou > iou_threshold
    if len(iou):
        matches = matches.scatter(1, iou.argmax(1, keepdim=True), True)
    return iou, matches & usable[:, None]


def assign(
    targets: Targets,
    anchors: Sequence[Tensor],
    strides: Sequence[int],
    map_sizes: Sequence[tuple[int, int]],
    iou_threshold: float = 1.0,
) -> list[Assignment]:
    """One `Assignment` a level: the cell that holds the centre of the box, at the matching anchors.

    anchors: (A_l, 2) network pixels; map_sizes: (h, w) cells. A centre on a border between cells
    belongs to the cell right of or below it, on the image's right or bottom edge to the last cell;
    a centre outside the image to none. Where two truths want one anchor of one cell, the one whose
    shape fits the anchor better takes it (of equals, the first).
    """
    iou, matches = match_anchors(targets, torch.cat(list(anchors)), iou_threshold)
    centres = xyxy_to_cxcywh(targets.boxes.float())[:, :2]  # (M, 2)
    out = []
    first = 0
    for level_anchors, stride, (height, width) in zip(anchors, strides, map_sizes, strict=True):
        last = first + len(level_anchors)
        grid = centres.new_tensor([width, height])
        cells = centres / stride
        inside = ((cells >= 0) & (cells <= grid)).all(-1)  # (M,)
        truth, anchor = (matches[:, first:last] & inside[:, None]).nonzero(as_tuple=True)
        column, row = cells[truth].minimum(grid - 1).long().unbind(-1)
        item = targets.item[truth]
        slot = ((item * len(level_anchors) + anchor) * height + row) * width + column
        keep = _first_of_each(slot, iou[truth, first + anchor])
        out.append(Assignment(truth[keep], item[keep], anchor[keep], row[keep], column[keep]))
        first = last
    return out


def _first_of_each(slot: Tensor, rank: Tensor) -> Tensor:
    """Indices of the entries of highest rank in each group of equal slots, (P,) to (U,)."""
    order = rank.argsort(descending=True, stable=True)
    groups, group = slot[order].unique(return_inverse=True)
    positions = torch.arange(len(slot), device=slot.device)
    winner = torch.full_like(groups, len(slot)).scatter_reduce(0, group, positions, "amin")
    return order[winner]


def overlaps_truth(boxes: Tensor, targets: Targets, iou_threshold: float) -> Tensor:
    """Mask of the predictions (N, K, 4) xyxy that overlap a truth of their image above the IoU: (N,
    K).

    With an ignored region the overlap is the share of the prediction's own area, and half of it is
    enough (as pycocotools compares detections with crowds).
    """
    best = boxes.new_zeros(boxes.shape[:2])
    areas = _area(boxes)
    chunk = max(1, PAIRS_AT_ONCE // boxes.shape[1])
    columns = (targets.boxes, targets.item, targets.ignored)
    for truths, item, ignored in zip(*(column.split(chunk) for column in columns), strict=True):
        truths = truths.float()[:, None]  # (m, 1, 4)
        own = boxes[item]  # (m, K, 4)
        corner = torch.minimum(own[..., 2:], truths[..., 2:])
        sides = (corner - torch.maximum(own[..., :2], truths[..., :2])).clamp(min=0)
        intersection = sides.prod(-1)
        union = areas[item] + _area(truths[:, 0])[:, None] - intersection
        iou = intersection / union.clamp(min=1e-9)
        if ignored.any():
            inside = intersection / areas[item].clamp(min=1e-9) > INSIDE
            iou = torch.where(ignored[:, None], inside.to(iou.dtype), iou)
        best = best.scatter_reduce(0, item[:, None].expand_as(iou), iou, "amax")
    return best > iou_threshold


def _area(boxes: Tensor) -> Tensor:
    """Areas (...,) of boxes (..., 4) xyxy."""
    return (boxes[..., 2:] - boxes[..., :2]).prod(-1)
