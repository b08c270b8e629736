"""Batches of one shape, for runtimes that prepare themselves for a shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from stadet.detect.batch import Predictions
from stadet.detect.detector import Detector


class FixedShape(Detector):
    """A detector around `model` that pads smaller batches to the shape of the largest so far.

    Detectors that answer for every frame get more frames, which are not valid and leave a state as
    it is; key-frame detectors get more clips. The maps are those of the batch without them, so a
    video's last, short batch costs no second compilation.
    """

    def __init__(self, model: Detector) -> None:
        super().__init__()
        self.model = model
        self.predicts, self.clip_length = model.predicts, model.clip_length
        self.clip_step, self.period = model.clip_step, model.period
        self.context_frames = model.context_frames
        self._largest = 0

    def forward(
        self,
        frames: Tensor,
        state: Any = None,
        starts_stream: Tensor | None = None,
        valid: Tensor | None = None,
    ) -> tuple[list[Tensor], Any]:
        """See `Detector.forward`."""
        lanes, steps = frames.shape[:2]
        axis = 1 if self.predicts == "every_frame" else 0
        count = frames.shape[axis]
        self._largest = max(self._largest, count)
        missing = self._largest - count
        if valid is None:
            valid = torch.ones(lanes, steps, dtype=torch.bool, device=frames.device)
        if starts_stream is None:
            starts_stream = torch.zeros(lanes, dtype=torch.bool, device=frames.device)
        if missing:
            frames, valid = _extend(frames, missing, axis), _extend(valid, missing, axis)
            if axis == 0 or starts_stream.ndim == 2:
                starts_stream = _extend(starts_stream, missing, axis)
        maps, state = self.model(frames, state, starts_stream, valid)
        if missing and axis == 0:
            maps = [level[:count] for level in maps]
        elif missing:
            maps = [level.unflatten(0, (lanes, -1))[:, :count].flatten(0, 1) for level in maps]
        return maps, state

    def decode(self, maps: Sequence[Tensor]) -> Predictions:
        """See `Detector.decode`."""
        return self.model.decode(maps)


def _extend(x: Tensor, count: int, axis: int) -> Tensor:
    """`count` more entries of zeros (False) at the end of an axis."""
    shape = list(x.shape)
    shape[axis] = count
    return torch.cat([x, x.new_zeros(shape)], dim=axis)
