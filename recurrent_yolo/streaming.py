"""Inference on endless footage: a state that is carried on, and reset where the scene changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from stadet.detect.batch import ClipBatch, Predictions
from stadet.detect.detector import Detector
from stadet.engine.errors import UserError
from stadet.recurrent_yolo.state import State, starts_by_frame


class SceneCuts:
    """Finds frames whose colours differ from the frame before: another scene.

    threshold: share of the pixels' colours that must change, in (0, 1]. Measured on histograms of
    `bins` levels a channel, so things that move within a scene change little; half the L1 distance,
    the largest of the three channels.
    """

    def __init__(self, threshold: float = 0.5, bins: int = 16) -> None:
        if not 0 < threshold <= 1:
            raise UserError(f"scene cut threshold: expected one in (0, 1], found {threshold}")
        self.threshold, self.bins = threshold, bins

    def __call__(self, frames: Tensor, last: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Frames (B, T, 3, H, W) uint8 and what the call before returned to cuts (B, T) bool, and
        what the next call needs. The first frame of all is no cut."""
        histograms = self._histograms(frames)  # (B, T, 3, bins)
        last = histograms[:, 0] if last is None else last
        previous = torch.cat([last[:, None], histograms[:, :-1]], dim=1)
        changed = (histograms - previous).abs().sum(-1).amax(-1) / 2
        return changed >= self.threshold, histograms[:, -1]

    def _histograms(self, frames: Tensor) -> Tensor:
        levels = (frames.flatten(3).long() * self.bins) >> 8  # (B, T, 3, H * W)
        counts = torch.zeros(*levels.shape[:3], self.bins, device=frames.device)
        ones = torch.ones((), device=frames.device).expand(levels.shape)
        return counts.scatter_add_(3, levels, ones) / levels.shape[-1]


def reset_at_cuts(batches: Iterable[ClipBatch], cuts: SceneCuts) -> Iterator[ClipBatch]:
    """The same batches with `starts_stream` (B, T) set at scene cuts too, for `detect.inference`.

    Batches follow each other lane by lane; a cut may fall on any frame of a window.
    """
    last = None
    for batch in batches:
        found, last = cuts(batch.frames, last)
        lanes, steps = batch.valid.shape
        starts = starts_by_frame(batch.starts_stream, lanes, steps, like=batch.valid)
        yield replace(batch, starts_stream=starts | (found & batch.valid))


class StreamingDetector:
    """A detector that is fed frames as they come, any number at a time, and remembers between.

    What it answers for a frame does not depend on how many came with it, and memory does not grow
    with the length of the stream. cuts: reset at scene cuts. For live use; files go through
    `stadet.detect.inference.detect`.
    """

    def __init__(self, model: Detector, cuts: SceneCuts | None = None) -> None:
        if model.predicts != "every_frame":
            raise UserError(
                "expected a detector that answers for every frame, found a key-frame one"
            )
        self.model, self.cuts = model.eval(), cuts
        self.reset()

    def reset(self) -> None:
        """The next frame begins another stream."""
        self._state: State = None
        self._last: Tensor | None = None

    @torch.inference_mode()
    def __call__(self, frames: Tensor) -> Predictions:
        """The next frames (B, T, 3, H, W), uint8, of B streams to predictions over B*T images."""
        starts = None
        if self.cuts is not None:
            starts, self._last = self.cuts(frames, self._last)
        maps, self._state = self.model(frames, self._state, starts)
        return self.model.decode(maps)
