"""Darknet-53, the backbone of YOLOv3 (Redmon and Farhadi, "YOLOv3: An Incremental Improvement",
arXiv 1804.02767, table 1), without its classifier."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

STAGE_CHANNELS = (64, 128, 256, 512, 1024)  # stages of stride 2, 4, 8, 16, 32
STAGE_BLOCKS = (1, 2, 8, 8, 4)
STAGE_STRIDES = (2, 4, 8, 16, 32)


@dataclass(frozen=True)
class BodyStyle:
    """Differences between the published YOLOv3 body and ultralytics' `yolov3.yaml`.

    Attributes:
        activation: `"leaky"` (slope 0.1) or `"silu"`.
        eps: of the batch norms.
        residual_kernel: side of the kernel that halves the channels in a residual block.
        reducing_kernels: sides of the three kernels that do so in the neck, one triple a level,
            coarsest first.
    """

    activation: str
    eps: float
    residual_kernel: int
    reducing_kernels: tuple[tuple[int, int, int], ...]


PUBLISHED = BodyStyle("leaky", 1e-5, 1, ((1, 1, 1),) * 4)
ULTRALYTICS = BodyStyle("silu", 1e-3, 3, ((3, 1, 1), (3, 3, 1), (3, 3, 3), (3, 3, 3)))
STYLES = {"published": PUBLISHED, "ultralytics": ULTRALYTICS}


def scaled_channels(channels: int, width: float) -> int:
    """`channels` times `width`, rounded to a multiple of 8 (at least 8)."""
    return max(8, round(channels * width / 8) * 8)


class ConvBlock(nn.Module):
    """Convolution without bias, batch norm, activation: (N, in, H, W) to (N, out, H/s, W/s)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        style: BodyStyle = PUBLISHED,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False
        )
        self.norm = nn.BatchNorm2d(out_channels, eps=style.eps)
        self.activation = (
            nn.SiLU(inplace=True) if style.activation == "silu" else nn.LeakyReLU(0.1, inplace=True)
        )
        nn.init.kaiming_normal_(self.conv.weight, a=0.1, nonlinearity="leaky_relu")

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.norm(self.conv(x)))


class Residual(nn.Module):
    """x + conv3x3(reduce(x)): the block of Darknet-53."""

    def __init__(self, channels: int, style: BodyStyle = PUBLISHED) -> None:
        super().__init__()
        self.reduce = ConvBlock(channels, channels // 2, style.residual_kernel, style=style)
        self.expand = ConvBlock(channels // 2, channels, 3, style=style)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.expand(self.reduce(x))


class Stage(nn.Module):
    """A 3x3 convolution of stride 2 and `blocks` residual blocks."""

    def __init__(self, in_channels: int, out_channels: int, blocks: int, style: BodyStyle) -> None:
        super().__init__()
        self.down = ConvBlock(in_channels, out_channels, 3, stride=2, style=style)
        self.blocks = nn.Sequential(*[Residual(out_channels, style) for _ in range(blocks)])

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.down(x))


class Darknet53(nn.Module):
    """The 52 convolutions of Darknet-53 before its classifier.

    width scales the channels (rounded to multiples of 8), depth the number of residual blocks of
    each stage (at least 1); max_stride ends the network early at that stride. `modules()` yields
    the convolutions in the order of Darknet's configuration, which `darknet_weights` needs.
    """

    def __init__(
        self,
        width: float = 1.0,
        depth: float = 1.0,
        style: BodyStyle = PUBLISHED,
        max_stride: int = 32,
    ) -> None:
        super().__init__()
        self.strides = tuple(stride for stride in STAGE_STRIDES if stride <= max_stride)
        self.channels = tuple(
            scaled_channels(channels, width) for channels in STAGE_CHANNELS[: len(self.strides)]
        )
        stem = scaled_channels(32, width)
        self.stem = ConvBlock(3, stem, 3, style=style)
        self.stages = nn.ModuleList(
            Stage(before, after, max(1, round(blocks * depth)), style)
            for before, after, blocks in zip(
                (stem, *self.channels), self.channels, STAGE_BLOCKS, strict=False
            )
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) in [0, 1] to the output of each stage, finest first (stride 2, 4, ...)."""
        features = []
        x = self.stem(images)  # (N, 32, H, W)
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


def count_parameters(module: nn.Module) -> int:
    """Number of trainable values."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
