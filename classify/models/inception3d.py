"""The parts of the inflated Inception-v1 (I3D, arXiv 1705.07750): unit and module."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import conv3d, relu

from stadet.classify.layers.gating import FeatureGate
from stadet.classify.layers.same_padding import SameMaxPool3d, TimePadding, pad_same

BranchWidths = tuple[int, int, int, int, int, int]


class Unit3d(nn.Module):
    """Convolution with "same" padding, batch norm, ReLU: (B, in, T, H, W) to (B, out, T', H', W').

    time_padding: see `pad_same`; the trained networks have zeros.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        time_padding: TimePadding = "zeros",
    ) -> None:
        super().__init__()
        self.time_padding = time_padding
        self.conv = nn.Conv3d(in_channels, out_channels, kernel, stride, bias=False)
        self.bn = nn.BatchNorm3d(out_channels, eps=1e-3)

    def convolve(self, x: Tensor, time_dilation: int = 1) -> Tensor:
        """The convolution alone, its kernel spread over time by `time_dilation` (eq. 4.10)."""
        kernel, stride = self.conv.kernel_size, self.conv.stride
        x = pad_same(x, kernel, stride, time_dilation=time_dilation, time_padding=self.time_padding)
        return conv3d(x, self.conv.weight, stride=stride, dilation=(time_dilation, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.bn(self.convolve(x)))


MakeUnit = Callable[..., Unit3d]


class InceptionModule(nn.Module):
    """Four branches side by side: 1x1x1; 1x1x1 then 3x3x3, twice; max-pool then 1x1x1.

    widths: of b0, b1a, b1b, b2a, b2b, b3b. make_wide_unit: makes the two 3x3x3 units. gated: a
    `FeatureGate` after each of those (the hand-gesture thesis, section 4.2).
    """

    def __init__(
        self,
        in_channels: int,
        widths: BranchWidths,
        *,
        make_unit: MakeUnit,
        make_wide_unit: MakeUnit,
        gated: bool = False,
    ) -> None:
        super().__init__()
        w0, w1a, w1b, w2a, w2b, w3b = widths
        self.b0 = make_unit(in_channels, w0)
        self.b1a = make_unit(in_channels, w1a)
        self.b1b = make_wide_unit(w1a, w1b, 3)
        self.b2a = make_unit(in_channels, w2a)
        self.b2b = make_wide_unit(w2a, w2b, 3)
        self.b3a = SameMaxPool3d((3, 3, 3), (1, 1, 1))
        self.b3b = make_unit(in_channels, w3b)
        self.gate1 = FeatureGate(w1b) if gated else nn.Identity()
        self.gate2 = FeatureGate(w2b) if gated else nn.Identity()
        self.out_channels = w0 + w1b + w2b + w3b

    def forward(self, x: Tensor) -> Tensor:
        branches = (
            self.b0(x),
            self.gate1(self.b1b(self.b1a(x))),
            self.gate2(self.b2b(self.b2a(x))),
            self.b3b(self.b3a(x)),
        )
        return torch.cat(branches, dim=1)
