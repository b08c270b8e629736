"""YOWO on a stream with its costly branch, the 3D one, on some frames only."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stadet.detect.batch import Predictions
from stadet.detect.detector import Detector
from stadet.engine.errors import UserError
from stadet.yowo.model import YOWO

# place in the cycle of k key frames, and the features (C, h, w) last computed
State = tuple[int, Tensor]


class TemporalEvery(Detector):
    """A YOWO whose 3D branch sees every k-th key frame's clip; its features serve until the next.

    The 2D branch and the fusion still run on every key frame. k = 1 is the plain network. The clips
    of a batch must be those of consecutive key frames of one stream, and a state of None begins a
    stream, with features of its own. `context_frames` grows by k - 1; whoever starts within a video
    must start at a multiple of `period` to answer as from its beginning.
    """

    predicts = "last_frame"
    compiled_parts = tuple(f"model.{part}" for part in YOWO.parts)

    def __init__(self, model: YOWO, every: int) -> None:
        super().__init__()
        if every < 1:
            raise UserError(f"3D branch every k frames: expected k of at least 1, found {every}")
        self.model, self.period = model, every
        self.clip_length, self.clip_step = model.clip_length, model.clip_step
        self.context_frames = model.context_frames + every - 1

    def forward(
        self,
        frames: Tensor,
        state: State | None = None,
        starts_stream: Tensor | None = None,
        valid: Tensor | None = None,
    ) -> tuple[list[Tensor], State | None]:
        """Clips (B, T, 3, H, W) of consecutive key frames to one map (B, A, 5 + C, h, w), state.

        valid: (B, T); clips whose key frame is not valid (padding, at the end of the batch) do not
        count in the cycle. starts_stream is ignored: each clip is complete in itself.
        """
        clip = self.model.normalise_clip(frames)
        place, held = state or (0, None)
        fresh = range(-place % self.period, len(clip), self.period)
        known = [] if place == 0 else [held[None]]
        if fresh:
            known.append(self.model.backbone_3d(clip[list(fresh)]))
        known = torch.cat(known)  # (1 + len(fresh) or len(fresh), C, h, w)
        source = [(place + lane) // self.period for lane in range(len(clip))]
        temporal = known[source]  # (B, C, h, w)
        level = self.model.forward_fusion(self.model.backbone_2d(clip[:, :, -1]), temporal)
        count = len(clip) if valid is None else int(valid[:, -1].sum())
        if count:
            state = ((place + count) % self.period, temporal[count - 1])
        return [level], state

    def decode(self, maps: Sequence[Tensor]) -> Predictions:
        """The map to boxes in network pixels with final scores, not yet suppressed."""
        return self.model.decode(maps)
