"""The torch side of clip classification: where labelled clips and classifiers meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

UNKNOWN = -1  # label of a video that shows none of the classes


@dataclass
class LabelledClip:
    """A clip and its class.

    Attributes:
        inputs: what a classifier takes, by name, without the batch axis: `frames` (T, 3, H, W)
            uint8 RGB, `keypoints` (T, K) float32, `flow`, `hog` (T, 3, H, W) uint8.
        label: index of the class, or `UNKNOWN`.
        valid: False on padding, which takes no part in the loss.
        head: of a model of several data sets, the one whose classes the label is of.
    """

    inputs: dict[str, Tensor]
    label: int
    video: str
    valid: bool = True
    head: int = 0


@dataclass
class ClassificationBatch:
    """B labelled clips of one head: inputs as in `LabelledClip` with the batch first; labels (B,)
    int64; valid (B,) bool; videos: one name a clip."""

    inputs: dict[str, Tensor]
    labels: Tensor
    valid: Tensor
    videos: list[str]
    head: int = 0

    @property
    def frames(self) -> Tensor | None:
        """(B, T, 3, H, W) uint8, where the model sees frames."""
        return self.inputs.get("frames")

    def to(self, device: torch.device | str) -> ClassificationBatch:
        inputs = {name: x.to(device, non_blocking=True) for name, x in self.inputs.items()}
        labels, valid = (x.to(device, non_blocking=True) for x in (self.labels, self.valid))
        return replace(self, inputs=inputs, labels=labels, valid=valid)

    def pin_memory(self) -> ClassificationBatch:
        return replace(self, inputs={name: x.pin_memory() for name, x in self.inputs.items()})


def collate_labelled(clips: Sequence[LabelledClip]) -> ClassificationBatch:
    """B clips of one shape and one head to a batch."""
    heads = {clip.head for clip in clips}
    if len(heads) != 1:
        raise ValueError(f"expected clips of one head, found {sorted(heads)}")
    return ClassificationBatch(
        inputs={name: torch.stack([c.inputs[name] for c in clips]) for name in clips[0].inputs},
        labels=torch.tensor([clip.label for clip in clips], dtype=torch.int64),
        valid=torch.tensor([clip.valid for clip in clips]),
        videos=[clip.video for clip in clips],
        head=heads.pop(),
    )
