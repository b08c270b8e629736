"""Box arithmetic for numpy arrays and torch tensors alike.

Forms: `xyxy` = (x1, y1, x2, y2) corners; `xywh` = (x1, y1, width, height) corner and size;
`cxcywh` = (centre x, centre y, width, height). Boxes are continuous: a box from x1 to x2 is x2 - x1
wide (the protocols that count +1 pixel say so themselves).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch

Array = TypeVar("Array", np.ndarray, "torch.Tensor")


def _stack(columns: list[Array]) -> Array:
    if isinstance(columns[0], np.ndarray):
        return np.stack(columns, axis=-1)
    import torch

    return torch.stack(columns, dim=-1)


def _columns(boxes: Array) -> tuple[Array, Array, Array, Array]:
    return boxes[..., 0], boxes[..., 1], boxes[..., 2], boxes[..., 3]


def xyxy_to_xywh(boxes: Array) -> Array:
    """(..., 4) corners to corner and size, in the same unit."""
    x1, y1, x2, y2 = _columns(boxes)
    return _stack([x1, y1, x2 - x1, y2 - y1])


def xywh_to_xyxy(boxes: Array) -> Array:
    """(..., 4) corner and size to corners, in the same unit."""
    x, y, w, h = _columns(boxes)
    return _stack([x, y, x + w, y + h])


def xyxy_to_cxcywh(boxes: Array) -> Array:
    """(..., 4) corners to centre and size, in the same unit."""
    x1, y1, x2, y2 = _columns(boxes)
    return _stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1])


def cxcywh_to_xyxy(boxes: Array) -> Array:
    """(..., 4) centre and size to corners, in the same unit."""
    cx, cy, w, h = _columns(boxes)
    return _stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])


def area(boxes: Array) -> Array:
    """(..., 4) xyxy to (...,) areas; negative sides count as 0."""
    x1, y1, x2, y2 = _columns(boxes)
    return (x2 - x1).clip(0) * (y2 - y1).clip(0)


def has_area(boxes: Array) -> Array:
    """(..., 4) xyxy to (...,) bool: both sides are longer than 0."""
    x1, y1, x2, y2 = _columns(boxes)
    return (x2 > x1) & (y2 > y1)


def clip_boxes(boxes: Array, size: tuple[int, int]) -> Array:
    """(..., 4) xyxy pixels clipped to an image of `size` (height, width)."""
    height, width = size
    x1, y1, x2, y2 = _columns(boxes)
    return _stack([x1.clip(0, width), y1.clip(0, height), x2.clip(0, width), y2.clip(0, height)])


def pairwise_iou(a: np.ndarray, b: np.ndarray, *, plus_one: bool = False) -> np.ndarray:
    """IoU of every box of `a` with every box of `b`.

    For torch tensors use `torchvision.ops.box_iou`.

    Args:
        a: (N, 4) xyxy.
        b: (M, 4) xyxy.
        plus_one: count a box from x1 to x2 as x2 - x1 + 1 wide (VOC's integer pixels).

    Returns:
        (N, M) float64 in [0, 1]; 0 for two boxes of no area.
    """
    a, b = _boxes_of(a, "a"), _boxes_of(b, "b")
    return rowwise_iou(a[:, None], b[None], plus_one=plus_one)


def _boxes_of(boxes: object, name: str) -> np.ndarray:
    found = np.asarray(boxes, dtype=np.float64)
    if found.size % 4 or (found.size and found.shape[-1:] not in ((4,), ())):
        raise ValueError(f"{name}: expected boxes (N, 4), found shape {found.shape}")
    return found.reshape(-1, 4)


def rowwise_iou(a: np.ndarray, b: np.ndarray, *, plus_one: bool = False) -> np.ndarray:
    """IoU of boxes xyxy (..., 4) with boxes (..., 4) under numpy's broadcasting: (...,)."""
    extra = 1.0 if plus_one else 0.0
    width = np.minimum(a[..., 2], b[..., 2]) - np.maximum(a[..., 0], b[..., 0]) + extra
    height = np.minimum(a[..., 3], b[..., 3]) - np.maximum(a[..., 1], b[..., 1]) + extra
    intersection = width.clip(0) * height.clip(0)
    area_a = (a[..., 2] - a[..., 0] + extra).clip(0) * (a[..., 3] - a[..., 1] + extra).clip(0)
    area_b = (b[..., 2] - b[..., 0] + extra).clip(0) * (b[..., 3] - b[..., 1] + extra).clip(0)
    union = area_a + area_b - intersection
    return np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)


def rowwise_share(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Share of the area of boxes `a` xyxy (..., 4) that lies inside boxes `b` (..., 4): (...,).

    0 for a box of no area. The IoU of a detection with a crowd region in pycocotools.
    """
    width = np.minimum(a[..., 2], b[..., 2]) - np.maximum(a[..., 0], b[..., 0])
    height = np.minimum(a[..., 3], b[..., 3]) - np.maximum(a[..., 1], b[..., 1])
    whole = area(a)
    return np.divide(
        width.clip(0) * height.clip(0), whole, out=np.zeros_like(whole), where=whole > 0
    )
