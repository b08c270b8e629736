"""torchvision's suppression operator without the rest of torchvision.

Importing `torchvision.ops` also imports `torch._dynamo` and what hangs on it: two CPU seconds
before the first detection. The compiled operator alone takes a few milliseconds
(benchmarks/first_detection.py).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

MANY = {"cpu": 4_000, "cuda": 100_000}  # numbers in the boxes, above which classes take turns


@cache
def _operator() -> Callable[[Tensor, Tensor, float], Tensor]:
    """nms(boxes (n, 4) xyxy, scores (n,), IoU threshold) -> indices of the kept, best first."""
    spec = None if "torchvision" in sys.modules else find_spec("torchvision")
    for folder in (spec and spec.submodule_search_locations) or ():
        for library in sorted(Path(folder).glob("_C*.so")):
            try:
                torch.ops.load_library(str(library))
                return torch.ops.torchvision.nms.default
            except (OSError, AttributeError):  # of another version: as its package does it
                continue
    from torchvision.ops import nms

    return nms


def batched_nms(boxes: Tensor, scores: Tensor, labels: Tensor, iou_threshold: float) -> Tensor:
    """Suppress boxes within each class: indices of the kept ones, best first.

    boxes (n, 4) xyxy float32; scores (n,); labels (n,) int64. As `torchvision.ops.batched_nms`:
    few boxes are moved so that those of different classes do not meet, and suppressed in one call.
    """
    nms = _operator()
    if boxes.numel() > MANY.get(boxes.device.type, MANY["cuda"]):
        kept = torch.zeros_like(scores, dtype=torch.bool)
        for label in labels.unique():
            (own,) = torch.where(labels == label)
            kept[own[nms(boxes[own], scores[own], iou_threshold)]] = True
        (rows,) = torch.where(kept)
        return rows[scores[rows].sort(descending=True)[1]]
    if not len(boxes):
        return torch.empty(0, dtype=torch.int64, device=boxes.device)
    apart = labels.to(boxes) * (boxes.max() + 1)
    return nms(boxes + apart[:, None], scores, iou_threshold)
