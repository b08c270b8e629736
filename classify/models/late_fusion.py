"""Late Fusion (Karpathy et al., CVPR 2014), the baseline of the action-recognition report."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn.functional import relu

from stadet.classify.models.classifier import ClipClassifier, check_clips
from stadet.classify.models.image_backbone import ImageBackbone
from stadet.detect.normalisation import Normalise
from stadet.engine.errors import UserError

Fusion = Literal["average", "concatenation"]


class LateFusion(ClipClassifier):
    """A shared image network, a linear embedding with ReLU a frame, then the frames are joined.

    fusion: `"average"` over the frames, as the report's public code does (blind to their order), or
    `"concatenation"`, as its text says (needs exactly `clip_length` frames). The report takes five
    uniform frames of 224 x 224 and a frozen ResNet-152 with ImageNet weights.
    """

    trunk_key = "backbone."

    def __init__(
        self,
        num_classes: int,
        *,
        fusion: Fusion,
        backbone: str = "resnet152",
        trainable: bool = False,
        embedding: int = 512,
        clip_length: int = 5,
    ) -> None:
        super().__init__()
        self.fusion, self.clip_length = fusion, clip_length
        self.backbone = ImageBackbone(backbone, trainable=trainable)
        self.normalise = Normalise(self.backbone.statistics)
        self.embed = nn.Linear(self.backbone.out_channels, embedding)
        joined = embedding * (clip_length if fusion == "concatenation" else 1)
        self.head = nn.Linear(joined, num_classes)

    @property
    def library_name(self) -> str:
        return self.backbone.name

    @property
    def cam_layer(self) -> str:
        return f"backbone.{self.backbone.cam_layer}"

    def forward_features(self, frames: Tensor) -> Tensor:
        """(B, T, 3, H, W) to (B, T, embedding)."""
        check_clips(frames, model="LateFusion")
        if self.fusion == "concatenation" and frames.shape[1] != self.clip_length:
            raise UserError(
                f"late fusion by concatenation: expected clips of {self.clip_length} frames, found "
                f"{frames.shape[1]}; sample as many, or fuse by averaging"
            )
        return relu(self.embed(self.backbone(self.normalise(frames))))

    def forward_head(self, features: Tensor) -> Tensor:
        joined = features.mean(dim=1) if self.fusion == "average" else features.flatten(1)
        return self.head(joined)

    def public_keys(self, key: str) -> tuple[str, ...]:
        return (f"backbone.network.{key}",)  # torchvision's and timm's
