"""The torch side of a batch: where data and models meet."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stadet.detect.view import View

PADDING = -1  # frame index of a clip's padding


@dataclass(frozen=True)
class ClipRequest:
    """Request of a sampler to a clip data set: frames, order, seed of the augmentation.

    Attributes:
        video: its name in the annotation set.
        frames: source frame indices in the order the network sees them (descending where time runs
            backwards), `PADDING` where there is none.
        starts_stream: a recurrent state must be reset before it.
        augment_seed: the one draw of augmentation of this clip (windows that share a seed share the
            draw), None = no augmentation.
        reverse_time: the frames run backwards, so labels that have a reverse swap.
    """

    video: str
    frames: tuple[int, ...]
    starts_stream: bool = True
    augment_seed: int | None = None
    reverse_time: bool = False

    def __post_init__(self) -> None:
        if not self.frames or min(self.frames) < PADDING:
            raise ValueError(
                f"ClipRequest of {self.video}: expected frame indices from 0 (or {PADDING} for "
                f"padding), found {self.frames}"
            )


@dataclass
class Targets:
    """Truth of a batch of N images in network pixels, flat over boxes.

    Attributes:
        boxes: (M, 4) xyxy float32 network pixels.
        labels: (M, C) float32 multi-hot.
        item: (M,) int64, the image of each box in 0..N-1.
        looked_at: (N,) bool: images outside take no part in the loss.
        ignored: (M,) bool, by default none: boxes that are neither an object nor background.
    """

    boxes: Tensor
    labels: Tensor
    item: Tensor
    looked_at: Tensor
    ignored: Tensor = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        count = len(self.boxes)
        if self.ignored is None:
            self.ignored = torch.zeros(count, dtype=torch.bool, device=self.boxes.device)
        if self.boxes.shape != (count, 4) or len(self.labels) != count or len(self.item) != count:
            raise ValueError(
                f"Targets: expected boxes (M, 4), labels (M, C), item (M,); found "
                f"{tuple(self.boxes.shape)}, {tuple(self.labels.shape)}, {tuple(self.item.shape)}"
            )

    def to(self, device: torch.device | str) -> Targets:
        columns = (self.boxes, self.labels, self.item, self.looked_at, self.ignored)
        return Targets(*(column.to(device, non_blocking=True) for column in columns))


@dataclass
class Clip:
    """A run of frames of one video as the network will see it.

    Attributes:
        frames: (T, C, H, W) uint8 RGB.
        targets: truth of its T frames.
        valid: (T,) bool, False on padding.
        starts_stream: a recurrent state must be reset before it.
        view: constant along the clip.
        video: name of its video.
        frame_indices: (T,) int64 frames of the video, `PADDING` where there is none.
    """

    frames: Tensor
    targets: Targets
    valid: Tensor
    starts_stream: bool
    view: View
    video: str
    frame_indices: Tensor


@dataclass
class ClipBatch:
    """B clips of T frames. Image i of `targets` is frame (i // T, i % T).

    frames (B, T, C, H, W) uint8 RGB; starts_stream (B,) bool, or (B, T) where a stream may begin
    inside a window; valid (B, T) bool, False on padding (padding is never looked at); views,
    videos: one a clip; frame_indices (B, T) int64.
    A single-frame model takes T = 1; key-frame models (YOWO) predict the last frame of each clip
    and read the targets of that frame.
    """

    frames: Tensor
    targets: Targets
    starts_stream: Tensor
    valid: Tensor
    views: list[View]
    videos: list[str]
    frame_indices: Tensor

    def __post_init__(self) -> None:
        if self.frames.ndim != 5 or self.valid.shape != self.frames.shape[:2]:
            raise ValueError(
                f"ClipBatch: expected frames (B, T, C, H, W) and valid (B, T); found "
                f"{tuple(self.frames.shape)} and {tuple(self.valid.shape)}"
            )

    def to(self, device: torch.device | str) -> ClipBatch:
        return replace(
            self,
            frames=self.frames.to(device, non_blocking=True),
            targets=self.targets.to(device),
            starts_stream=self.starts_stream.to(device, non_blocking=True),
            valid=self.valid.to(device, non_blocking=True),
        )

    def pin_memory(self) -> ClipBatch:
        return replace(self, frames=self.frames.pin_memory())


@dataclass
class Predictions:
    """Decoded, not yet suppressed boxes of N images, in network pixels.

    Attributes:
        boxes: (N, K, 4) xyxy.
        objectness: (N, K) in [0, 1].
        scores: (N, K, C) the final class scores (YOLO: objectness x class probability).
    """

    boxes: Tensor
    objectness: Tensor
    scores: Tensor


def normalise_frames(frames: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """uint8 frames of any layout to [0, 1]; floats pass through (already in [0, 1])."""
    return frames.to(dtype) / 255 if frames.dtype == torch.uint8 else frames.to(dtype)
