"""YOLOv3 (Redmon and Farhadi, arXiv 1804.02767): Darknet-53 and predictions across scales.

At width 1, 80 classes and three anchors a scale it has 61,949,149 parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, cat, nn
from torch.nn.functional import interpolate

from stadet.anchors.anchors import Anchors
from stadet.detect.yolo.darknet53 import STYLES, BodyStyle, ConvBlock, Darknet53
from stadet.detect.yolo.head import OutputConv, YoloDetector
from stadet.engine.errors import UserError

STRIDES = (4, 8, 16, 32)  # that a level may have; the published network has the last three


class Scale(nn.Module):
    """One detection scale, in the order of Darknet's configuration.

    `lateral` brings the coarser scale's neck feature (None at the coarsest); `neck` is five
    convolutions that reduce and expand in turn, ending reduced; `head` expands once more and
    `output` is linear. wide: channels where it is expanded.
    """

    def __init__(
        self,
        in_channels: int,
        wide: int,
        coarser_channels: int | None,
        num_outputs: tuple[int, int],
        style: BodyStyle,
        reducing_kernels: tuple[int, int, int],
    ) -> None:
        super().__init__()
        narrow = wide // 2
        first, second, third = reducing_kernels
        self.lateral = None
        if coarser_channels is not None:
            self.lateral = ConvBlock(coarser_channels, narrow, 1, style=style)
            in_channels += narrow
        self.neck = nn.Sequential(
            ConvBlock(in_channels, narrow, first, style=style),
            ConvBlock(narrow, wide, 3, style=style),
            ConvBlock(wide, narrow, second, style=style),
            ConvBlock(narrow, wide, 3, style=style),
            ConvBlock(wide, narrow, third, style=style),
        )
        self.head = ConvBlock(narrow, wide, 3, style=style)
        self.output = OutputConv(wide, *num_outputs)

    def forward_neck(self, x: Tensor, coarser: Tensor | None) -> Tensor:
        """Backbone feature (N, C, h, w) and the coarser neck feature (N, C', h/2, w/2) or None."""
        if self.lateral is not None:
            x = cat([interpolate(self.lateral(coarser), scale_factor=2.0), x], dim=1)
        return self.neck(x)


class YOLOv3(YoloDetector):
    """YOLOv3 over any run of the strides 4, 8, 16, 32 (published: 8, 16, 32).

    anchors: sizes per level in network pixels; their strides choose the levels, so anchors with a
    stride-4 level make the network for small objects. width and depth scale channels and residual
    blocks. body: `"published"` (leaky ReLU, 1x1 + 3x3 residuals) or `"ultralytics"` (SiLU, 3x3 +
    3x3), whose weights come from ultralytics' yolov3.
    Raises UserError for strides that are no such run, or an unknown body.
    """

    def __init__(
        self,
        num_classes: int,
        anchors: Anchors,
        *,
        width: float = 1.0,
        depth: float = 1.0,
        body: str = "published",
    ) -> None:
        super().__init__(num_classes, anchors)
        if body not in STYLES:
            raise UserError(f"expected body {' or '.join(STYLES)}, found {body!r}")
        first = STRIDES.index(self.strides[0]) if self.strides[0] in STRIDES else 0
        if self.strides != STRIDES[first : first + len(self.strides)]:
            raise UserError(
                f"YOLOv3: expected anchors for a run of the strides {STRIDES}, found "
                f"{self.strides}; make them again with stad kmeans-anchors"
            )
        style = STYLES[body]
        self.backbone = Darknet53(width, depth, style, max_stride=self.strides[-1])
        self.backbone_channels = self.backbone.channels[-len(self.strides) :]
        self.neck_channels = tuple(channels // 2 for channels in self.backbone_channels)
        self.head_channels = self.backbone_channels
        self.scales = build_scales(
            self.backbone_channels,
            self.head_channels,
            [(len(sizes), num_classes) for sizes in anchors.levels],
            style,
        )

    def forward_backbone(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) to C3, C4, C5 (strides 8, 16, 32), one for each level, finest first."""
        return self.backbone(images)[-len(self.strides) :]


def build_scales(
    in_channels: Sequence[int],
    wide: Sequence[int],
    num_outputs: Sequence[tuple[int, int]],
    style: BodyStyle,
) -> nn.ModuleList:
    """The detection scales, coarsest first, of levels given finest first.

    in_channels: of the backbone's features; wide: of each scale where it is expanded; num_outputs:
    (anchors, classes) of each.
    """
    levels = list(zip(in_channels, wide, num_outputs, strict=True))[::-1]
    coarser = (None, *(channels // 2 for _, channels, _ in levels))
    return nn.ModuleList(
        Scale(taken, channels, before, outputs, style, kernels)
        for (taken, channels, outputs), before, kernels in zip(
            levels, coarser, style.reducing_kernels, strict=False
        )
    )
