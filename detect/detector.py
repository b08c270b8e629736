"""The contract of every detector: what training, evaluation, prediction and export rely on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

from torch import Tensor, nn

from stadet.detect.batch import ClipBatch, Predictions
from stadet.engine.errors import UserError

Predicts = Literal["every_frame", "last_frame"]


class Detector(nn.Module):
    """Base class of all detectors. A subclass gives `forward` and `decode`; the attributes have
    defaults, those of a detector that looks at single frames.

    Attributes:
        predicts: frames of a clip that are answered for: `"every_frame"` (frame detectors,
            recurrent detectors) or `"last_frame"` (key-frame detectors). Default `"every_frame"`.
        clip_length: frames T of a clip that the detector wants. Default 1.
        clip_step: distance in frames of the video between two frames of a clip; only key-frame
            detectors have another than 1. Default 1.
        period: frames after which the detector's work repeats itself; whoever starts within a
            video must start at a multiple of it to answer as from the beginning. Default 1.
        context_frames: earlier frames of the video that an answer depends on; None = all of the
            stream. Default 0.
        needs_later_frames: whether `answers` waits for frames after the one it answers for, so that
            frames cannot be given one by one. Default False.
        compiled_parts: names of the submodules that `torch.compile` takes one by one, for
            detectors that decide in Python what to run; empty = the whole. Default ().
    """

    predicts: Predicts = "every_frame"
    clip_length: int = 1
    clip_step: int = 1
    period: int = 1
    context_frames: int | None = 0
    needs_later_frames: bool = False
    compiled_parts: Sequence[str] = ()

    @property
    def follows_streams(self) -> bool:
        """True if frames must come in order: it answers for every frame and uses earlier ones."""
        return self.predicts == "every_frame" and self.context_frames != 0

    def forward(
        self,
        frames: Tensor,
        state: Any = None,
        starts_stream: Tensor | None = None,
        valid: Tensor | None = None,
    ) -> tuple[list[Tensor], Any]:
        """Clips to level maps, and the state after them.

        Args:
            frames: (B, T, 3, H, W), RGB, uint8 or floats in [0, 1].
            state: what the call on the frames before returned; None begins all streams, and is
                what detectors without memory always return. Opaque to the caller.
            starts_stream: (B,) bool, lanes whose stream begins with this window, or (B, T) bool
                where one may begin at any frame; the state is reset there.
            valid: (B, T) bool; other frames are padding: they leave the state as it is and their
                maps mean nothing. None = all are valid.

        Returns:
            One map (N, A, 5 + C, h, w) per level, finest first, or whatever else `decode` takes,
            with N = B * T for `"every_frame"` (image i is frame (i // T, i % T)) and N = B for
            `"last_frame"`; and the state.

        Raises:
            UserError: a size that the strides do not divide, or a state of another model.
        """
        raise NotImplementedError(f"{type(self).__name__}.forward")

    def decode(self, maps: Sequence[Tensor]) -> Predictions:
        """Level maps of N images to boxes (N, K, 4) xyxy in network pixels with final scores, not
        yet suppressed."""
        raise NotImplementedError(f"{type(self).__name__}.decode")

    def answers(self, batches: Iterable[ClipBatch]) -> Iterator[tuple[ClipBatch, list[Tensor]]]:
        """Each batch with its maps, the state carried from batch to batch, lane by lane.

        A detector with `needs_later_frames` overrides it.
        """
        state = None
        for batch in batches:
            maps, state = self(batch.frames, state, batch.starts_stream, batch.valid)
            yield batch, maps

    def single_step(
        self, lanes: int, size: tuple[int, int]
    ) -> tuple[Detector, dict[str, Tensor] | None]:
        """The detector as it is exported: one answer a call, its state as plain tensors.

        lanes: streams at once; size: (height, width) of the network's input. Returns a detector
        whose state is a tuple of tensors, and their names with zeros (lanes, ...), which begin a
        stream; itself and None where there is no state.
        """
        return self, None


def check_divisible(size: Sequence[int], stride: int) -> None:
    """UserError unless (height, width) are positive multiples of the stride."""
    if any(side % stride or side < stride for side in size):
        near = tuple(max(stride, round(side / stride) * stride) for side in size)
        raise UserError(
            f"expected a network size (height, width) divisible by {stride}, found {tuple(size)}; "
            f"use {near}"
        )
