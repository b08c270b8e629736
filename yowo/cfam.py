"""Channel fusion and attention (arXiv 1911.06644, section 3.1.3 and figure 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ChannelAttention(nn.Module):
    """Gram-matrix attention over channels, scaled by one learnt number that starts at 0.

    E = F F^T over positions; A = softmax(rowmax(E) - E): channels that differ attend to each other
    (the published code's sign, which its weights need); out = gamma * (A F) + F.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(2)  # (B, C, H*W)
        energy = flat @ flat.transpose(1, 2)  # (B, C, C)
        attention = (energy.amax(dim=-1, keepdim=True) - energy).softmax(dim=-1)
        return self.gamma * (attention @ flat).view_as(x) + x


def conv_bn_relu(in_channels: int, out_channels: int, kernel: int) -> nn.Sequential:
    """A convolution that keeps the size, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


class CFAM(nn.Module):
    """(B, in_channels, h, w) of both branches, stacked, to (B, channels, h, w)."""

    def __init__(self, in_channels: int, channels: int = 1024) -> None:
        super().__init__()
        self.conv_bn_relu1 = conv_bn_relu(in_channels, channels, 1)
        self.conv_bn_relu2 = conv_bn_relu(channels, channels, 3)
        self.sc = ChannelAttention()
        self.conv_bn_relu3 = conv_bn_relu(channels, channels, 3)
        self.conv_out = nn.Sequential(nn.Dropout2d(0.1), nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_bn_relu2(self.conv_bn_relu1(x))
        return self.conv_out(self.conv_bn_relu3(self.sc(x)))
