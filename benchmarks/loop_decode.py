"""The obvious decoding and suppression, one number at a time: what ours is measured against."""

from __future__ import annotations

import math

from torch import Tensor

Kept = list[tuple[float, list[float]]]


def decode_by_loops(level: Tensor, anchors: Tensor, floor: float, iou_threshold: float) -> Kept:
    """A YOWO map (1, A, 5 + C, h, w) of stride 32 and its anchors (A, 2) to (score, xyxy network
    pixels) of the boxes that suppression over all classes keeps, best first."""
    values, sizes = level[0].tolist(), anchors.tolist()
    sigmoid = lambda t: 1 / (1 + math.exp(-t))  # noqa: E731
    candidates = []
    for anchor, (width, height) in enumerate(sizes):
        for row in range(level.shape[-2]):
            for column in range(level.shape[-1]):
                tx, ty, tw, th, confidence, *logits = (v[row][column] for v in values[anchor])
                x, y = (sigmoid(tx) + column) * 32, (sigmoid(ty) + row) * 32
                w, h = width * math.exp(tw), height * math.exp(th)
                exponents = [math.exp(logit) for logit in logits]
                score = sigmoid(confidence) * max(exponents) / sum(exponents)
                if score > floor:
                    box = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
                    candidates.append((score, box))
    candidates.sort(reverse=True)
    kept: Kept = []
    for score, box in candidates:
        if all(_iou(box, other) <= iou_threshold for _, other in kept):
            kept.append((score, box))
    return kept


def _iou(a: list[float], b: list[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return shared / (areas - shared)
