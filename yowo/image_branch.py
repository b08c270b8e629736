"""YOWO's 2D branch on an image network of torchvision or timm, in place of Darknet-19."""

from __future__ import annotations

from torch import Tensor, nn

from stadet.detect.backbones.features import FeatureBackbone
from stadet.yowo.darknet19 import COCO_OUTPUTS, Darknet19


class ImageBranch(nn.Module):
    """(B, 3, H, W) in [0, 1] to (B, out_channels, H/32, W/32), as `Darknet19` does.

    A linear 1x1 convolution takes the network's coarsest features to Darknet-19's number of
    channels, so that CFAM is the same after either. name, and the errors: as for
    `FeatureBackbone`, which also normalises the images. finest: 32, or 16 or 8 for features of
    these strides too, down to `finest`; `finer_channels` are theirs.
    """

    stride = Darknet19.stride

    def __init__(
        self, name: str, out_channels: int = COCO_OUTPUTS, finest: int = Darknet19.stride
    ) -> None:
        super().__init__()
        strides = [s for s in (8, 16, 32) if s >= finest]
        self.backbone = FeatureBackbone(name, strides)
        *finer, coarse = self.backbone.channels
        self.last = nn.Conv2d(coarse, out_channels, 1)
        self.out_channels, self.finer_channels = out_channels, finer[::-1]

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """The features of stride 32, then those of 16 and of 8 where they are wanted."""
        *finer, coarse = self.backbone(images)
        return self.last(coarse), *finer[::-1]
