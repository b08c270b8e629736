"""The memoryless rival: a frame detector that sees the last few frames stacked on channels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stadet.detect.batch import Predictions, normalise_frames
from stadet.detect.detector import Detector
from stadet.detect.yolo.head import YoloDetector
from stadet.engine.errors import UserError
from stadet.recurrent_yolo.lookback import LookBack
from stadet.recurrent_yolo.state import Past


class StackedYOLO(Detector):
    """A `YoloDetector` on `frames` consecutive frames: [t, t-1, ...], 3 channels each.

    detector becomes a part of this model; its first convolution grows, with zero weights for the
    earlier frames, so that the model starts as exactly that detector. Before a stream's first
    frame, the first frame is repeated. The state holds the last frames.
    """

    def __init__(self, detector: YoloDetector, frames: int = 2, *, clip_length: int = 8) -> None:
        super().__init__()
        if frames < 2:
            raise UserError(f"stacked frames: expected at least 2, found {frames}")
        self.detector, self.clip_length, self.context_frames = detector, clip_length, frames - 1
        self.look_back = LookBack(range(1, frames), before_start="first")
        first = next(m for m in detector.backbone.modules() if isinstance(m, nn.Conv2d))
        earlier = torch.zeros_like(first.weight).repeat(1, frames - 1, 1, 1)
        first.weight = nn.Parameter(torch.cat([first.weight.detach(), earlier], dim=1))
        first.in_channels *= frames

    def forward(
        self,
        frames: Tensor,
        state: Past | None = None,
        starts_stream: Tensor | None = None,
        valid: Tensor | None = None,
    ) -> tuple[list[Tensor], Past]:
        """Contract of `RecurrentYOLO.forward`."""
        self.detector.check_size(frames.shape[-2:])
        earlier, state = self.look_back(frames, state, starts_stream, valid)
        stacked = torch.cat([frames, *(images for images, _ in earlier)], dim=2)  # (B, T, 3n, H, W)
        dtype = next(self.parameters()).dtype
        features = self.detector.forward_features(normalise_frames(stacked.flatten(0, 1), dtype))
        return self.detector.forward_head(features), state

    def decode(self, maps: Sequence[Tensor]) -> Predictions:
        """Maps to boxes in network pixels with final scores, not yet suppressed."""
        return self.detector.decode(maps)

    def single_step(self, lanes: int, size: tuple[int, int]) -> tuple[Detector, dict[str, Tensor]]:
        """See `Detector.single_step`."""
        from stadet.recurrent_yolo.single_step import SingleStep

        step = SingleStep(self)
        return step, step.initial_state(lanes, size)
