"""Three streams, RGB, optical flow and HOG (Nagaraj et al., 2019; hand-washing report)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from stadet.classify.models.classifier import ClipClassifier, check_clips
from stadet.classify.models.image_backbone import ImageBackbone
from stadet.detect.normalisation import Normalise

STREAMS = ("rgb", "flow", "hog")


class ThreeStream(ClipClassifier):
    """An image network a stream, averaged over time; the streams' class probabilities averaged.

    The other two streams are images of the same size, made by `classify.streams`: frames, flow and
    hog (B, T, 3, H, W), uint8 or [0, 1]. Any T and size (report: 128 x 128). The logits are the
    logarithm of the averaged probabilities. backbone: as for `ImageBackbone`; the rival's
    was DenseNet with ImageNet weights.
    """

    inputs = ("frames", "flow", "hog")
    head_keys = ("heads.",)
    trunk_key = "backbones."

    def __init__(
        self,
        num_classes: int,
        *,
        backbone: str = "densenet121",
        trainable: bool = True,
        dropout: float = 0.5,
        clip_length: int = 16,
    ) -> None:
        super().__init__()
        self.clip_length = clip_length
        backbones = {name: ImageBackbone(backbone, trainable=trainable) for name in STREAMS}
        self.backbones = nn.ModuleDict(backbones)
        self.normalise = Normalise(backbones["rgb"].statistics)
        self.dropout = nn.Dropout(dropout)
        channels = backbones["rgb"].out_channels
        self.heads = nn.ModuleDict({name: nn.Linear(channels, num_classes) for name in STREAMS})

    @property
    def library_name(self) -> str:
        return self.backbones["rgb"].name

    @property
    def cam_layer(self) -> str:
        return f"backbones.rgb.{self.backbones['rgb'].cam_layer}"

    def forward_features(self, frames: Tensor, flow: Tensor, hog: Tensor) -> Tensor:
        """Three (B, T, 3, H, W) to (B, 3, C): each stream's mean over time."""
        for images in (frames, flow, hog):
            check_clips(images, model="ThreeStream")
        streams = zip(self.backbones.values(), (frames, flow, hog), strict=True)
        vectors = [backbone(self.normalise(images)).mean(dim=1) for backbone, images in streams]
        return torch.stack(vectors, dim=1)

    def forward_head(self, features: Tensor) -> Tensor:
        scores = torch.stack(self.stream_logits(features)).log_softmax(dim=-1)  # (3, B, classes)
        return scores.logsumexp(dim=0) - math.log(len(STREAMS))

    def stream_logits(self, features: Tensor) -> list[Tensor]:
        """Each stream's own logits (B, classes), for training or judging it alone."""
        features = self.dropout(features)
        return [head(features[:, i]) for i, head in enumerate(self.heads.values())]

    def public_keys(self, key: str) -> tuple[str, ...]:
        """One image network's tensor fills all three streams."""
        return tuple(f"backbones.{name}.network.{key}" for name in STREAMS)
