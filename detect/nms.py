"""From decoded predictions to detections: non-maximum suppression, and video pixels."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from stadet.detect.batch import Predictions
from stadet.detect.boxes import clip_boxes
from stadet.detect.nms_operator import batched_nms
from stadet.detect.structures import Detections
from stadet.detect.view import View

MAX_CANDIDATES = 30_000  # (box, class) pairs of one image that enter suppression, best first


class Suppressed(NamedTuple):
    """Boxes of one image after suppression, network pixels, best first.

    boxes (n, 4) xyxy; objectness (n,); scores (n, C), 0 where the pair of box and class fell.
    """

    boxes: Tensor
    objectness: Tensor
    scores: Tensor


def suppress(
    predictions: Predictions,
    score_floor: float,
    iou_threshold: float,
    max_detections: int,
    class_agnostic: bool = False,
    rank: Literal["score", "objectness"] = "score",
) -> list[Suppressed]:
    """Suppress each image of a batch by itself; one `Suppressed` an image.

    A box may hold several classes at once (someone wipes and talks on the phone), so candidates are
    (box, class) pairs with a score above `score_floor`. Class-wise, each class suppresses among its
    own pairs, and the surviving pairs of one box become one row, with 0 for its other classes.
    Class-agnostic, boxes compete by their best score, or by objectness where `rank` says so (YOWO
    as published), and keep all their scores above the floor.
    At most `max_detections` rows stay, those of the best scores. Greedy: a pair falls if its IoU
    with a better one exceeds `iou_threshold`.
    """
    if rank == "objectness" and not class_agnostic:
        raise ValueError("expected class_agnostic with rank objectness")
    limits = (score_floor, iou_threshold, max_detections)
    out = []
    for boxes, objectness, scores in zip(
        predictions.boxes.float(),
        predictions.objectness.float(),
        predictions.scores.float(),
        strict=True,
    ):
        if class_agnostic:
            by = objectness if rank == "objectness" else None
            rows, kept_scores = _select_boxes(boxes, scores, *limits, by)
        else:
            rows, kept_scores = _select_pairs(boxes, scores, *limits)
        out.append(Suppressed(boxes[rows], objectness[rows], kept_scores))
    return out


def _select_pairs(
    boxes: Tensor, scores: Tensor, score_floor: float, iou_threshold: float, max_detections: int
) -> tuple[Tensor, Tensor]:
    """Class-wise suppression of boxes (K, 4), scores (K, C): kept rows (n,) and scores (n, C)."""
    row, label = (scores > score_floor).nonzero(as_tuple=True)  # (P,) each
    score = scores[row, label]
    if len(score) > MAX_CANDIDATES:
        score, best = score.topk(MAX_CANDIDATES)
        row, label = row[best], label[best]
    kept = batched_nms(boxes[row], score, label, iou_threshold)  # best first
    row, label, score = row[kept], label[kept], score[kept]
    unique, group = row.unique(return_inverse=True)
    # a box's place is that of its best pair
    place = torch.full_like(unique, len(row)).scatter_reduce(
        0, group, torch.arange(len(row), device=row.device), "amin"
    )
    order = place.argsort()[:max_detections]
    kept_scores = scores.new_zeros(len(unique), scores.shape[1])
    kept_scores[group, label] = score
    return unique[order], kept_scores[order]


def _select_boxes(
    boxes: Tensor,
    scores: Tensor,
    score_floor: float,
    iou_threshold: float,
    max_detections: int,
    rank: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Class-agnostic suppression: kept rows (n,), their scores above the floor (n, C).

    rank (K,): what the boxes compete by, their best score by default.
    """
    best = scores.amax(1) if scores.shape[1] else scores.sum(1)
    by = best if rank is None else rank
    row = (best > score_floor).nonzero(as_tuple=True)[0]
    if len(row) > MAX_CANDIDATES:
        row = row[by[row].topk(MAX_CANDIDATES).indices]
    one_class = torch.zeros_like(row)
    rows = row[batched_nms(boxes[row], by[row], one_class, iou_threshold)[:max_detections]]
    return rows, torch.where(scores[rows] > score_floor, scores[rows], 0)


def to_detections(suppressed: Suppressed, view: View) -> Detections:
    """Convert one image's boxes to the video's pixels, clipped to the frame.

    Boxes with nothing inside the frame (on the grey of a letterbox) are left out.
    """
    boxes, objectness, scores = (tensor.detach().double().cpu().numpy() for tensor in suppressed)
    boxes = clip_boxes(view.to_video(boxes), view.video_size)
    visible = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return Detections(boxes, objectness, scores)[visible]
