"""YOWO with a long-term feature bank (arXiv 1911.06644, section 4.2; Wu et al., arXiv 1812.05038).

The 3D branch's features of short clips that follow each other, from well before the key frame to
well after it, are averaged and take the place of those of the key frame's own clip.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from stadet.detect.batch import ClipBatch, Predictions
from stadet.detect.detector import Detector
from stadet.engine.errors import UserError
from stadet.yowo.model import YOWO


class FeatureBank(Detector):
    """A trained YOWO for whole videos, with its 3D features averaged over `clips` short clips.

    The video is cut into clips of `clip_length` frames, without overlap, from its first frame (the
    last clip repeats its last frame). A frame is answered for with its own clip, `clips // 2`
    before it and the rest after it; at the ends of the video there are fewer. Each clip's features
    are computed once and `clips` of them are held, so memory does not grow with the video, and an
    answer comes `clips - 1 - clips // 2` clips late. Whoever starts within a video must start
    at a multiple of `period`, `context_frames` early, to answer as from its beginning.
    UserError where the 3D branch cannot take such clips.
    """

    needs_later_frames = True
    compiled_parts = tuple(f"model.{part}" for part in YOWO.parts)

    def __init__(self, model: YOWO, clips: int = 8, clip_length: int = 8) -> None:
        super().__init__()
        if clips < 1:
            raise UserError(f"feature bank: expected at least 1 clip, found {clips}")
        if model.clip_step != 1:
            raise UserError(
                "feature bank: expected a model of clips of consecutive frames (yowo.clip_step=1), "
                f"found yowo.clip_step={model.clip_step}"
            )
        model.backbone_3d.check_length(clip_length)
        self.model, self.clips = model, clips
        self.clip_length = self.period = clip_length
        self.context_frames = (clips // 2) * clip_length + clip_length - 1

    def answers(self, batches: Iterable[ClipBatch]) -> Iterator[tuple[ClipBatch, list[Tensor]]]:
        """Windows of `clip_length` frames of one stream (B = 1, the last may be shorter), in order,
        to the same windows and their maps (T, A, 5 + C, h, w)."""
        before = self.clips // 2
        bank: deque[Tensor] = deque(maxlen=self.clips)  # (C, h, w) of the newest clips
        waiting: deque[tuple[ClipBatch, Tensor]] = deque()
        for batch in batches:
            clip = self._whole_clip(batch)  # (1, 3, clip_length, H, W)
            bank.append(self.model.backbone_3d(clip)[0])
            waiting.append((batch, clip))
            if before + len(waiting) == self.clips:
                yield self._answer(waiting, bank)
        while waiting:
            yield self._answer(waiting, bank)

    def decode(self, maps: Sequence[Tensor]) -> Predictions:
        """The map to boxes in network pixels with final scores, not yet suppressed."""
        return self.model.decode(maps)

    def _answer(
        self, waiting: deque[tuple[ClipBatch, Tensor]], bank: deque[Tensor]
    ) -> tuple[ClipBatch, list[Tensor]]:
        """Answer for the clip that waits longest; what is older than its window is left out."""
        window = list(bank)[-(self.clips // 2 + len(waiting)) :]
        batch, clip = waiting.popleft()
        images = clip[0].transpose(0, 1)  # (clip_length, 3, H, W)
        temporal = torch.stack(window).mean(0).expand(len(images), -1, -1, -1)
        level = self.model.forward_fusion(self.model.backbone_2d(images), temporal)
        return batch, [level[: batch.frames.shape[1]]]

    def _whole_clip(self, batch: ClipBatch) -> Tensor:
        lanes, steps = batch.frames.shape[:2]
        if lanes != 1 or steps > self.clip_length:
            raise UserError(
                f"feature bank: expected windows of {self.clip_length} frames of one stream, found "
                f"{lanes} of {steps} frames"
            )
        frames = batch.frames
        if steps < self.clip_length:
            last = frames[:, -1:].expand(-1, self.clip_length - steps, -1, -1, -1)
            frames = torch.cat([frames, last], dim=1)
        return self.model.normalise_clip(frames)
