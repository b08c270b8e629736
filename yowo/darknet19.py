"""Darknet-19 with passthrough: YOLOv2's network for COCO (Redmon and Farhadi, arXiv 1612.08242).

YOWO keeps all of it as its 2D branch, the last linear convolution included. Modules are
numbered as the blocks of yolov2.cfg, so that the keys of public checkpoints fit:
`models.{block}.conv{k}.weight`, `models.{block}.bn{k}.*`, k counting convolutions from 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

COCO_OUTPUTS = 425  # 5 anchors x (5 + 80 classes)

# blocks before the passthrough: (filters, kernel) of a convolution, or a max-pool
_POOL = None
_BLOCKS = (
    (32, 3),
    _POOL,
    (64, 3),
    _POOL,
    (128, 3),
    (64, 1),
    (128, 3),
    _POOL,
    (256, 3),
    (128, 1),
    (256, 3),
    _POOL,
    (512, 3),
    (256, 1),
    (512, 3),
    (256, 1),
    (512, 3),
    _POOL,
    (1024, 3),
    (512, 1),
    (1024, 3),
    (512, 1),
    (1024, 3),
    (1024, 3),
    (1024, 3),
)
_PASSTHROUGH_SOURCE = 16  # block whose output goes round the last pooling
# stride: block whose output is the last of that stride
_FINER = {16: 16, 8: 10}


def reorganise(x: Tensor, stride: int = 2) -> Tensor:
    """(B, C, H, W) to (B, stride^2 * C, H/stride, W/stride), channel = (row, column, c).

    The order of the weights' origin (the sub-pixel position is the slow axis), which is not
    `pixel_unshuffle`'s (there the channel is the slow axis).
    """
    batch, channels, height, width = x.shape
    x = x.view(batch, channels, height // stride, stride, width // stride, stride)
    x = x.permute(0, 3, 5, 1, 2, 4)  # (B, row, column, C, H/s, W/s)
    return x.reshape(batch, -1, height // stride, width // stride)


def _conv_block(k: int, in_channels: int, out_channels: int, kernel: int) -> nn.Sequential:
    block = nn.Sequential()
    conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
    block.add_module(f"conv{k}", conv)
    block.add_module(f"bn{k}", nn.BatchNorm2d(out_channels, eps=1e-5))
    block.add_module(f"leaky{k}", nn.LeakyReLU(0.1, inplace=True))
    return block


class Darknet19(nn.Module):
    """(B, 3, H, W) in [0, 1] to (B, out_channels, H/32, W/32). H and W divisible by 32.

    width: factor on every channel count but the output's, for CPUs. finest: 32, or 16 or 8 for
    features of these strides too, down to `finest`; `finer_channels` are theirs.
    """

    stride = 32

    def __init__(
        self, width: float = 1.0, out_channels: int = COCO_OUTPUTS, finest: int = stride
    ) -> None:
        super().__init__()
        self.out_channels = out_channels
        self._sources = [block for stride, block in _FINER.items() if stride >= finest]
        scaled = lambda channels: max(8, round(channels * width))  # noqa: E731
        models: list[nn.Module] = []
        channels, k, source_channels = 3, 0, 0
        for index, block in enumerate(_BLOCKS):
            if block is _POOL:
                models.append(nn.MaxPool2d(2, 2))
                continue
            k += 1
            models.append(_conv_block(k, channels, scaled(block[0]), block[1]))
            channels = scaled(block[0])
            if index == _PASSTHROUGH_SOURCE:
                source_channels = channels
        passthrough = scaled(64)
        models += [
            nn.Identity(),  # 25: route to block 16
            _conv_block(21, source_channels, passthrough, 1),
            nn.Identity(),  # 27: reorganise
            nn.Identity(),  # 28: route to 27 and 24
            _conv_block(22, passthrough * 4 + channels, scaled(1024), 3),
        ]
        last = nn.Sequential()
        last.add_module("conv23", nn.Conv2d(scaled(1024), out_channels, 1))
        models.append(last)
        self.models = nn.ModuleList(models)
        self.finer_channels = [scaled(_BLOCKS[block][0]) for block in self._sources]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """The features of stride 32, then those of 16 and of 8 where they are wanted."""
        kept = {}
        for index in range(len(_BLOCKS)):
            x = self.models[index](x)
            if index == _PASSTHROUGH_SOURCE or index in self._sources:
                kept[index] = x
        fine = reorganise(self.models[26](kept[_PASSTHROUGH_SOURCE]))
        x = self.models[29](torch.cat([fine, x], dim=1))
        return self.models[30](x), *(kept[source] for source in self._sources)
