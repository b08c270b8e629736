"""YOLOv3-tiny, as in the configuration published with YOLOv3 (arXiv 1804.02767): seven
convolutions, max-pooling, two scales (strides 16 and 32)."""

from __future__ import annotations

from torch import Tensor, cat, nn
from torch.nn.functional import interpolate, max_pool2d, pad

from stadet.anchors.anchors import Anchors
from stadet.detect.yolo.darknet53 import ConvBlock, scaled_channels
from stadet.detect.yolo.head import OutputConv, YoloDetector
from stadet.engine.errors import UserError

CHANNELS = (16, 32, 64, 128, 256, 512, 1024)
STRIDES = (16, 32)


class TinyScale(nn.Module):
    """A 1x1 convolution on the backbone's feature (coarsest scale) or, finer, on the coarser
    scale's; then a 3x3 `head` and a linear `output`."""

    def __init__(
        self,
        reducing: tuple[int, int],
        is_coarsest: bool,
        head: tuple[int, int],
        num_outputs: tuple[int, int],
    ) -> None:
        super().__init__()
        self.is_coarsest = is_coarsest
        self.reduce = ConvBlock(*reducing, 1)
        self.head = ConvBlock(*head, 3)
        self.output = OutputConv(head[1], *num_outputs)

    def forward_neck(self, x: Tensor, coarser: Tensor | None) -> Tensor:
        """Backbone feature (N, C, h, w) and the coarser neck feature (N, C', h/2, w/2) or None."""
        if self.is_coarsest:
            return self.reduce(x)
        return cat([interpolate(self.reduce(coarser), scale_factor=2.0), x], dim=1)


class YOLOv3Tiny(YoloDetector):
    """YOLOv3-tiny: 8,852,366 parameters at width 1, 80 classes and three anchors a scale.

    anchors: for strides 16 and 32, in network pixels (UserError otherwise); width scales channels.
    """

    def __init__(self, num_classes: int, anchors: Anchors, *, width: float = 1.0) -> None:
        super().__init__(num_classes, anchors)
        if self.strides != STRIDES:
            raise UserError(
                f"YOLOv3-tiny: expected anchors for the strides {STRIDES}, found {self.strides}; "
                "make them again with stad kmeans-anchors"
            )
        channels = [scaled_channels(c, width) for c in CHANNELS]
        self.backbone = nn.ModuleList(
            ConvBlock(before, after, 3)
            for before, after in zip((3, *channels), channels, strict=False)
        )
        lateral, fine, coarse, head = channels[3], channels[4], channels[4], channels[5]
        self.backbone_channels = (fine, channels[6])
        self.neck_channels = (lateral + fine, coarse)
        self.head_channels = (fine, head)
        fine_anchors, coarse_anchors = (len(sizes) for sizes in anchors.levels)
        self.scales = nn.ModuleList(
            [
                TinyScale(
                    (channels[6], coarse), True, (coarse, head), (coarse_anchors, num_classes)
                ),
                TinyScale(
                    (coarse, lateral), False, (lateral + fine, fine), (fine_anchors, num_classes)
                ),
            ]
        )

    def forward_backbone(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) to the features of strides 16 and 32."""
        x = self.backbone[0](images)
        for block in self.backbone[1:5]:
            x = block(max_pool2d(x, 2))
        fine = x  # stride 16
        x = self.backbone[5](max_pool2d(x, 2))
        x = max_pool2d(pad(x, (0, 1, 0, 1), mode="replicate"), 2, stride=1)  # keeps the size
        return [fine, self.backbone[6](x)]
