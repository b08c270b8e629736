"""YOLOv3's neck and heads on the features of a public image network."""

from __future__ import annotations

from torch import Tensor, nn

from stadet.anchors.anchors import Anchors
from stadet.detect.backbones.features import FeatureBackbone
from stadet.detect.yolo.darknet53 import STAGE_CHANNELS, STAGE_STRIDES, STYLES, scaled_channels
from stadet.detect.yolo.head import YoloDetector
from stadet.detect.yolo.yolov3 import STRIDES, build_scales
from stadet.engine.errors import UserError


class BackboneYOLO(YoloDetector):
    """YOLOv3 (arXiv 1804.02767) with another backbone than Darknet-53.

    anchors: sizes per level in network pixels; their strides, a run of 4, 8, 16, 32, choose the
    levels. backbone: as `FeatureBackbone` takes it. width: factor on the channels of neck and heads
    (256, 512, 1024 at the strides 8, 16, 32); the backbone keeps its own. body: the neck's style,
    as of `YOLOv3`. UserError for strides that are no such run or that the backbone lacks.
    """

    backbone: FeatureBackbone

    def __init__(
        self,
        num_classes: int,
        anchors: Anchors,
        *,
        backbone: str,
        width: float = 1.0,
        body: str = "published",
    ) -> None:
        super().__init__(num_classes, anchors)
        first = STRIDES.index(self.strides[0]) if self.strides[0] in STRIDES else 0
        if self.strides != STRIDES[first : first + len(self.strides)]:
            raise UserError(
                f"YOLO: expected anchors for a run of the strides {STRIDES}, found "
                f"{self.strides}; make them again with stad kmeans-anchors"
            )
        self.backbone = FeatureBackbone(backbone, self.strides)
        self.backbone_channels = self.backbone.channels
        published = dict(zip(STAGE_STRIDES, STAGE_CHANNELS, strict=True))
        self.head_channels = tuple(scaled_channels(published[s], width) for s in self.strides)
        self.neck_channels = tuple(channels // 2 for channels in self.head_channels)
        self.scales: nn.ModuleList = build_scales(
            self.backbone_channels,
            self.head_channels,
            [(len(sizes), num_classes) for sizes in anchors.levels],
            STYLES[body],
        )

    def forward_backbone(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) in [0, 1] to the backbone's features, one a level, finest first."""
        return self.backbone(images)
