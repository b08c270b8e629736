"""Boxes of several classes that lie on each other: one actor."""

from __future__ import annotations

import numpy as np

from stadet.detect.boxes import rowwise_iou

ONE_PLACE = 0.4  # IoU from which two boxes of a frame are of one actor


def leaders_of(boxes: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """(N,) row of the box that stands for each box of a frame: itself, or a stronger one on it.

    The strongest box takes those of IoU at least `ONE_PLACE` with it, whatever their classes, then
    the strongest of the rest takes its own, and so on, whatever the order of the boxes.

    Args:
        boxes: (N, 4) xyxy of one frame.
        strength: (N,) score of each box.
    """
    leaders = np.full(len(boxes), -1)
    for row in np.lexsort((*boxes.T[::-1], -strength)).tolist():
        if leaders[row] < 0:
            free = leaders < 0
            near = free & (rowwise_iou(boxes[row], boxes) >= ONE_PLACE)
            near[row] = True  # also a box without area
            leaders[near] = row
    return leaders
