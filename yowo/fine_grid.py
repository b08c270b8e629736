"""A finer grid for small boxes: YOWO's fused features taken back up to stride 16 or 8.

Not in the published YOWO, whose cells of 32 pixels hold a hand and the tool next to it at once. A
top-down path after feature pyramid networks (Lin et al., arXiv 1612.03144, section 3), in
YOLOv3's form (Redmon and Farhadi, arXiv 1804.02767, section 2.3: features are stacked, not added).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from stadet.yowo.cfam import conv_bn_relu


class FineGrid(nn.Module):
    """(B, channels, h, w) and finer features of the key frame to (B, out_channels, h * 2^n, ..).

    laterals: channels of the n finer features, coarsest first, each of twice the last's size. Every
    step halves the channels. Without laterals it is the identity and has no weights.
    """

    def __init__(self, channels: int, laterals: Sequence[int] = ()) -> None:
        super().__init__()
        self.reduce, self.merge = nn.ModuleList(), nn.ModuleList()
        for lateral in laterals:
            half = max(8, channels // 2)
            self.reduce.append(conv_bn_relu(channels, half, 1))
            self.merge.append(conv_bn_relu(half + lateral, half, 3))
            channels = half
        self.out_channels = channels

    def forward(self, x: Tensor, finer: Sequence[Tensor] = ()) -> Tensor:
        for reduce, merge, lateral in zip(self.reduce, self.merge, finer, strict=True):
            raised = interpolate(reduce(x), scale_factor=2.0, mode="nearest")
            x = merge(torch.cat([raised, lateral], dim=1))
        return x
