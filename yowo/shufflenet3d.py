"""3D ShuffleNets (Kopuklu et al., arXiv 1904.02422), with the keys of their public weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from stadet.yowo.backbone3d import Backbone3d, depthwise, light_stem, scale_channels

_STAGE_DEPTHS = (4, 8, 4)


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """(B, C, ...) with channels (group, place) reordered to (place, group)."""
    return x.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)


def _conv(in_channels: int, out_channels: int, groups: int = 1) -> nn.Conv3d:
    return nn.Conv3d(in_channels, out_channels, 1, groups=groups, bias=False)


class ShuffleUnit(nn.Module):
    """Grouped 1x1x1, shuffle, depthwise 3x3x3, grouped 1x1x1 (arXiv 1707.01083, figure 2).

    At stride 2 it makes the channels that pooling its input leaves missing and stacks both.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, groups: int) -> None:
        super().__init__()
        self.stride, self.groups = stride, groups
        inner = out_channels // 4
        made = out_channels - in_channels if stride == 2 else out_channels
        # the published code leaves the first convolution ungrouped at exactly 24 channels
        first_groups = 1 if in_channels == 24 else groups
        self.conv1, self.bn1 = _conv(in_channels, inner, first_groups), nn.BatchNorm3d(inner)
        self.conv2, self.bn2 = depthwise(inner, stride), nn.BatchNorm3d(inner)
        self.conv3, self.bn3 = _conv(inner, made, groups), nn.BatchNorm3d(made)
        self.pool = nn.AvgPool3d((2, 3, 3), stride=2, padding=(0, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        out = channel_shuffle(relu(self.bn1(self.conv1(x))), self.groups)
        out = self.bn3(self.conv3(self.bn2(self.conv2(out))))
        if self.stride == 2:
            return relu(torch.cat([out, self.pool(x)], dim=1))
        return relu(out + x)


class ShuffleNet3d(Backbone3d):
    """ShuffleNet of 3 groups in 3D at `multiplier` times the channels (YOWO's: 2).

    Its pooling shortcut halves time without padding: clips must be multiples of 16 frames.
    """

    length_multiple = 16
    last_block = "layer3"
    groups = 3

    def __init__(self, multiplier: float = 2.0) -> None:
        super().__init__()
        unit = 4 * self.groups  # widths divide by the groups, also within a unit
        channels = scale_channels(24, multiplier, multiple=unit)
        self.conv1 = light_stem(channels)
        self.maxpool = nn.MaxPool3d(3, stride=2, padding=1)
        for level, depth in enumerate(_STAGE_DEPTHS):
            out_channels = scale_channels(240 * 2**level, multiplier, multiple=unit)
            layer = nn.Sequential()
            for index in range(depth):
                layer.append(ShuffleUnit(channels, out_channels, 1 if index else 2, self.groups))
                channels = out_channels
            self.add_module(f"layer{level + 1}", layer)
        self.out_channels = channels

    def forward_features(self, x: Tensor) -> Tensor:
        return self.layer3(self.layer2(self.layer1(self.maxpool(self.conv1(x)))))


class ShuffleV2Unit(nn.Module):
    """Split, transform one half, stack, shuffle (arXiv 1807.11164, figure 3).

    `banch1` is how the public weights spell it.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        half = out_channels // 2
        taken = in_channels if stride == 2 else half
        if stride == 2:
            self.banch1 = nn.Sequential(
                depthwise(in_channels, stride),
                nn.BatchNorm3d(in_channels),
                _conv(in_channels, half),
                nn.BatchNorm3d(half),
                nn.ReLU(inplace=True),
            )
        self.banch2 = nn.Sequential(
            _conv(taken, half),
            nn.BatchNorm3d(half),
            nn.ReLU(inplace=True),
            depthwise(half, stride),
            nn.BatchNorm3d(half),
            _conv(half, half),
            nn.BatchNorm3d(half),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        kept, taken = (self.banch1(x), x) if self.stride == 2 else x.chunk(2, dim=1)
        return channel_shuffle(torch.cat([kept, self.banch2(taken)], dim=1), 2)


class ShuffleNetV2_3d(Backbone3d):
    """ShuffleNetV2 in 3D; width 1 is the published 2.0x."""

    last_block = "conv_last"

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        channels = scale_channels(24, width)
        self.conv1 = light_stem(channels)
        self.maxpool = nn.MaxPool3d(3, stride=2, padding=1)
        self.features = nn.Sequential()
        for base, depth in zip((224, 488, 976), _STAGE_DEPTHS, strict=True):
            out_channels = scale_channels(base, width, multiple=2)
            for index in range(depth):
                self.features.append(ShuffleV2Unit(channels, out_channels, 1 if index else 2))
                channels = out_channels
        self.out_channels = scale_channels(2048, width)
        self.conv_last = nn.Sequential(
            _conv(channels, self.out_channels),
            nn.BatchNorm3d(self.out_channels),
            nn.ReLU(inplace=True),
        )

    def forward_features(self, x: Tensor) -> Tensor:
        return self.conv_last(self.features(self.maxpool(self.conv1(x))))


def shufflenet_2x(width: float = 1.0) -> ShuffleNet3d:
    return ShuffleNet3d(2.0 * width)


def shufflenetv2_2x(width: float = 1.0) -> ShuffleNetV2_3d:
    return ShuffleNetV2_3d(width)
