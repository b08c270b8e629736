"""3D ResNets and ResNeXts (Hara et al., arXiv 1711.09577), keyed as their public weights are."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import pad, relu

from stadet.yowo.backbone3d import Backbone3d, scale_channels


class ZeroPadShortcut(nn.Module):
    """Shortcut A: subsample, then append channels of zeros. It has no parameters."""

    def __init__(self, extra_channels: int, stride: int) -> None:
        super().__init__()
        self.extra_channels, self.stride = extra_channels, stride

    def forward(self, x: Tensor) -> Tensor:
        s = self.stride
        return pad(x[:, :, ::s, ::s, ::s], (0, 0) * 3 + (0, self.extra_channels))


def _shortcut(kind: str, in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
    if stride == 1 and in_channels == out_channels:
        return None
    if kind == "A":
        return ZeroPadShortcut(out_channels - in_channels, stride)
    return nn.Sequential(
        nn.Conv3d(in_channels, out_channels, 1, stride=stride, bias=False),
        nn.BatchNorm3d(out_channels),
    )


class BasicBlock(nn.Module):
    """Two 3x3x3 convolutions around a shortcut."""

    expansion = 1

    def __init__(
        self, in_channels: int, channels: int, stride: int, groups: int, shortcut: str
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(in_channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm3d(channels)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm3d(channels)
        self.downsample = _shortcut(shortcut, in_channels, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        residual = x if self.downsample is None else self.downsample(x)
        x = relu(self.bn1(self.conv1(x)))
        return relu(self.bn2(self.conv2(x)) + residual)


class Bottleneck(nn.Module):
    """1x1x1, 3x3x3 (grouped in ResNeXt), 1x1x1 around a shortcut."""

    expansion = 4

    def __init__(
        self, in_channels: int, channels: int, stride: int, groups: int, shortcut: str
    ) -> None:
        super().__init__()
        out_channels = channels * self.expansion
        self.conv1 = nn.Conv3d(in_channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(channels)
        self.conv2 = nn.Conv3d(
            channels, channels, 3, stride=stride, padding=1, groups=groups, bias=False
        )
        self.bn2 = nn.BatchNorm3d(channels)
        self.conv3 = nn.Conv3d(channels, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm3d(out_channels)
        self.downsample = _shortcut(shortcut, in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        residual = x if self.downsample is None else self.downsample(x)
        x = relu(self.bn1(self.conv1(x)))
        x = relu(self.bn2(self.conv2(x)))
        return relu(self.bn3(self.conv3(x)) + residual)


class ResNeXtBottleneck(Bottleneck):
    """A bottleneck whose middle is twice as wide and grouped (arXiv 1611.05431)."""

    expansion = 2


class ResNet3d(Backbone3d):
    """Stem 7x7x7 of stride (1, 2, 2), max-pool, four layers; time and space shrink by 16 and 32."""

    last_block = "layer4"

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        depths: tuple[int, int, int, int],
        *,
        base: int = 64,
        groups: int = 1,
        shortcut: str = "B",
        width: float = 1.0,
    ) -> None:
        super().__init__()
        channels = scale_channels(64, width)
        self.conv1 = nn.Conv3d(3, channels, 7, stride=(1, 2, 2), padding=3, bias=False)
        self.bn1 = nn.BatchNorm3d(channels)
        self.maxpool = nn.MaxPool3d(3, stride=2, padding=1)
        for level, depth in enumerate(depths):
            inner = scale_channels(base * 2**level, width, multiple=groups)
            layer = nn.Sequential()
            for index in range(depth):
                stride = 2 if level and not index else 1
                layer.append(block(channels, inner, stride, groups, shortcut))
                channels = inner * block.expansion
            self.add_module(f"layer{level + 1}", layer)
        self.out_channels = channels

    def forward_features(self, x: Tensor) -> Tensor:
        x = self.maxpool(relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


def resnet18(width: float = 1.0) -> ResNet3d:
    return ResNet3d(BasicBlock, (2, 2, 2, 2), shortcut="A", width=width)


def resnet50(width: float = 1.0) -> ResNet3d:
    return ResNet3d(Bottleneck, (3, 4, 6, 3), width=width)


def resnet101(width: float = 1.0) -> ResNet3d:
    return ResNet3d(Bottleneck, (3, 4, 23, 3), width=width)


def resnext101(width: float = 1.0) -> ResNet3d:
    return ResNet3d(ResNeXtBottleneck, (3, 4, 23, 3), base=128, groups=32, width=width)
