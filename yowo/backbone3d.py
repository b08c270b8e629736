"""Base class of 3D branches: clips in, one feature map per clip out."""

from __future__ import annotations

from torch import Tensor, nn

from stadet.engine.errors import UserError


def scale_channels(channels: int, width: float, multiple: int = 1) -> int:
    """`channels * width`, rounded to a positive multiple of `multiple`; exact at width 1."""
    return max(multiple, round(channels * width / multiple) * multiple)


def depthwise(channels: int, stride: int) -> nn.Conv3d:
    """A depthwise 3x3x3 convolution without bias."""
    return nn.Conv3d(channels, channels, 3, stride=stride, padding=1, groups=channels, bias=False)


def light_stem(channels: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """The light networks' first block: 3x3x3 of stride (1, 2, 2), batch norm, activation."""
    return nn.Sequential(
        nn.Conv3d(3, channels, 3, stride=(1, 2, 2), padding=1, bias=False),
        nn.BatchNorm3d(channels),
        activation(inplace=True),
    )


class Backbone3d(nn.Module):
    """A 3D network over (B, 3, T, H, W) in [0, 1].

    out_channels: of its features; stride: of space (32); length_multiple: T must be divisible by
    it (1 = any length); last_block: path of the last module that has weights, which stays
    trainable when a branch is frozen.
    """

    out_channels: int
    stride = 32
    length_multiple = 1
    last_block: str

    def forward_features(self, x: Tensor) -> Tensor:
        """(B, 3, T, H, W) to (B, out_channels, T', H/32, W/32), T' = T/16 rounded up."""
        raise NotImplementedError

    def forward_trunk(self, x: Tensor) -> Tensor:
        """The same without what a detector alone needs: the maps that the network's own classifier
        averages."""
        return self.forward_features(x)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, T, H, W) to (B, out_channels, H/32, W/32): the mean over what is left of time.

        Raises UserError for a length that the network cannot take.
        """
        self.check_length(x.shape[2])
        return self.forward_features(x).mean(dim=2)

    def check_length(self, length: int) -> None:
        if length < 1 or length % self.length_multiple:
            lengths = ", ".join(str(self.length_multiple * n) for n in (1, 2, 3))
            raise UserError(
                f"{type(self).__name__}: expected clips of {lengths}, .. frames, found {length}"
            )
