"""Scene cuts of a live stream: a switched camera, a hand over the lens, an edited file."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from stadet.recurrent_yolo.streaming import SceneCuts

MOST_SIDE = 128  # pixels of a side that are looked at


class CutFinder:
    """Tells, frame by frame, whether the colours differ from the frame before as at a scene cut.

    threshold: share of the pixels' colours that must change, in (0, 1] (`SceneCuts`).
    """

    def __init__(self, threshold: float) -> None:
        self._cuts = SceneCuts(threshold)
        self._last: Tensor | None = None

    def __call__(self, image: np.ndarray) -> bool:
        """image: (H, W, 3) uint8. The first frame of all is no cut."""
        every = max(1, -(-max(image.shape[:2]) // MOST_SIDE))
        few = torch.from_numpy(np.ascontiguousarray(image[::every, ::every]))
        found, self._last = self._cuts(few.permute(2, 0, 1)[None, None], self._last)
        return bool(found)
