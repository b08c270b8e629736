"""C3D (Tran et al., arXiv 1412.0767), keyed as its public weights of Sports-1M are."""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool3d, relu

from stadet.classify.models.classifier import ClipClassifier, check_clips
from stadet.detect.normalisation import Normalise
from stadet.engine.errors import UserError

# The convolutions between two poolings, with their channels.
STAGES = (
    (("conv1", 64),),
    (("conv2", 128),),
    (("conv3a", 256), ("conv3b", 256)),
    (("conv4a", 512), ("conv4b", 512)),
    (("conv5a", 512), ("conv5b", 512)),
)
SEQUENTIAL = {  # of the second public file
    "features.0": "conv1",
    "features.3": "conv2",
    "features.6": "conv3a",
    "features.8": "conv3b",
    "features.11": "conv4a",
    "features.13": "conv4b",
    "features.16": "conv5a",
    "features.18": "conv5b",
    "classifier.0": "fc6",
    "classifier.3": "fc7",
    "classifier.6": "fc8",
}


class C3D(ClipClassifier):
    """Eight 3x3x3 convolutions, five max-pools, three fully connected layers.

    clip_length, size: (height, width); the fully connected layers belong to them. 16 x 112 x 112 in
    the paper, and the public weights' fc6 fits nothing else. width, hidden: channels' factor and
    width of fc6 and fc7, for CPUs. normalisation: `"sports1m"` with the public weights.
    """

    cam_layer = "conv5b"
    head_keys = ("fc8.",)

    def __init__(
        self,
        num_classes: int,
        *,
        clip_length: int = 16,
        size: tuple[int, int] = (112, 112),
        dropout: float = 0.5,
        width: float = 1.0,
        hidden: int = 4096,
        normalisation: str = "imagenet",
    ) -> None:
        super().__init__()
        self.clip_length, self.size = clip_length, tuple(size)
        self.normalise = Normalise(normalisation)
        channels = 3
        for stage in STAGES:
            for name, full in stage:
                out_channels = max(1, round(full * width))
                self.add_module(name, nn.Conv3d(channels, out_channels, 3, padding=1))
                channels = out_channels
        pooled = self._pool_all(torch.empty(1, channels, clip_length, *size, device="meta"))
        self.fc6 = nn.Linear(pooled.numel(), hidden)
        self.fc7 = nn.Linear(hidden, hidden)
        self.fc8 = nn.Linear(hidden, num_classes)
        self.dropout = nn.Dropout(dropout)

    def forward_features(self, frames: Tensor) -> Tensor:
        """(B, T, 3, H, W) to (B, 512, T/16, (H/16 + 2)/2, (W/16 + 2)/2), rounded down."""
        check_clips(frames, model="C3D")
        expected = (self.clip_length, *self.size)
        if (frames.shape[1], *frames.shape[-2:]) != expected:
            found = (frames.shape[1], *frames.shape[-2:])
            raise UserError(
                f"C3D: expected clips of frames x height x width {expected}, found {found}"
            )
        x = self.normalise(frames).transpose(1, 2)  # (B, 3, T, H, W)
        for index, stage in enumerate(STAGES):
            for name, _ in stage:
                x = relu(self.get_submodule(name)(x))
            x = _pool(x, index)
        return x

    def forward_head(self, features: Tensor) -> Tensor:
        x = self.dropout(relu(self.fc6(features.flatten(1))))
        return self.fc8(self.dropout(relu(self.fc7(x))))

    def public_keys(self, key: str) -> tuple[str, ...]:
        """From `c3d.pickle` (`conv3a.weight`, `fc6.bias`), which is our own layout, or
        `c3d-pretrained.pth` (`features.6.weight`, `classifier.0.bias`)."""
        found = re.fullmatch(r"((?:features|classifier)\.\d+)\.(weight|bias)", key)
        return (f"{SEQUENTIAL.get(found[1], found[1])}.{found[2]}" if found else key,)

    @staticmethod
    def _pool_all(x: Tensor) -> Tensor:
        for index in range(len(STAGES)):
            x = _pool(x, index)
        return x


def _pool(x: Tensor, index: int) -> Tensor:
    """The pool after a stage: the first keeps time, the last pads space."""
    window = (1, 2, 2) if index == 0 else (2, 2, 2)
    if any(side < w for side, w in zip(x.shape[2:], window, strict=True)):
        raise UserError("C3D: expected clips of at least 16 frames of 32 x 32 pixels; take larger")
    return max_pool3d(x, window, padding=(0, 1, 1) if index == len(STAGES) - 1 else 0)
