"""3D MobileNets (Kopuklu et al., arXiv 1904.02422), with the keys of their public weights."""

from __future__ import annotations

from torch import Tensor, nn

from stadet.yowo.backbone3d import Backbone3d, depthwise, light_stem, scale_channels

# (channels, blocks, stride of the first)
_V1_STAGES = ((64, 1, 2), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 1))
# (expansion, channels, blocks, stride of the first)
_V2_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class SeparableBlock(nn.Module):
    """Depthwise 3x3x3 and pointwise convolution, each with batch norm and ReLU; no shortcut."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = depthwise(in_channels, stride)
        self.bn1 = nn.BatchNorm3d(in_channels)
        self.conv2 = nn.Conv3d(in_channels, out_channels, 1, bias=False)
        self.bn2 = nn.BatchNorm3d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x)).relu()
        return self.bn2(self.conv2(x)).relu()


class MobileNet3d(Backbone3d):
    """MobileNet in 3D at `multiplier` times the channels (YOWO's: 2)."""

    last_block = "features.13"

    def __init__(self, multiplier: float = 2.0) -> None:
        super().__init__()
        channels = scale_channels(32, multiplier)
        self.features = nn.Sequential(light_stem(channels, nn.ReLU))
        for base, blocks, first_stride in _V1_STAGES:
            for index in range(blocks):
                out_channels = scale_channels(base, multiplier)
                stride = 1 if index else first_stride
                self.features.append(SeparableBlock(channels, out_channels, stride))
                channels = out_channels
        self.out_channels = channels

    def forward_features(self, x: Tensor) -> Tensor:
        return self.features(x)


class InvertedResidual(nn.Module):
    """Expand, depthwise, project (arXiv 1801.04381); a shortcut where shapes agree."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = in_channels * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers += [
                nn.Conv3d(in_channels, inner, 1, bias=False),
                nn.BatchNorm3d(inner),
                nn.ReLU6(inplace=True),
            ]
        layers += [
            depthwise(inner, stride),
            nn.BatchNorm3d(inner),
            nn.ReLU6(inplace=True),
            nn.Conv3d(inner, out_channels, 1, bias=False),
            nn.BatchNorm3d(out_channels),
        ]
        self.conv = nn.Sequential(*layers)
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNetV2_3d(Backbone3d):
    """MobileNetV2 in 3D at `multiplier` times the channels (YOWO's: 1)."""

    last_block = "features.18"

    def __init__(self, multiplier: float = 1.0) -> None:
        super().__init__()
        channels = scale_channels(32, multiplier)
        self.features = nn.Sequential(light_stem(channels, nn.ReLU6))
        for expansion, base, blocks, first_stride in _V2_STAGES:
            for index in range(blocks):
                out_channels = scale_channels(base, multiplier)
                stride = 1 if index else first_stride
                self.features.append(InvertedResidual(channels, out_channels, stride, expansion))
                channels = out_channels
        self.out_channels = scale_channels(1280, multiplier)
        self.features.append(
            nn.Sequential(
                nn.Conv3d(channels, self.out_channels, 1, bias=False),
                nn.BatchNorm3d(self.out_channels),
                nn.ReLU6(inplace=True),
            )
        )

    def forward_features(self, x: Tensor) -> Tensor:
        return self.features(x)


def mobilenet_2x(width: float = 1.0) -> MobileNet3d:
    return MobileNet3d(2.0 * width)


def mobilenetv2_1x(width: float = 1.0) -> MobileNetV2_3d:
    return MobileNetV2_3d(width)
