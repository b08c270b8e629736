"""I3D on a ResNet with non-local blocks (Wang et al., arXiv 1711.07971, table 1)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn.functional import max_pool3d, pad, relu

from stadet.classify.layers.nonlocal_block import NonLocalBlock3d
from stadet.classify.layers.same_padding import TimePadding
from stadet.classify.models.classifier import ClipClassifier, check_clips
from stadet.detect.normalisation import Normalise

Depth = Literal[50, 101, 152]
LAYERS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
EXPANSION = 4


class TimeConv3d(nn.Conv3d):
    """A convolution whose padding of time may repeat the first and last frame."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: tuple[int, int, int],
        stride: tuple[int, int, int],
        time_padding: TimePadding,
    ) -> None:
        time, height, width = (side // 2 for side in kernel)
        padding = (0 if time_padding == "replicate" else time, height, width)
        super().__init__(in_channels, out_channels, kernel, stride, padding, bias=False)
        self.repeated = time if time_padding == "replicate" else 0

    def forward(self, x: Tensor) -> Tensor:
        if self.repeated:
            x = pad(x, (0, 0, 0, 0, self.repeated, self.repeated), mode="replicate")
        return super().forward(x)


class InflatedBottleneck(nn.Module):
    """1x1 (or 3x1x1), 1x3x3, 1x1x1 around a shortcut, then perhaps a non-local block."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int,
        inflated: bool,
        non_local: bool,
        time_padding: TimePadding,
    ) -> None:
        super().__init__()
        outer = channels * EXPANSION
        kernel = (3, 1, 1) if inflated else (1, 1, 1)
        self.conv1 = TimeConv3d(in_channels, channels, kernel, (1, 1, 1), time_padding)
        self.bn1 = nn.BatchNorm3d(channels)
        self.conv2 = TimeConv3d(channels, channels, (1, 3, 3), (1, stride, stride), time_padding)
        self.bn2 = nn.BatchNorm3d(channels)
        self.conv3 = nn.Conv3d(channels, outer, 1, bias=False)
        self.bn3 = nn.BatchNorm3d(outer)
        self.downsample = None
        if stride != 1 or in_channels != outer:
            self.downsample = nn.Sequential(
                nn.Conv3d(in_channels, outer, 1, (1, stride, stride), bias=False),
                nn.BatchNorm3d(outer),
            )
        self.nl = None
        if non_local:
            self.nl = NonLocalBlock3d(outer, scale=True, subsample=True, batch_norm=True)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = relu(self.bn1(self.conv1(x)))
        x = relu(self.bn2(self.conv2(x)))
        x = relu(self.bn3(self.conv3(x)) + shortcut)
        return x if self.nl is None else self.nl(x)


class I3DResNet(ClipClassifier):
    """A ResNet inflated to I3D: 5x7x7 stem, 3x1x1 in every second bottleneck, time halved thrice.

    Clips of 32 frames at 224 x 224 in the paper, 16 in the report; at least 7 frames of 32 pixels.
    non_local: the paper's five blocks, two in layer2 and three in layer3, after every second
    bottleneck. pool_padding: of the stem's max-pool in space, 1 as in the image network; the public
    Kinetics files were made with 0. time_padding: as in `I3D`. width: factor on all channels.

    Weights: a torchvision ResNet's, inflated (2D weights repeated N times over time and divided by
    N), or `i3d_r50_kinetics.pth` / `i3d_r50_nl_kinetics.pth` (keys `layer2.1.nl.theta.weight`),
    whose names are ours but for the head's, `fc`.
    """

    cam_layer = "layer4"

    def __init__(
        self,
        num_classes: int,
        *,
        depth: Depth = 50,
        non_local: bool = False,
        pool_padding: int = 1,
        time_padding: TimePadding = "zeros",
        dropout: float = 0.5,
        width: float = 1.0,
        normalisation: str = "imagenet",
        clip_length: int = 16,
    ) -> None:
        super().__init__()
        self.clip_length, self.pool_padding = clip_length, pool_padding
        self.library_name = f"resnet{depth}"
        self.normalise = Normalise(normalisation)
        channels = max(2, round(64 * width))
        self.conv1 = TimeConv3d(3, channels, (5, 7, 7), (2, 2, 2), time_padding)
        self.bn1 = nn.BatchNorm3d(channels)
        base = channels
        for level, count in enumerate(LAYERS[depth]):
            layer = nn.Sequential()
            for index in range(count):
                # layer1 is inflated throughout, then every second block; layer4 begins without.
                inflated = level == 0 or index % 2 == (1 if level == 3 else 0)
                blocked = non_local and level in (1, 2) and index % 2 == 1
                stride = 2 if level and not index else 1
                inner = base * 2**level
                layer.append(
                    InflatedBottleneck(channels, inner, stride, inflated, blocked, time_padding)
                )
                channels = inner * EXPANSION
            self.add_module(f"layer{level + 1}", layer)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels, num_classes)

    def forward_features(self, frames: Tensor) -> Tensor:
        """(B, T, 3, H, W) to (B, 2048, T/8, H/32, W/32)."""
        check_clips(frames, model="I3DResNet", shortest=7, smallest=32)
        x = self.normalise(frames).transpose(1, 2)  # (B, 3, T, H, W)
        x = relu(self.bn1(self.conv1(x)))
        side = self.pool_padding
        x = max_pool3d(x, (2, 3, 3), (2, 2, 2), (0, side, side))
        x = max_pool3d(self.layer1(x), (2, 1, 1))
        return self.layer4(self.layer3(self.layer2(x)))

    def forward_head(self, features: Tensor) -> Tensor:
        return self.head(self.dropout(features.mean(dim=(2, 3, 4))))

    def public_keys(self, key: str) -> tuple[str, ...]:
        return (f"head.{key[3:]}" if key.startswith("fc.") else key,)
